"""Every route against every kind of caller, on both databases; a new route has to be given its place here."""

from collections.abc import Iterator

import pytest
from fastapi.routing import APIRoute
from starlette.routing import Route

from tests.builders import close_services, drain
from tests.web_client import FAR, AppClient, client_of, token_for, web_services
from worker.domain.incident import IncidentEvent
from worker.pipeline import accept
from worker.services import Services
from worker.storage.tokens import SCOPES
from worker.web.app import create_app

OPEN = "open"
INCIDENTS, REPORTS, CHANGES, USERS = "incidents:write", "reports:read", "investigations:write", "users:manage"
MODELS = "models:use"
EXPECTED = {
    ("GET", "/"): OPEN,
    ("GET", "/login"): OPEN,
    ("POST", "/login"): OPEN,
    ("POST", "/logout"): OPEN,
    ("GET", "/login/oidc"): OPEN,
    ("GET", "/login/oidc/callback"): OPEN,
    ("GET", "/healthz"): OPEN,
    ("GET", "/readyz"): OPEN,
    ("GET", "/static/report.css"): OPEN,
    ("GET", "/static/pages.css"): OPEN,
    ("GET", "/v1/openapi.json"): OPEN,
    ("GET", "/v1/schema/incident"): OPEN,
    ("GET", "/v1/schema/report"): OPEN,
    ("POST", "/v1/incidents"): INCIDENTS,
    ("POST", "/v1/webhooks/alertmanager"): INCIDENTS,
    ("GET", "/metrics"): REPORTS,
    ("GET", "/investigations"): REPORTS,
    ("GET", "/investigations/{investigation_id}"): REPORTS,
    ("GET", "/investigations/{investigation_id}/progress"): REPORTS,
    ("GET", "/v1/investigations"): REPORTS,
    ("GET", "/v1/budget"): REPORTS,
    ("GET", "/v1/investigations/{investigation_id}"): REPORTS,
    ("GET", "/v1/investigations/{investigation_id}/report"): REPORTS,
    ("GET", "/v1/investigations/{investigation_id}/evidence/{evidence_id}"): REPORTS,
    ("GET", "/v1/investigations/{investigation_id}/artifacts/{artifact_id}"): REPORTS,
    ("POST", "/v1/investigations/{investigation_id}/cancel"): CHANGES,
    ("POST", "/v1/investigations/{investigation_id}/retry"): CHANGES,
    ("POST", "/investigations/{investigation_id}/cancel"): CHANGES,
    ("POST", "/v1/investigations/{investigation_id}/agents/{agent_no}/cancel"): CHANGES,
    ("POST", "/investigations/{investigation_id}/agents/{agent_no}/cancel"): CHANGES,
    ("POST", "/investigations/{investigation_id}/retry"): CHANGES,
    ("POST", "/v1/investigations/{investigation_id}/rerun"): CHANGES,
    ("POST", "/investigations/{investigation_id}/rerun"): CHANGES,
    ("GET", "/v1/deliveries"): REPORTS,
    ("GET", "/v1/models"): REPORTS,
    ("POST", "/v1/llm/handles"): INCIDENTS,
    ("POST", "/v1/chat/completions"): MODELS,
    ("GET", "/api/v1/system/llm/providers"): REPORTS,
    ("PUT", "/api/v1/system/llm/config"): USERS,
    ("PUT", "/api/v1/system/llm/providers/{provider}/key"): USERS,
    ("DELETE", "/api/v1/system/llm/providers/{provider}/key"): USERS,
    ("POST", "/api/v1/system/llm/providers/{provider}/test"): USERS,
    ("GET", "/admin/api/v1/models"): USERS,
    ("GET", "/admin/api/v1/aliases"): USERS,
    ("PUT", "/admin/api/v1/aliases/{name:path}"): USERS,
    ("DELETE", "/admin/api/v1/aliases/{name:path}"): USERS,
    ("GET", "/admin/api/v1/model-overrides"): USERS,
    ("PUT", "/admin/api/v1/model-overrides/{selector:path}"): USERS,
    ("DELETE", "/admin/api/v1/model-overrides/{selector:path}"): USERS,
    ("GET", "/admin/api/v1/model-pricing"): USERS,
    ("PUT", "/admin/api/v1/model-pricing/{selector:path}"): USERS,
    ("DELETE", "/admin/api/v1/model-pricing/{selector:path}"): USERS,
    ("GET", "/admin/api/v1/audit"): USERS,
    ("GET", "/models"): USERS,
    ("GET", "/models/providers"): USERS,
    ("POST", "/models/providers/{provider}/test"): USERS,
    ("GET", "/models/aliases"): USERS,
    ("GET", "/models/access"): USERS,
    ("GET", "/models/prices"): USERS,
    ("GET", "/models/audit"): USERS,
    ("POST", "/models/audit/verify"): USERS,
    ("GET", "/models/{kind}/edit"): USERS,
    ("POST", "/models/{kind}/edit"): USERS,
    ("GET", "/models/{kind}/delete"): USERS,
    ("POST", "/models/{kind}/delete"): USERS,
    ("POST", "/v1/deliveries/{delivery_id}/resend"): CHANGES,
    ("POST", "/investigations/{investigation_id}/deliveries/{delivery_id}/resend"): CHANGES,
}
LEFT_OPEN = {
    ("POST", "/login"): {401},  # without a token in its form
    ("POST", "/logout"): {303},
    ("GET", "/login/oidc"): {404},  # where no issuer is configured
    ("GET", "/login/oidc/callback"): {404},
}
"""What the routes of a login say to whoever has nothing to say; all others tell anybody."""
OURS = {"Sec-Fetch-Site": "same-origin"}
GUARDED = [route for route, scope in EXPECTED.items() if scope != OPEN]
OF_ONE = [(method, path) for method, path in GUARDED if "{" in path and EXPECTED[(method, path)] != USERS]
PATHS = {path.replace(":path", ""): path for _, path in EXPECTED}
"""The routes' paths by how the document writes them."""


@pytest.fixture
def services(database_url: str) -> Iterator[Services]:
    found = web_services(
        database_url, aurora_master_key="master-key-of-the-admin-api", rca_failed_logins_per_minute=1000
    )
    yield found
    close_services(found)


@pytest.fixture
def far(services: Services) -> Iterator[AppClient]:
    """A caller on another machine."""
    with client_of(services, peer=FAR) as client:
        yield client


@pytest.fixture
def finished(services: Services) -> str:
    """An investigation of /team/a with its report."""
    event = IncidentEvent(title="checkout is slow", user_path="/team/a")
    found = accept(services, event, via="test").investigation_id
    drain(services)
    return found


def address(path: str, investigation_id: str = "inv_1") -> str:
    others = {"evidence_id": "e1.1", "artifact_id": "art_1", "delivery_id": "dlv_1", "agent_no": 1}
    of_models = {"provider": "anthropic", "name": "regular", "selector": "openai/gpt-4o", "kind": "aliases"}
    return path.replace(":path", "").format(investigation_id=investigation_id, **others, **of_models)


def listed_routes(services: Services) -> set[tuple[str, str]]:
    """Return all that the application answers; routes of included parts are looked for inside."""
    app = create_app(services)
    found: set[tuple[str, str]] = set()
    waiting = list(app.routes)
    while waiting:
        route = waiting.pop()
        if isinstance(route, (APIRoute, Route)):
            found |= {(method, route.path) for method in route.methods or () if method != "HEAD"}
        else:
            waiting += route.original_router.routes  # type: ignore[attr-defined]  # how FastAPI keeps what is included
    return found


def test_every_route_has_an_expectation(services: Services) -> None:
    assert listed_routes(services) == set(EXPECTED)


def test_the_documented_routes_say_that_they_want_a_token(services: Services) -> None:
    for path, operations in create_app(services).openapi()["paths"].items():
        for method, operation in operations.items():
            is_guarded = EXPECTED[(method.upper(), PATHS[path])] != OPEN
            assert ("security" in operation) is is_guarded
            assert ("401" in operation["responses"]) is is_guarded


def test_what_is_open_tells_anybody(far: AppClient) -> None:
    for (method, path), scope in EXPECTED.items():
        if scope == OPEN:
            assert far.request(method, path).status_code in LEFT_OPEN.get((method, path), {200, 307}), (method, path)


def test_without_a_token_every_other_route_is_401(far: AppClient, services: Services) -> None:
    for headers in ({}, {"Authorization": "Bearer rca_unknown"}, OURS | {"Cookie": "rca_session=unknown"}):
        for method, path in GUARDED:
            answer = far.request(method, address(path), headers=headers)
            assert answer.status_code == 401, (method, path)
            assert answer.json()["detail"]["error"] == "unauthorized"
            assert "www-authenticate" in answer.headers


def test_with_every_scope_but_the_right_one_it_is_403(far: AppClient, services: Services) -> None:
    for method, path in GUARDED:
        header = token_for(services, *(s for s in SCOPES if s != EXPECTED[(method, path)]))
        answer = far.request(method, address(path), headers=header)
        assert answer.status_code == 403, (method, path)
        assert answer.json()["detail"]["error"] == "scope_missing"


def test_a_session_may_what_its_token_may(far: AppClient, services: Services, finished: str) -> None:
    for method, path in GUARDED:
        scope = EXPECTED[(method, path)]
        others = session_for(services, far, *(s for s in SCOPES if s != scope))
        refused = far.request(method, address(path, finished), headers=others | OURS)
        assert (refused.status_code, refused.json()["detail"]["error"]) == (403, "scope_missing"), (method, path)
        passed = far.request(method, address(path, finished), headers=session_for(services, far, scope) | OURS)
        assert passed.status_code not in {401, 403}, (method, path, passed.text)


def test_a_cookie_alone_changes_nothing(far: AppClient, services: Services, finished: str) -> None:
    cookie = session_for(services, far, *SCOPES)
    for method, path in GUARDED:
        answer = far.request(method, address(path, finished), headers=cookie)
        if method == "GET":
            assert answer.status_code not in {401, 403}, (method, path)
        else:
            assert (answer.status_code, answer.json()["detail"]["error"]) == (403, "cross_site"), (method, path)


def test_another_path_is_told_nothing_and_changes_nothing(far: AppClient, services: Services, finished: str) -> None:
    other = token_for(services, *SCOPES, user_path="/team/ab")
    for method, path in OF_ONE:
        there = far.request(method, address(path, finished), headers=other)
        nowhere = far.request(method, address(path, "inv_none"), headers=other)
        assert there.status_code == nowhere.status_code == 404, (method, path)
        assert there.text.replace(finished, "") == nowhere.text.replace("inv_none", ""), "it would tell what exists"
    assert far.get("/v1/investigations", headers=other).json()["investigations"] == []
    assert finished not in far.get("/investigations", headers=other).text
    assert far.get("/metrics", headers=other).status_code == 403


@pytest.mark.parametrize("user_path", ["/", "/team", "/team/a"])
def test_the_right_scope_and_path_get_through(
    far: AppClient, services: Services, finished: str, user_path: str
) -> None:
    for method, path in GUARDED:
        header = token_for(services, EXPECTED[(method, path)], user_path=user_path)
        answer = far.request(method, address(path, finished), headers=header)
        is_everybodys = path == "/metrics" or EXPECTED[(method, path)] == USERS
        is_for_root = is_everybodys and user_path != "/"
        assert (answer.status_code in {401, 403}) is is_for_root, (method, path, answer.text)
        assert answer.status_code < 500, (method, path, answer.text)
    listed = far.get("/v1/investigations", headers=header | read(services)).json()["investigations"]
    assert [i["id"] for i in listed if i["attempt_no"] == 1] == [finished]  # one of the routes ran it again


def session_for(services: Services, client: AppClient, *scopes: str) -> dict[str, str]:
    """Sign in with a new token of these scopes; return the header of the session, and forget its cookie."""
    secret = token_for(services, *scopes)["Authorization"].removeprefix("Bearer ")
    cookie = client.post("/login", data={"token": secret}).cookies["rca_session"]
    client.forget_cookies()
    return {"Cookie": f"rca_session={cookie}"}


def read(services: Services) -> dict[str, str]:
    return token_for(services, REPORTS, user_path="/team")
