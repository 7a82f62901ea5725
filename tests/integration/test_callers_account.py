"""A caller's own model account: sealed, asked alone, never fallen back from, found nowhere in clear (7.1 to 7.6)."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fakeredis import FakeRedis, FakeServer
from sqlalchemy import select

from tests.builders import build_services, close_services, drain, incident, report_arguments
from tests.fakes import ScriptedModel
from tests.llm_builders import hello
from tests.model_server import Exchange, ModelServer, Reply
from tests.web_client import AppClient, client_of, token_for
from worker import pipeline
from worker.bootstrap import Models
from worker.domain.callers import CallersModel
from worker.domain.report import Report
from worker.errors import EventError
from worker.intake.events import parse_event, without_keys
from worker.investigation.offline.analyst import OfflineAnalyst
from worker.llm.callers import Callers
from worker.llm.client import ProviderClient
from worker.llm.fallback import FallbackModel
from worker.services import Services
from worker.storage import spending
from worker.storage.tables import AgentRow, IncidentRow, InvestigationRow, ReportRow, UsageRow

KEY = "callers-own-key-5f1e9c"
PLATFORM_KEY = "key-of-the-platform"
REPORTS = Reply(tool_calls=[("submit_report", report_arguments())])
Build = Callable[..., Services]


@pytest.fixture
def provider() -> Iterator[ModelServer]:
    """Answer the judge with yes, and everybody else with a report."""

    def answer(exchange: Exchange) -> Reply:
        if [tool.name for tool in exchange.tools] == ["decide_commands"]:
            asked = json.loads(exchange.first_user_text)["commands"]
            allow = [{"id": c["id"], "verdict": "allow", "reason": "fine"} for c in asked]
            return Reply(tool_calls=[("decide_commands", {"decisions": allow})])
        return REPORTS

    with ModelServer(answer) as server:
        yield server


@pytest.fixture
def build(database_url: str, provider: ModelServer) -> Iterator[Build]:
    """Return what makes services whose platform and whose callers' endpoint are the same scripted server."""
    made: list[tuple[Services, ProviderClient]] = []

    def make(server: ModelServer = provider, **fields: Any) -> Services:
        given = {
            "aurora_secret_key": "a-seed",
            "anthropic_api_key": PLATFORM_KEY,
            "anthropic_base_url": server.root,
            "llm_provider_mode": "direct",
            "byo_base_url_allowlist": "127.0.0.1",
            "rca_model_fallback": "offline/analyst",
        }
        services = build_services(database_url, ScriptedModel([]), **(given | fields))
        callers = Callers(FakeRedis(), services.settings)
        client = ProviderClient(services.settings, source=services.models.latest, callers=callers, sleep=lambda _: None)
        object.__setattr__(services, "callers", callers)
        model = FallbackModel(Models(offline=OfflineAnalyst(), providers=client))
        object.__setattr__(services, "model", model)
        made.append((services, client))
        return services

    yield make
    for services, client in made:
        client.close()
        close_services(services)


@pytest.fixture
def services(build: Build) -> Services:
    return build()


@pytest.fixture
def web(services: Services) -> Iterator[AppClient]:
    with client_of(services) as client:
        yield client


def own(server: ModelServer, **fields: Any) -> dict[str, Any]:
    known = {"provider": "openai", "model": "my-model", "key": KEY, "base_url": server.openai_url}
    return {name: value for name, value in (known | fields).items() if value is not None}


def keys_of(server: ModelServer) -> list[str]:
    return [str(e.headers.get("authorization") or e.headers.get("x-api-key")) for e in server.exchanges]


def row_of(services: Services, investigation_id: str) -> InvestigationRow:
    with services.database.transaction() as session:
        return session.get_one(InvestigationRow, investigation_id)


# 7.1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"provider": None}, "llm.provider: is required"),
        ({"model": "  "}, "llm.model: is required"),
        ({"key": None}, "llm.key: is required"),
        ({"key": " "}, "llm.key: is required"),
        ({"provider": "skynet"}, "llm.provider: 'skynet' is not taken; a caller may bring one of anthropic, openai"),
        ({"provider": "vertex"}, "llm.provider: 'vertex' takes a set of credentials"),
        ({"provider": "bedrock"}, "llm.provider: 'bedrock' takes a set of credentials"),
        ({"provider": "openai-compatible", "base_url": None}, "llm.base_url: is required for openai-compatible"),
        ({"provider": "azure", "base_url": None}, "llm.base_url: is required for azure"),
        ({"provider": "azure"}, "llm.extra.api_version: is required for azure"),
        ({"extra": {"organization": "x"}}, "llm.extra.organization: is not known for openai"),
        ({"base_url": "https://mine.openai.azure.com"}, "set llm.extra.api_version, such as 2024-10-21"),
        ({"base_url": "https://mine.services.ai.azure.com/openai/v2"}, "set llm.extra.api_version, such as 2024-10-21"),
        ({"provider": "google"}, "llm.base_url: is not taken for google; leave it out"),
        ({"handle": "byo_x"}, "llm: is either a handle or an account; leave base_url, key, model, provider out"),
        ({"unknown": 1}, "llm.unknown"),
        ({"base_url": "http://10.0.0.1/v1"}, "llm.base_url: has to begin with https://"),
    ],
)
def test_7_1_what_does_not_fit_is_a_400_that_names_the_field(
    web: AppClient, provider: ModelServer, changes: dict[str, Any], said: str
) -> None:
    answer = web.post("/v1/incidents", json={"title": "slow", "llm": own(provider, **changes)})

    assert answer.status_code == 400
    assert said in answer.json()["detail"]["message"]
    assert KEY not in answer.text


# 7.2


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (Reply(status=401, body=b'{"error": {"message": "bad key callers-own-key-5f1e9c"}}'), 401),
        (Reply(status=404, body=b'{"error": {"code": "model_not_found", "message": "no"}}'), 422),
        (Reply(status=429, headers={"retry-after": "30"}, body=b'{"error": {"message": "slow down"}}'), 429),
        (Reply(status=503, body=b'{"error": {"message": "down"}}'), 503),
    ],
)
@pytest.mark.parametrize("path", ["/v1/incidents", "/v1/llm/handles"])
def test_7_2_a_preflight_that_fails_says_so_at_submission_and_keeps_nothing(
    build: Build, reply: Reply, status: int, path: str
) -> None:
    with ModelServer(lambda _: reply) as server:
        services = build(server)
        llm = own(server, preflight=True)
        with client_of(services) as web:
            answer = web.post(path, json={"title": "slow", "llm": llm} if path == "/v1/incidents" else llm)

    detail = answer.json()["detail"]
    assert (answer.status_code, detail["error"], detail["provider"]) == (status, "llm_provider_error", "openai")
    assert ("retry-after" in answer.headers) is (status == 429)
    assert KEY not in answer.text
    assert services.callers._redis.keys("rca:byo:*") == []
    with services.database.transaction() as session:
        assert session.scalars(select(InvestigationRow)).all() == []


def test_7_2_a_preflight_that_succeeds_lets_the_incident_in(web: AppClient, provider: ModelServer) -> None:
    answer = web.post("/v1/incidents", json={"title": "slow", "llm": own(provider, preflight=True)})

    assert answer.status_code == 202
    assert keys_of(provider) == [f"Bearer {KEY}"]


# 7.3


def test_7_3_only_a_handle_is_stored_and_the_key_is_sealed_with_a_time(
    services: Services, web: AppClient, provider: ModelServer
) -> None:
    web.post("/v1/incidents", json={"title": "slow", "llm": own(provider)})

    with services.database.transaction() as session:
        event = session.scalars(select(IncidentRow)).one().event
        agent = session.scalars(select(AgentRow)).one()
    (name,) = services.callers._redis.keys("rca:byo:*")
    sealed = services.callers._redis.get(name)
    assert {field: value for field, value in event["llm"].items() if value} == {"handle": name.decode()[8:]}
    assert agent.route["credential_ref"] == f"byo:{name.decode()[8:]}"
    assert KEY.encode() not in sealed
    assert KEY not in str(event) + str(agent.route)
    assert 86_000 < services.callers._redis.ttl(name) <= 86_400


def test_7_3_it_is_forgotten_at_the_end_and_after_a_cancel_but_not_after_a_failure(build: Build) -> None:
    with ModelServer(lambda _: Reply(status=401, body=b'{"error": {"message": "no"}}')) as refusing:
        services = build(refusing)
        for title in ("fails", "cancelled"):
            llm = CallersModel.model_validate(own(refusing))
            pipeline.accept(services, incident(title, service=title, llm=llm), via="test")
        with services.database.transaction() as session:
            second = session.scalars(select(InvestigationRow).order_by(InvestigationRow.id.desc())).first()
        assert second is not None
        pipeline.cancel(services, second.id)
        drain(services)

    assert len(services.callers._redis.keys("rca:byo:*")) == 1  # kept for a retry


def test_7_3_a_key_that_is_gone_fails_by_its_name(services: Services, provider: ModelServer) -> None:
    llm = CallersModel.model_validate(own(provider))
    running = pipeline.accept(services, incident("a", service="a", llm=llm), via="test").investigation_id
    services.callers._redis.flushall()
    late = CallersModel(handle="byo_nobody")
    queued = pipeline.accept(services, incident("b", service="b", llm=late), via="test").investigation_id
    drain(services)

    for investigation in (running, queued):
        row = row_of(services, investigation)
        assert (row.status, row.failure_class) == ("failed", "byo_credential_expired")
        assert "send the incident again" in (row.failure_reason or "")


@pytest.mark.parametrize(
    "changes",
    [
        {"provider": "openai-compatible", "base_url": "no address", "api_version": None},
        {"provider": "openai", "base_url": "https://mine.openai.azure.com", "api_version": None},
        {"provider": "skynet"},
    ],
)
def test_7_3_one_account_that_cannot_be_used_fails_alone(
    services: Services, provider: ModelServer, changes: dict[str, Any]
) -> None:
    """Such as one that another release has taken: it must not stand in the way of the queue behind it."""
    llm = CallersModel.model_validate(own(provider))
    handle = services.callers.keep(llm, user_path="/")
    kept = services.callers._open(handle).model_copy(update=changes)
    sealed, seed_id = services.callers._seals.seal(kept.model_dump_json())
    services.callers._redis.set(f"rca:byo:{handle}", f"{seed_id}:{sealed}")
    broken = pipeline.accept(services, incident("a", service="a", llm=CallersModel(handle=handle)), via="test")
    behind = pipeline.accept(services, incident("b", service="b", llm=llm), via="test")
    drain(services)

    assert row_of(services, broken.investigation_id).failure_class == "byo_credential_expired"
    assert row_of(services, behind.investigation_id).status == "completed"


@pytest.mark.parametrize("path", ["/v1/incidents", "/v1/llm/handles"])
def test_7_3_while_redis_is_away_a_key_is_not_taken_and_the_answer_says_so(
    services: Services, web: AppClient, provider: ModelServer, path: str
) -> None:
    server = FakeServer()
    server.connected = False
    object.__setattr__(services, "callers", Callers(FakeRedis(server=server), services.settings))
    answer = web.post(path, json={"title": "slow", "llm": own(provider)} if path == "/v1/incidents" else own(provider))

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json()["detail"]["message"] == "Redis is away, where keys of callers are kept; try again"


def test_7_3_an_azure_address_is_azures_whatever_it_is_called(services: Services, provider: ModelServer) -> None:
    callers = Callers(FakeRedis(), services.settings, check=lambda *_args, **_how: "127.0.0.1")
    told = own(provider, base_url="https://mine.openai.azure.com", extra={"api_version": "2024-10-21"})
    account = callers.find(callers.keep(CallersModel.model_validate(told), user_path="/"), user_path="/")

    assert account.provider.name == "azure"
    assert account.account.azure is not None
    assert account.account.azure.api_version == "2024-10-21"


def test_7_3_without_a_seed_no_callers_key_is_taken(build: Build, provider: ModelServer) -> None:
    with client_of(build(aurora_secret_key=None)) as web:
        answer = web.post("/v1/incidents", json={"title": "slow", "llm": own(provider)})

    assert answer.status_code == 400
    assert "keys of callers are not taken here" in answer.json()["detail"]["message"]


def test_7_3a_on_the_queue_a_raw_key_is_sealed_before_anything_is_stored(
    services: Services, provider: ModelServer
) -> None:
    payload = json.dumps({"title": "slow", "llm": own(provider)})

    pipeline.accept(services, parse_event(payload), via="stream")

    with services.database.transaction() as session:
        assert KEY not in str(session.scalars(select(IncidentRow)).one().event)
    with pytest.raises(EventError, match=r"llm\.key: is required"):
        pipeline.accept(services, parse_event(json.dumps({"title": "x", "llm": own(provider, key=None)})), via="stream")


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"title": 1, "llm": {"key": KEY, "provider": "openai"}}),
        json.dumps({"llm": {"api_key": KEY}}),
        f'{{"title": "cut off", "llm": {{"key": "{KEY}',
        f'{{"llm": {{"api_key" : "{KEY}"}}, }}',
    ],
)
def test_7_3a_what_is_set_aside_holds_no_key(text: str) -> None:
    assert KEY not in without_keys(text)


def test_7_3a_a_producer_may_enqueue_a_handle_alone(services: Services, web: AppClient, provider: ModelServer) -> None:
    answer = web.post("/v1/llm/handles", json=own(provider))
    event = parse_event(json.dumps({"title": "slow", "llm": {"handle": answer.json()["handle"]}}))
    found = pipeline.accept(services, event, via="stream").investigation_id
    drain(services)

    assert (answer.status_code, answer.json()["expires_in_s"]) == (201, 86_400)
    assert row_of(services, found).status == "completed"
    assert set(keys_of(provider)) == {f"Bearer {KEY}"}


def test_7_3a_a_handle_serves_its_own_path_alone(services: Services, web: AppClient, provider: ModelServer) -> None:
    token = token_for(services, "incidents:write", user_path="/team/alpha")
    handle = web.post("/v1/llm/handles", headers=token, json=own(provider)).json()["handle"]
    llm = CallersModel(handle=handle)
    found = pipeline.accept(services, incident(llm=llm, user_path="/team/beta"), via="test").investigation_id

    assert row_of(services, found).failure_class == "byo_credential_expired"


# 7.3, a fresh account


FRESH = "callers-fresh-key-8d02b7"


def loses_the_key(services: Services) -> Callable[[Exchange], Reply]:
    """Run a command at the first turn, with the key gone before the second; report then."""

    def answer(exchange: Exchange) -> Reply:
        if exchange.assistant_turns:
            return REPORTS
        services.callers._redis.flushall()
        return Reply(tool_calls=[("run_command", {"command": "uptime", "purpose": "load"})])

    return answer


def expired(services: Services, server: ModelServer, **fields: Any) -> str:
    """Return an investigation that ended after its first turn because the key was gone."""
    server._script = loses_the_key(services)
    llm = CallersModel.model_validate(own(server))
    found = pipeline.accept(services, incident(llm=llm, **fields), via="test").investigation_id
    drain(services)
    assert row_of(services, found).failure_class == "byo_credential_expired"
    return found


def handles(services: Services) -> list[str]:
    return [key.decode().removeprefix("rca:byo:") for key in services.callers._redis.keys("rca:byo:*")]


def test_7_3_an_expired_one_goes_on_with_a_fresh_account_from_its_last_finished_turn(
    services: Services, web: AppClient, provider: ModelServer
) -> None:
    old = expired(services, provider)

    answer = web.post(f"/v1/investigations/{old}/retry", json={"llm": own(provider, key=FRESH, model="another")})
    drain(services)

    new = answer.json()["investigation_id"]
    assert (answer.status_code, row_of(services, new).status) == (202, "completed")
    assert keys_of(provider) == [f"Bearer {KEY}", f"Bearer {FRESH}"]
    assert [e.assistant_turns for e in provider.exchanges] == [0, 1]  # the first turn was not asked again
    assert provider.exchanges[-1].model == "another"
    assert handles(services) == []  # and the fresh key is forgotten at the end too
    assert FRESH not in answer.text


def test_7_3_a_rerun_begins_anew_with_the_account_it_is_given(
    services: Services, web: AppClient, provider: ModelServer
) -> None:
    old = expired(services, provider)
    provider._script = lambda _: REPORTS

    answer = web.post(f"/v1/investigations/{old}/rerun", json={"llm": own(provider, key=FRESH)})
    drain(services)

    assert row_of(services, answer.json()["investigation_id"]).status == "completed"
    assert (provider.exchanges[-1].assistant_turns, keys_of(provider)[-1]) == (0, f"Bearer {FRESH}")


def test_7_3_what_asked_the_platform_may_go_on_with_a_callers_account_alone(
    services: Services, web: AppClient, provider: ModelServer
) -> None:
    refused = Reply(status=401, body=b'{"error": {"message": "no"}}')
    provider._script = lambda exchange: refused if exchange.wire == "anthropic_messages" else REPORTS
    old = pipeline.accept(services, incident(), via="test").investigation_id
    drain(services)

    new = web.post(f"/v1/investigations/{old}/retry", json={"llm": own(provider)}).json()["investigation_id"]
    drain(services)

    assert row_of(services, new).status == "completed"
    assert keys_of(provider)[-1] == f"Bearer {KEY}"
    with services.database.transaction() as session:
        assert "llm" not in {k for k, v in session.scalars(select(IncidentRow)).one().event.items() if v}


@pytest.mark.parametrize("body", [None, {}, {"llm": None}])
def test_7_3_without_an_account_it_is_as_it_was(
    services: Services, web: AppClient, provider: ModelServer, body: dict[str, Any] | None
) -> None:
    old = expired(services, provider)

    answer = web.post(f"/v1/investigations/{old}/retry", **({} if body is None else {"json": body}))
    drain(services)

    assert answer.status_code == 202
    assert row_of(services, answer.json()["investigation_id"]).failure_class == "byo_credential_expired"


def test_7_3_a_retry_of_a_retry_keeps_the_fresh_account(
    services: Services, web: AppClient, provider: ModelServer
) -> None:
    old = expired(services, provider)
    provider._script = lambda _: Reply(status=401, body=b'{"error": {"message": "no"}}')
    second = web.post(f"/v1/investigations/{old}/retry", json={"llm": own(provider, key=FRESH)})
    drain(services)
    provider._script = lambda _: REPORTS

    third = web.post(f"/v1/investigations/{second.json()['investigation_id']}/retry")
    drain(services)

    assert row_of(services, third.json()["investigation_id"]).status == "completed"
    assert keys_of(provider)[-1] == f"Bearer {FRESH}"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"provider": None}, "llm.provider: is required"),
        ({"key": " "}, "llm.key: is required"),
        ({"provider": "vertex"}, "llm.provider: 'vertex' takes a set of credentials"),
        ({"base_url": "http://10.0.0.1/v1"}, "llm.base_url: has to begin with https://"),
        ({"handle": "byo_x"}, "is either a handle or an account"),
        ({"unknown": 1}, "llm.unknown"),
    ],
)
def test_7_3_a_fresh_account_is_checked_as_one_of_an_incident(
    services: Services, provider: ModelServer, changes: dict[str, Any], said: str
) -> None:
    old = expired(services, provider)

    for what in ("retry", "rerun"):
        with client_of(services) as web:
            answer = web.post(f"/v1/investigations/{old}/{what}", json={"llm": own(provider, key=FRESH) | changes})
        assert (answer.status_code, said in answer.json()["detail"]["message"]) == (400, True), answer.text
        assert FRESH not in answer.text
    assert handles(services) == []


@pytest.mark.parametrize("what", ["retry", "rerun"])
def test_7_3_a_fresh_account_that_fails_its_preflight_starts_nothing(
    services: Services, web: AppClient, provider: ModelServer, what: str
) -> None:
    old = expired(services, provider)
    provider._script = lambda _: Reply(status=401, body=json.dumps({"error": {"message": f"bad {FRESH}"}}).encode())

    llm = own(provider, key=FRESH, preflight=True)
    answer = web.post(f"/v1/investigations/{old}/{what}", json={"llm": llm})

    detail = answer.json()["detail"]
    assert (answer.status_code, detail["error"], detail["provider"]) == (401, "llm_provider_error", "openai")
    assert FRESH not in answer.text
    assert handles(services) == []
    with services.database.transaction() as session:
        assert len(session.scalars(select(InvestigationRow)).all()) == 1


def test_7_3_an_account_of_another_path_or_one_that_is_gone_is_refused(
    services: Services, web: AppClient, provider: ModelServer
) -> None:
    old = expired(services, provider, user_path="/team/beta")
    alpha = token_for(services, "incidents:write", user_path="/team/alpha")
    beta = token_for(services, "investigations:write", user_path="/team/beta")
    handle = web.post("/v1/llm/handles", headers=alpha, json=own(provider)).json()["handle"]

    for given, said in ((handle, "was handed in for another user_path"), ("byo_nobody", "is no longer kept")):
        answer = web.post(f"/v1/investigations/{old}/retry", headers=beta, json={"llm": {"handle": given}})
        assert (answer.status_code, answer.json()["detail"]["error"]) == (400, "byo_credential_expired")
        assert said in answer.json()["detail"]["message"]
    other = token_for(services, "investigations:write", user_path="/team/alpha")
    unseen = web.post(f"/v1/investigations/{old}/retry", headers=other, json={"llm": own(provider, key=FRESH)})
    assert unseen.status_code == 404
    assert handles(services) == [handle]


def test_7_3_an_attempt_that_is_refused_leaves_no_account_behind(
    services: Services, web: AppClient, provider: ModelServer
) -> None:
    old = pipeline.accept(services, incident(), via="test").investigation_id

    answer = web.post(f"/v1/investigations/{old}/retry", json={"llm": own(provider)})

    assert answer.status_code == 400
    assert handles(services) == []


def test_7_3_sub_agents_go_on_with_the_fresh_account_too(build: Build, provider: ModelServer) -> None:
    services = build(orchestrator_enabled=True, rca_orchestrator_model="anthropic/claude-opus-4.7",
                     rca_subagent_model="anthropic/claude-haiku-4.5")  # fmt: skip
    old = pipeline.accept(services, incident(llm=CallersModel.model_validate(own(provider))), via="test")
    with services.database.transaction() as session:
        lead = session.scalars(select(AgentRow)).one()
        child = {
            name: getattr(lead, name)
            for name in ("investigation_id", "nonce", "route", "not_before", "deadline_at", "created_at")
        }
        child |= {"id": "agt_child", "parent_id": lead.id, "agent_no": 1, "kind": "sub", "status": "ready"}
        session.add(AgentRow(role="general_investigator", brief={"max_seconds": 60}, **child))
    pipeline.cancel(services, old.investigation_id)
    handle = services.callers.keep(CallersModel.model_validate(own(provider, key=FRESH)), user_path="/")
    new = pipeline.retry(services, old.investigation_id, llm_handle=handle)

    with services.database.transaction() as session:
        agents = session.scalars(select(AgentRow).where(AgentRow.investigation_id == new)).all()
        routes = session.get_one(InvestigationRow, new).routes
    assert {agent.route["credential_ref"] for agent in agents} == {f"byo:{handle}"}
    assert len(agents) == 2
    assert {routes[who]["credential_ref"] for who in ("orchestrator", "subagent")} == {f"byo:{handle}"}


# 7.4, 7.6


def test_7_4_all_who_see_the_incident_ask_the_caller_the_judge_asks_the_platform(
    build: Build, provider: ModelServer
) -> None:
    services = build(orchestrator_enabled=True, rca_orchestrator_model="anthropic/claude-opus-4.7",
                     rca_subagent_model="anthropic/claude-haiku-4.5")  # fmt: skip
    llm = CallersModel.model_validate(own(provider))
    pipeline.accept(services, incident(llm=llm), via="test")

    with services.database.transaction() as session:
        row = session.scalars(select(InvestigationRow)).one()
        agent = session.scalars(select(AgentRow)).one()
    assert row.routes is not None
    assert {row.routes[who]["billed_to"] for who in ("orchestrator", "subagent")} == {"caller"}
    assert row.routes["roles"] == {}
    assert (agent.judge_route or {})["billed_to"] == "platform"


def test_7_4_the_judge_too_where_the_caller_says_all(services: Services, provider: ModelServer) -> None:
    llm = CallersModel.model_validate(own(provider, apply_to=["all"]))
    pipeline.accept(services, incident(llm=llm), via="test")

    with services.database.transaction() as session:
        agent = session.scalars(select(AgentRow)).one()
    assert (agent.judge_route or {})["billed_to"] == "caller"


def test_7_4_a_callers_account_that_is_down_is_nobody_elses_turn(build: Build) -> None:
    with ModelServer(lambda _: Reply(status=503, body=b"{}")) as down:
        services = build(down)
        llm = CallersModel.model_validate(own(down))
        pipeline.accept(services, incident(llm=llm), via="test")
        drain(services)

    assert set(keys_of(down)) == {f"Bearer {KEY}"}  # neither the platform's model nor the analyst
    with services.database.transaction() as session:
        assert session.scalars(select(AgentRow)).one().route["fallbacks"] == []
        assert session.scalars(select(ReportRow)).all() == []


def test_7_4_the_report_says_whose_account_was_told(services: Services, provider: ModelServer) -> None:
    pipeline.accept(services, incident(llm=CallersModel.model_validate(own(provider))), via="test")
    drain(services)

    with services.database.transaction() as session:
        report = Report.model_validate(session.scalars(select(ReportRow.body)).one())
    assert any("openai-compatible/my-model was asked with the caller's own account" in note for note in report.notes)


def test_7_4_a_local_only_incident_is_not_sent_to_a_callers_account(services: Services, provider: ModelServer) -> None:
    llm = CallersModel.model_validate(own(provider))
    found = pipeline.accept(services, incident(llm=llm, local_only=True), via="test").investigation_id

    assert row_of(services, found).failure_class == "route"


def test_7_6_usage_is_billed_to_the_caller_and_no_budget_of_the_day_knows_of_it(
    services: Services, provider: ModelServer
) -> None:
    pipeline.accept(services, incident(llm=CallersModel.model_validate(own(provider))), via="test")
    drain(services)

    with services.database.transaction() as session:
        rows = session.scalars(select(UsageRow)).all()
        day = spending.read_day(session)
    assert {row.billed_to for row in rows} == {"caller"}
    assert day.fleet.tokens == 0


# 7.5


def test_7_5_the_connection_goes_to_the_address_that_was_checked(build: Build, provider: ModelServer) -> None:
    """A name that means this machine when it is checked, and nothing at all when it is asked."""
    services = build()
    callers = Callers(FakeRedis(), services.settings, check=lambda *_args, **_how: "127.0.0.1")
    client = ProviderClient(services.settings, callers=callers)
    llm = CallersModel.model_validate(own(provider, base_url=f"http://name.invalid:{provider.port}/v1"))
    account = callers.find(callers.keep(llm, user_path="/"), user_path="/")
    route = services.router.callers_route(account)

    client.ask(hello(), route=route, timeout_s=5)
    client.close()

    assert provider.exchanges[-1].headers["host"] == f"name.invalid:{provider.port}"
