"""Every status that the document promises is really answered by somebody who does what it stands for."""

import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from fakeredis import FakeRedis
from sqlalchemy import select

from tests.builders import drain, incident, report_arguments
from tests.databases import FailingDatabase
from tests.model_server import Exchange, ModelServer, Reply
from tests.web_client import FAR, client_of, sqlite_services, token_for
from worker import managing, pipeline
from worker.bootstrap import Models
from worker.domain.model_state import AccessRule, Alias
from worker.domain.states import DeliveryStatus
from worker.investigation.offline.analyst import OfflineAnalyst
from worker.llm.callers import Callers
from worker.llm.client import ProviderClient
from worker.services import Services
from worker.storage.tables import AgentRow, ArtifactRow, DeliveryRow, ToolCallRow
from worker.storage.tokens import SCOPES
from worker.web import body
from worker.web.app import create_app
from worker.web.body import MOST_BYTES

NOBODY: Any = None
DOCUMENT = create_app(NOBODY).openapi()
PROMISED = {
    (method.upper(), path): {int(status) for status in operation["responses"]}
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
}
WITH_BODY = [
    (method.upper(), path)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
    if "requestBody" in operation
]
MASTER = "master-key-of-the-admin-api"
HAIKU = "anthropic/claude-haiku-4.5"
KEY = "a-key-of-a-caller"
CHAT = {"model": "regular", "messages": [{"role": "user", "content": "hello"}]}
ONE = "/v1/investigations/{investigation_id}"
CHATS = "/v1/chat/completions"
RESEND = "/v1/deliveries/{delivery_id}/resend"
BAD_QUERIES = {
    "/v1/investigations": "?limit=0",
    "/v1/investigations/{investigation_id}/report": "?format=stone",
    "/v1/deliveries": "?status=lost",
    "/admin/api/v1/audit": "?limit=0",
}
ADMIN: list[tuple[str, str, dict[str, Any]]] = [
    ("aliases", "name", {"target": HAIKU}),
    ("model-overrides", "selector", {"user_paths": ["/a"]}),
    ("model-pricing", "selector", {"currency": "USD"}),
]
ALL, UNKNOWN = {"Authorization": f"Bearer {MASTER}"}, {"Authorization": "Bearer rca_unknown"}
JSON = {"Content-Type": "application/json"}
Reached = dict[tuple[str, str], set[int]]
Asked = tuple[tuple[str, str], str, dict[str, Any]]


@pytest.fixture(scope="module")
def provider() -> Iterator[ModelServer]:
    """Do what the name of the model says."""
    said = {
        "unknown": Reply(status=404, body=b'{"error": {"message": "no such model"}}'),
        "busy": Reply(status=429, headers={"Retry-After": "3"}, body=b'{"error": {"message": "slow down"}}'),
        "locked": Reply(status=401, body=b'{"error": {"message": "bad key"}}'),
    }

    def answer(exchange: Exchange) -> Reply:
        known = next((reply for name, reply in said.items() if name in exchange.model), None)
        return known or Reply(tool_calls=[("submit_report", report_arguments())] if exchange.tools else [], text="ok")

    with ModelServer(answer) as server:
        yield server


@pytest.fixture(scope="module")
def services(provider: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    given = {
        "aurora_master_key": MASTER,
        "aurora_secret_key": "a-seed",
        "anthropic_api_key": "k",
        "anthropic_base_url": provider.root,
        "openai_api_key": "k",
        "openai_base_url": provider.openai_url,
        "llm_provider_mode": "direct",
        "byo_base_url_allowlist": "127.0.0.1",
        "rca_model": HAIKU,
        "rca_delivery_webhook_url": "http://127.0.0.1:9/",
        "rca_failed_logins_per_minute": 1000,
    }
    with sqlite_services(tmp_path_factory.mktemp("reached"), **given) as found:
        callers = Callers(FakeRedis(), found.settings)
        client = ProviderClient(found.settings, source=found.models.latest, callers=callers, sleep=lambda _: None)
        object.__setattr__(found, "callers", callers)
        object.__setattr__(found, "model", Models(offline=OfflineAnalyst(), providers=client))
        managing.put_alias(found, "me", Alias(name="regular", target=HAIKU))
        managing.put_rule(found, "me", AccessRule(selector="openai/gpt-4o", enabled=False))
        yield found
        client.close()


@pytest.fixture(scope="module")
def names(services: Services) -> dict[str, str]:
    """What there is: an investigation that has ended, with all that can be asked of it."""
    ended = pipeline.accept(services, incident("done"), via="test").investigation_id
    drain(services)
    with services.database.transaction() as session:
        agent = session.scalars(select(AgentRow).where(AgentRow.investigation_id == ended)).one()
        fields = {"agent_id": agent.id, "turn_no": 1, "seq": 9, "evidence_id": "e1.9", "request_id": "c", "tool": "t"}
        session.add(ToolCallRow(**fields, arguments={}, status="succeeded", text="seen", entities=[], series=[]))
        artifact = {"id": "art_1", "investigation_id": ended, "evidence_id": "e1.9", "text": "whole", "size_bytes": 5}
        session.add(ArtifactRow(**artifact, created_at=agent.created_at))
        delivery = session.scalars(select(DeliveryRow)).first()
        assert delivery is not None
        return {"done": ended, "delivery": delivery.id}


def waiting(services: Services) -> str:
    """Return an investigation that goes on, with a sub-agent."""
    word = secrets.token_hex(6)
    opened = pipeline.accept(services, incident(f"{word} goes on", service=word), via="test").investigation_id
    with services.database.transaction() as session:
        lead = session.scalars(select(AgentRow).where(AgentRow.investigation_id == opened)).one()
        fields = {column.name: getattr(lead, column.name) for column in AgentRow.__table__.columns}
        session.add(AgentRow(**fields | {"id": f"agt_{word}", "agent_no": 1, "parent_id": lead.id}))
    return opened


def stopped(services: Services) -> str:
    """Return one that was cancelled."""
    opened = waiting(services)
    pipeline.cancel(services, opened, user_path="/")
    return opened


def llm(provider: ModelServer, model: str = "good", **fields: Any) -> dict[str, Any]:
    account = {"provider": "openai", "model": model, "key": KEY, "base_url": provider.openai_url, "preflight": True}
    return account | fields


@pytest.fixture(scope="module")
def reached(services: Services, names: dict[str, str], provider: ModelServer, tmp_path_factory: Any) -> Reached:
    """Send everything below; return what was answered to each operation."""
    found: Reached = defaultdict(set)
    with client_of(services) as client:
        for operation in PROMISED:
            _be_refused(services, operation, found)
        for operation, path, said in _requests(services, names, provider):
            answer = client.request(operation[0], path, headers=ALL, **said)
            found[operation].add(answer.status_code)
            assert answer.status_code in PROMISED[operation], (operation, answer.text)
    _send_too_much(services, found)
    with pytest.MonkeyPatch.context() as monkeypatch:
        _send_too_slowly(services, found, monkeypatch)
    _lose_the_database(tmp_path_factory.mktemp("away"), found)
    _guess_too_often(tmp_path_factory.mktemp("guessed"), found)
    return found


def _be_refused(services: Services, operation: tuple[str, str], found: Reached) -> None:
    """Ask without a token, and with one that may do nothing of the kind."""
    method, path = operation[0], _filled(operation[1])
    with client_of(services, peer=FAR) as stranger:
        if 401 in PROMISED[operation]:
            found[operation].add(stranger.request(method, path).status_code)
            for scope in SCOPES[:2]:
                answer = stranger.request(method, path, headers=token_for(services, scope))
                found[operation].add(answer.status_code)


def _filled(path: str, **known: str) -> str:
    others = {
        "investigation_id": "inv_none", "evidence_id": "e9.9", "artifact_id": "art_none", "delivery_id": "dlv_none",
        "agent_no": "1", "provider": "anthropic", "name": "none", "selector": "none",
    }  # fmt: skip
    return path.format(**others | known)


def _lose_the_database(folder: Path, found: Reached) -> None:
    with sqlite_services(folder) as services, client_of(services) as client:
        away = FailingDatabase(services.database.engine.url.render_as_string(), fails_at=set(range(1, 10_000)))
        object.__setattr__(services, "database", away)
        for method, path in [o for o, promised in PROMISED.items() if 503 in promised]:
            found[method, path].add(client.request(method, _filled(path), headers=UNKNOWN).status_code)
        away.close()


def _guess_too_often(folder: Path, found: Reached) -> None:
    given = {"rca_api_token": "right", "rca_failed_logins_per_minute": 1}
    with sqlite_services(folder, **given) as services, client_of(services) as client:
        for method, path in [o for o, promised in PROMISED.items() if 429 in promised] * 2:
            found[method, path].add(client.request(method, _filled(path), headers=UNKNOWN).status_code)


def _send_too_much(services: Services, found: Reached) -> None:
    with client_of(services) as client:
        for method, path in WITH_BODY:
            said = client.request(method, _filled(path), headers=ALL | JSON, content=b" " * (MOST_BYTES + 1))
            found[method, path].add(said.status_code)


def _send_too_slowly(services: Services, found: Reached, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never_ending() -> AsyncIterator[bytes]:
        yield b"{"
        await anyio.sleep(5)

    monkeypatch.setattr(body, "ARRIVAL_S", 0.05)
    with client_of(services) as client:
        for method, path in [o for o, promised in PROMISED.items() if 408 in promised]:
            answer = client.request(method, path, headers=ALL | JSON, content=never_ending())
            found[method, path].add(answer.status_code)


def _requests(services: Services, names: dict[str, str], provider: ModelServer) -> Iterator[Asked]:
    """Yield an operation, its path, and what goes with it, for all that the others do not reach."""
    yield from _looks(names["done"])
    yield from _events(provider)
    yield from _with_accounts(services, provider)
    yield from _changes(services, names)
    for model in ("regular", "openai/gpt-4o", "no-such", "openai/locked", "openai/busy"):
        yield ("POST", CHATS), CHATS, {"json": CHAT | {"model": model}}
    yield ("POST", CHATS), CHATS, {"json": {}}
    yield from _managed()


def _looks(done: str) -> Iterator[Asked]:
    for method, path in PROMISED:
        if method == "GET":
            known = {"investigation_id": done, "evidence_id": "e1.9", "artifact_id": "art_1"}
            yield (method, path), _filled(path, **known), {}
            yield (method, path), _filled(path), {}
    for path, query in BAD_QUERIES.items():
        yield ("GET", path), _filled(path, investigation_id=done) + query, {}


def _events(provider: ModelServer) -> Iterator[Asked]:
    for path in ("/v1/incidents", "/v1/webhooks/alertmanager"):
        yield ("POST", path), path, {"json": {"title": 7}}
    for model in ("unknown", "busy", "good"):
        event = {"title": model, "idempotency_key": model, "llm": llm(provider, model)}
        yield ("POST", "/v1/incidents"), "/v1/incidents", {"json": event}
    yield ("POST", "/v1/incidents"), "/v1/incidents", {"json": {"title": "good", "idempotency_key": "good"}}
    alert = {"status": "firing", "labels": {"alertname": "a"}, "startsAt": "2026-03-01T12:00:00Z"}
    group = {"version": "4", "groupKey": "g", "status": "firing", "alerts": [alert]}
    yield ("POST", "/v1/webhooks/alertmanager"), "/v1/webhooks/alertmanager", {"json": group}


def _with_accounts(services: Services, provider: ModelServer) -> Iterator[Asked]:
    for model in ("unknown", "busy", "good"):
        account = llm(provider, model)
        yield ("POST", "/v1/llm/handles"), "/v1/llm/handles", {"json": account}
        for path in (f"{ONE}/retry", f"{ONE}/rerun"):
            yield ("POST", path), _filled(path, investigation_id=stopped(services)), {"json": {"llm": account}}
    yield ("POST", "/v1/llm/handles"), "/v1/llm/handles", {"json": {"provider": "skynet"}}


def _changes(services: Services, names: dict[str, str]) -> Iterator[Asked]:
    for path in (f"{ONE}/cancel", f"{ONE}/agents/{{agent_no}}/cancel"):
        goes_on = waiting(services)
        for which in (goes_on, goes_on, names["done"], "inv_none"):
            yield ("POST", path), _filled(path, investigation_id=which), {}
    for path in (f"{ONE}/retry", f"{ONE}/rerun"):
        for which in (waiting(services), "inv_none"):
            yield ("POST", path), _filled(path, investigation_id=which), {}
    yield ("POST", RESEND), _filled(RESEND, delivery_id=names["delivery"]), {}
    with services.database.transaction() as session:
        session.get_one(DeliveryRow, names["delivery"]).status = DeliveryStatus.SENDING
    for which in (names["delivery"], "dlv_none"):
        yield ("POST", RESEND), _filled(RESEND, delivery_id=which), {}


def _managed() -> Iterator[Asked]:
    for kind, key, good in ADMIN:
        path = f"/admin/api/v1/{kind}/{{{key}}}"
        for said in (good, {"enabled": 7}):
            yield ("PUT", path), _filled(path, **{key: "made"}), {"json": said}
        yield ("PUT", path), _filled(path, **{key: ""}), {"json": good}
        for _ in range(2):
            yield ("DELETE", path), _filled(path, **{key: "made"}), {}
    llms = "/api/v1/system/llm"
    for provider in ("openai", "skynet"):
        yield ("PUT", f"{llms}/config"), f"{llms}/config", {"json": {"provider": provider}}
        path = f"{llms}/providers/{{provider}}"
        yield ("PUT", f"{path}/key"), _filled(f"{path}/key", provider=provider), {"json": {"api_key": "a-stored-key"}}
        yield ("DELETE", f"{path}/key"), _filled(f"{path}/key", provider=provider), {}
        yield ("POST", f"{path}/test"), _filled(f"{path}/test", provider=provider), {}


@pytest.mark.parametrize("operation", PROMISED, ids=" ".join)
def test_each_promised_status_is_reached_and_no_other(operation: tuple[str, str], reached: Reached) -> None:
    assert reached[operation] == PROMISED[operation]
