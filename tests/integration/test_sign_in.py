"""Signing in with a real OpenID Connect server over real sockets, on both databases, and all that is no proof."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from tests.builders import close_services
from tests.oidc_server import OLD_WAYS, OidcServer, query_of, running_oidc_server, with_query
from tests.servers import free_port
from tests.web_client import client_of, running_server, web_services
from worker.services import Services
from worker.storage import audit
from worker.storage.session_tables import SessionRow

pytestmark = OLD_WAYS

PEOPLE = {"alice": ["staff", "sre"], "bob": ["sales"], "carol": [], "dora": ["sre", "admins"]}
ACCESS = {
    "admins": {"scopes": ["reports:read", "users:manage"]},
    "sre": {"scopes": ["reports:read", "investigations:write"], "user_path": "/team/sre"},
}
SECRET = "the-secret-of-the-client"
HTML = {"Accept": "text/html"}
DISCOVERY, TOKEN = "/.well-known/openid-configuration", "/oauth2/token"
NOTHING = dict.fromkeys(("rca_oidc_issuer", "rca_oidc_client_id", "rca_oidc_client_secret", "rca_oidc_access"))


def configured(issuer: str, **changed: Any) -> dict[str, Any]:
    access = json.dumps(ACCESS)
    whole = {"rca_oidc_issuer": issuer, "rca_oidc_client_id": "rca", "rca_oidc_client_secret": SECRET}
    return {**whole, "rca_oidc_access": access, **changed}


@contextmanager
def serving(database_url: str, issuer: str, **changed: Any) -> Iterator[httpx.Client]:
    """Serve with this issuer; yield a browser."""
    made = web_services(database_url, **configured(issuer, **changed))
    with running_server(made) as url, httpx.Client(base_url=url, headers=HTML) as client:
        yield client
    close_services(made)


@pytest.fixture
def oidc() -> Iterator[OidcServer]:
    with running_oidc_server(PEOPLE) as served:
        yield served


@pytest.fixture
def services(oidc: OidcServer, database_url: str) -> Iterator[Services]:
    made = web_services(database_url, **configured(oidc.url))
    yield made
    close_services(made)


@pytest.fixture
def browser(services: Services) -> Iterator[httpx.Client]:
    with running_server(services) as url, httpx.Client(base_url=url, headers=HTML) as client:
        yield client


def begin(browser: httpx.Client, wanted: str = "/investigations") -> str:
    """Press the button; return the address at the issuer."""
    answer = browser.get("/login/oidc", params={"next": wanted})
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def sign_in(browser: httpx.Client, oidc: OidcServer, *, sub: str = "alice", wanted: str = "/x") -> httpx.Response:
    return browser.get(oidc.approve(begin(browser, wanted), sub=sub))


def sessions(services: Services) -> list[SessionRow]:
    with services.database.transaction() as session:
        return list(session.scalars(select(SessionRow)))


def acts(services: Services) -> list[tuple[str, str, str]]:
    with services.database.transaction() as session:
        return [(act.actor, act.action, act.outcome) for act in reversed(audit.page(session, limit=9))]


def test_whoever_the_issuer_knows_gets_a_session_for_their_group(
    browser: httpx.Client, oidc: OidcServer, services: Services
) -> None:
    answer = sign_in(browser, oidc, wanted="/investigations?status=failed")

    assert (answer.status_code, answer.headers["location"]) == (303, "/investigations?status=failed")
    page = browser.get("/investigations")
    assert page.status_code == 200
    assert "Signed in as oidc:alice" in page.text
    (row,) = sessions(services)
    assert (row.begun_by, row.groups) == ("oidc", ["sre"])
    assert acts(services) == [("oidc:alice", "login", "done")]


def test_the_code_is_bound_by_pkce_and_the_client_says_who_it_is(browser: httpx.Client, oidc: OidcServer) -> None:
    address = begin(browser)
    browser.get(oidc.approve(address))

    sent = query_of(address)
    told = next(fields for path, fields in oidc.asked if path == TOKEN)
    assert (sent["response_type"], sent["code_challenge_method"], len(told["code_verifier"])) == ("code", "S256", 43)
    assert sent["redirect_uri"] == str(browser.base_url.join("/login/oidc/callback"))
    proof = hashlib.sha256(told["code_verifier"].encode()).digest()
    assert base64.urlsafe_b64encode(proof).rstrip(b"=").decode() == sent["code_challenge"]
    assert base64.b64decode(told["authorization"].removeprefix("Basic ")).decode() == f"rca:{SECRET}"


@pytest.mark.parametrize(("secret", "ways"), [(SECRET, ["client_secret_post"]), (None, ["client_secret_basic"])])
def test_it_says_who_it_is_in_the_way_that_the_issuer_takes(
    oidc: OidcServer, database_url: str, secret: str | None, ways: list[str]
) -> None:
    oidc.tamper[DISCOVERY] = lambda said: said | {"token_endpoint_auth_methods_supported": ways}
    with serving(database_url, oidc.url, rca_oidc_client_secret=secret) as browser:
        sign_in(browser, oidc)

    fields = next(fields for path, fields in oidc.asked if path == TOKEN)
    assert (fields["client_id"], fields.get("client_secret"), fields["authorization"]) == ("rca", secret, "")


def test_the_first_group_that_fits_counts_whole(browser: httpx.Client, oidc: OidcServer) -> None:
    sign_in(browser, oidc, sub="dora")
    ours = {"Origin": str(browser.base_url).rstrip("/"), "Accept": "*/*"}

    assert browser.get("/metrics").status_code == 200  # as an admin, at the path /
    refused = browser.post("/v1/investigations/inv_1/cancel", headers=ours)
    assert refused.json()["detail"]["error"] == "scope_missing"  # which she would have as one of the others


def test_the_login_page_offers_the_issuer_by_its_host(browser: httpx.Client) -> None:
    text = browser.get("/login?next=/investigations/inv_1").text

    assert 'href="/login/oidc?next=%2Finvestigations%2Finv_1">Sign in with 127.0.0.1</a>' in text


@pytest.mark.parametrize("sub", ["bob", "carol"])
def test_who_is_in_no_group_of_ours_is_refused_and_only_the_log_says_which(
    browser: httpx.Client, oidc: OidcServer, services: Services, sub: str
) -> None:
    with capture_logs() as logs:
        answer = sign_in(browser, oidc, sub=sub)

    assert answer.status_code == 403
    assert "none of your groups" in answer.text
    assert "sales" not in answer.text
    assert [line["groups"] for line in logs if line["event"] == "sign_in_refused"] == [PEOPLE[sub]]
    assert sessions(services) == []
    assert acts(services) == [(f"oidc:{sub}", "login", "refused")]


def test_whoever_says_no_at_the_issuer_is_not_signed_in(browser: httpx.Client, oidc: OidcServer) -> None:
    assert browser.get(oidc.deny(begin(browser))).status_code == 400


def test_an_answer_serves_once(browser: httpx.Client, oidc: OidcServer, services: Services) -> None:
    address = begin(browser)
    cookie = browser.cookies["rca_login"]
    back = oidc.approve(address)
    assert browser.get(back).status_code == 303

    assert browser.get(back).status_code == 400  # the browser has no cookie of a login any more
    kept = httpx.get(back, headers=HTML | {"Cookie": f"rca_login={cookie}"})
    assert kept.status_code == 400  # one that kept it finds the code used
    assert len(sessions(services)) == 1


def test_an_answer_is_good_in_the_browser_that_began_only(
    browser: httpx.Client, oidc: OidcServer, services: Services
) -> None:
    back = oidc.approve(begin(browser))

    with httpx.Client(base_url=browser.base_url, headers=HTML) as victim:
        assert victim.get(back).status_code == 400
        begin(victim)
        assert victim.get(back).status_code == 400
    assert sessions(services) == []


@pytest.mark.parametrize("state", ["", "x", "a" * 43, "\u00e9"])
def test_another_state_is_refused_before_the_issuer_is_asked(
    browser: httpx.Client, oidc: OidcServer, state: str
) -> None:
    back = with_query(oidc.approve(begin(browser)), state=state)

    assert browser.get(back).status_code == 400
    assert TOKEN not in [path for path, _ in oidc.asked]


def test_an_id_token_of_another_login_has_another_nonce(
    browser: httpx.Client, oidc: OidcServer, services: Services
) -> None:
    seen: list[dict[str, Any]] = []
    oidc.tamper[TOKEN] = lambda told: seen.append(told) or told
    assert sign_in(browser, oidc).status_code == 303

    oidc.tamper[TOKEN] = lambda _: seen[0]  # all of it is genuine, and of an earlier login
    assert sign_in(browser, oidc).status_code == 400
    assert len(sessions(services)) == 1


def parts_of(token: str) -> list[dict[str, Any]]:
    """Return a token's header and its claims."""
    return [json.loads(base64.urlsafe_b64decode(part + "==")) for part in token.split(".")[:2]]


def encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def changes(field: int, **changed: Any) -> Callable[[str], str]:
    """Return what changes the header (0) or the claims (1) of a token, and leaves its signature as it was."""

    def change(token: str) -> str:
        parts = parts_of(token)
        parts[field] |= changed
        return ".".join((*map(encoded, parts), token.split(".")[2]))

    return change


def unsigned(token: str) -> str:
    header, claims = parts_of(token)
    return f"{encoded(header | {'alg': 'none'})}.{encoded(claims)}."


@pytest.mark.parametrize(
    "change",
    [
        changes(1, groups=["admins"]),
        changes(1, sub="dora"),
        changes(0, alg="HS256"),
        changes(0, kid="another"),
        unsigned,
        lambda token: token[:-4] + "AAAA",
        lambda token: token.rpartition(".")[0],
        lambda _: "",
        lambda _: "a.b.c",
        lambda _: None,
    ],
)
def test_a_tampered_id_token_signs_nobody_in(
    browser: httpx.Client, oidc: OidcServer, services: Services, change: Callable[[str], Any]
) -> None:
    oidc.tamper[TOKEN] = lambda told: told | {"id_token": change(told["id_token"])}

    answer = sign_in(browser, oidc)

    assert answer.status_code == 400
    assert "rca_session" not in browser.cookies
    assert sessions(services) == []


def test_a_token_that_has_expired_signs_nobody_in(database_url: str) -> None:
    with running_oidc_server(PEOPLE, lasts=timedelta(minutes=-5)) as oidc, serving(database_url, oidc.url) as browser:
        assert sign_in(browser, oidc).status_code == 400


def test_a_token_for_another_client_signs_nobody_in(browser: httpx.Client, oidc: OidcServer) -> None:
    address = with_query(begin(browser), client_id="another")
    back = oidc.approve(address)
    oidc.tamper[TOKEN] = lambda told: told

    assert browser.get(back).status_code == 400


@pytest.mark.parametrize(
    "change",
    [
        lambda said: said | {"issuer": "http://127.0.0.1:1"},
        lambda said: said | {"token_endpoint": "ftp://127.0.0.1/"},
        lambda said: said | {"authorization_endpoint": None},
        lambda _: [],
    ],
)
def test_an_issuer_that_is_none_is_unavailable(
    browser: httpx.Client, oidc: OidcServer, change: Callable[[Any], Any]
) -> None:
    oidc.tamper[DISCOVERY] = change

    answer = browser.get("/login/oidc")
    if answer.status_code == 303:
        answer = browser.get(oidc.approve(answer.headers["location"]))

    assert answer.status_code == 503


def test_only_signatures_of_the_issuer_count_whatever_it_lists(browser: httpx.Client, oidc: OidcServer) -> None:
    oidc.tamper[DISCOVERY] = lambda said: said | {"id_token_signing_alg_values_supported": ["none", "HS256"]}
    oidc.tamper[TOKEN] = lambda told: told | {"id_token": unsigned(told["id_token"])}

    assert sign_in(browser, oidc).status_code == 400


def test_new_keys_of_the_issuer_are_fetched(database_url: str) -> None:
    port = free_port()
    with serving(database_url, f"http://127.0.0.1:{port}") as browser:
        for _ in range(2):  # a server that has begun anew has another key
            with running_oidc_server(PEOPLE, port=port) as oidc:
                assert sign_in(browser, oidc).status_code == 303


def test_without_the_issuer_a_token_still_signs_in(database_url: str) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with serving(database_url, url, rca_api_token="a-token") as browser, capture_logs() as logs:
        answer = browser.get("/login/oidc")

        assert answer.status_code == 503
        assert "does not answer" in answer.text
        assert "Retry-After" in answer.headers
        assert "issuer_unavailable" in [line["event"] for line in logs]
        assert browser.post("/login", data={"token": "a-token"}).status_code == 303
        assert browser.get("/investigations").status_code == 200


@pytest.mark.parametrize(
    "changed",
    [
        {"rca_oidc_client_id": "another"},
        {"rca_oidc_access": json.dumps({"admins": {"scopes": ["reports:read"]}})},
        {"rca_oidc_issuer": "http://127.0.0.1:1"},
        NOTHING | {"rca_api_token": "a-token"},
    ],
)
def test_a_session_ends_with_the_configuration_that_began_it(
    browser: httpx.Client, oidc: OidcServer, database_url: str, changed: dict[str, Any]
) -> None:
    sign_in(browser, oidc)
    cookie = {"Cookie": f"rca_session={browser.cookies['rca_session']}"}
    assert browser.get("/v1/investigations").status_code == 200

    after = web_services(database_url, **configured(oidc.url) | changed)
    with client_of(after) as client:
        assert client.get("/v1/investigations", headers=cookie).status_code == 401
    close_services(after)


def test_a_session_has_what_its_group_may_do_now(browser: httpx.Client, oidc: OidcServer, database_url: str) -> None:
    sign_in(browser, oidc)
    cookie = {"Cookie": f"rca_session={browser.cookies['rca_session']}"}

    less = json.dumps({"sre": {"scopes": ["incidents:write"]}})
    after = web_services(database_url, **configured(oidc.url, rca_oidc_access=less))
    with client_of(after) as client:
        assert client.get("/v1/investigations", headers=cookie).status_code == 403
    close_services(after)


def test_where_an_issuer_is_configured_this_machine_signs_in_too(browser: httpx.Client) -> None:
    assert browser.get("/investigations").status_code == 303
    assert browser.get("/v1/investigations").status_code == 401


def test_without_an_issuer_there_is_no_way_there(database_url: str) -> None:
    made = web_services(database_url, rca_api_token="a-token")
    with client_of(made) as client:
        assert client.get("/login/oidc").status_code == 404
        assert client.get("/login/oidc/callback?code=a&state=b").status_code == 404
    close_services(made)
