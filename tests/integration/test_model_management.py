"""Models managed over HTTP while the product runs: aliases, access, prices, backends, keys (rules 5.1-5.7, 6.1-6.6)."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import select

from tests.builders import build_services, close_services, drain, incident, submits_report
from tests.fakes import ScriptedModel
from tests.model_server import ModelServer, Reply
from tests.web_client import AppClient, client_of, token_for
from worker import managing, pipeline
from worker.bootstrap import Models
from worker.domain.model_state import Alias
from worker.errors import SealError, UserError
from worker.investigation.offline.analyst import OfflineAnalyst
from worker.llm.client import ProviderClient
from worker.llm.routing import Role
from worker.llm.sealing import Seals
from worker.services import Services
from worker.storage import audit, generations, provider_keys
from worker.storage.tables import AgentRow, InvestigationRow

Build = Callable[..., Services]
MASTER = "master-key-of-the-admin-api"
SEED = "a-seed-that-stays-as-it-is"
GIVEN: dict[str, Any] = {
    "aurora_master_key": MASTER,
    "aurora_secret_key": SEED,
    "openai_api_key": "key-of-the-environment",
    "anthropic_api_key": "another-key-of-the-environment",
    "llm_provider_mode": "direct",
}
ADMIN = {"Authorization": f"Bearer {MASTER}"}
HAIKU = "anthropic/claude-haiku-4.5"


@pytest.fixture
def build(database_url: str) -> Iterator[Build]:
    """Return what makes the services of one more process."""
    made: list[Services] = []

    def make(model: Any = None, **fields: Any) -> Services:
        made.append(build_services(database_url, model or ScriptedModel([submits_report()]), **(GIVEN | fields)))
        return made[-1]

    yield make
    for services in made:
        close_services(services)


@pytest.fixture
def services(build: Build) -> Services:
    return build()


@pytest.fixture
def web(services: Services) -> Iterator[AppClient]:
    with client_of(services) as client:
        yield client


def put(web: AppClient, path: str, **body: Any) -> Any:
    return web.request("PUT", path, headers=ADMIN, json=body)


def get(web: AppClient, path: str) -> Any:
    answer = web.get(path, headers=ADMIN)
    assert answer.status_code == 200, answer.text
    return answer.json()


def acts(services: Services) -> list[tuple[str, str, str]]:
    """Return what the chain holds, the oldest first."""
    with services.database.transaction() as session:
        rows = reversed(audit.page(session, limit=100))
        return [(row.action, row.subject, row.outcome) for row in rows]


def generation(services: Services) -> int:
    with services.database.transaction() as session:
        return generations.newest_number(session)


# 5.1


def test_5_1_an_alias_is_put_listed_used_and_deleted(services: Services, web: AppClient) -> None:
    answer = put(web, "/admin/api/v1/aliases/regular", target=HAIKU, description="the usual one")
    put(web, "/admin/api/v1/aliases/smarter", target_model="gpt-4o", target_provider="openai")

    assert answer.json() == {
        "name": "regular",
        "target": HAIKU,
        "enabled": True,
        "valid": True,
        "description": "the usual one",
    }
    assert [a["target"] for a in get(web, "/admin/api/v1/aliases")["aliases"]] == [HAIKU, "openai/gpt-4o"]
    found = pipeline.accept(services, incident(model="regular"), via="test").investigation_id
    with services.database.transaction() as session:
        agent = session.scalars(select(AgentRow)).one()
        assert session.get_one(InvestigationRow, found).llm_generation == 2
    assert (agent.route["alias"], agent.route["model"]) == ("regular", "claude-haiku-4-5")
    gone = [web.request("DELETE", "/admin/api/v1/aliases/regular", headers=ADMIN).status_code for _ in range(2)]
    assert gone == [204, 404]


@pytest.mark.parametrize(
    ("name", "target", "said"),
    [
        ("regular", "regular", "cannot stand for itself"),
        ("second", "first", "first is an alias itself; an alias leads one hop"),
        ("lost", "google/gemini-2.5-pro", "would lead nowhere"),
        (" ", HAIKU, "needs a name"),
    ],
)
def test_5_1_an_alias_that_cannot_be_is_refused(web: AppClient, name: str, target: str, said: str) -> None:
    put(web, "/admin/api/v1/aliases/first", target=HAIKU)

    answer = put(web, f"/admin/api/v1/aliases/{name}", target=target)

    assert answer.status_code == 400
    assert said in answer.json()["detail"]["message"]
    assert [a["name"] for a in get(web, "/admin/api/v1/aliases")["aliases"]] == ["first"]


@pytest.mark.parametrize("body", [{}, {"target": HAIKU, "target_model": "x"}, {"target": HAIKU, "misspelt": 1}])
def test_5_1_a_body_that_says_nothing_or_two_things_is_refused(web: AppClient, body: dict[str, Any]) -> None:
    assert put(web, "/admin/api/v1/aliases/x", **body).status_code == 400


# 5.5


def test_5_5_a_rule_denies_over_http_and_on_the_queue(services: Services, web: AppClient) -> None:
    rule = {"enabled": True, "user_paths": [" team/alpha/ "]}
    answer = put(web, "/admin/api/v1/model-overrides/openai%2Fgpt-4o", **rule)
    beta = token_for(services, "incidents:write", user_path="/team/beta")

    denied = web.post("/v1/incidents", headers=beta, json={"title": "slow", "model": "openai/gpt-4o"})
    queued = pipeline.accept(services, incident(model="openai/gpt-4o", user_path="/team/beta"), via="test")
    allowed = pipeline.accept(services, incident("x", model="openai/gpt-4o", user_path="/team/alpha/svc"), via="test")

    assert answer.json()["user_paths"] == ["/team/alpha"]
    assert (denied.status_code, denied.json()["detail"]["error"]) == (403, "model_access_denied")
    with services.database.transaction() as session:
        row = session.get_one(InvestigationRow, queued.investigation_id)
        assert (row.status, row.failure_class) == ("failed", "model_access_denied")
        assert session.get_one(InvestigationRow, allowed.investigation_id).status == "running"


@pytest.mark.parametrize("paths", [[], ["/a/../b"], ["/a:b"], ["/a//b"]])
def test_5_5_a_rule_of_no_path_or_a_bad_one_is_refused(web: AppClient, paths: list[str]) -> None:
    assert put(web, "/admin/api/v1/model-overrides/openai/", enabled=True, user_paths=paths).status_code == 400
    assert put(web, "/admin/api/v1/model-overrides/openai/", enabled=False, user_paths=[]).status_code == 200


# 5.7


def listed(web: AppClient, headers: dict[str, str]) -> list[str]:
    answer = web.get("/v1/models", headers=headers).json()
    assert answer["object"] == "list"
    return [model["id"] for model in answer["data"]]


def test_5_7_a_caller_is_shown_what_it_may_use_sorted(services: Services, web: AppClient) -> None:
    put(web, "/admin/api/v1/aliases/regular", target=HAIKU)
    put(web, "/admin/api/v1/aliases/off", target=HAIKU, enabled=False)
    put(web, "/admin/api/v1/aliases/secret", target="openai/gpt-4o")
    put(web, "/admin/api/v1/model-overrides/openai/", enabled=True, user_paths=["/team/alpha"])

    alpha = listed(web, token_for(services, "reports:read", user_path="/team/alpha"))
    beta = listed(web, token_for(services, "reports:read", user_path="/team/beta"))

    assert alpha == sorted(alpha)
    assert {"regular", "secret", "openai/gpt-4o", HAIKU} <= set(alpha)
    assert "off" not in alpha
    assert not {name for name in beta if name == "secret" or name.startswith("openai/")}
    assert {"regular", HAIKU} <= set(beta)


def test_5_7_only_aliases_may_be_shown_and_all_be_used(build: Build) -> None:
    services = build(keep_only_aliases_at_models_endpoint=True)
    managing.put_alias(services, "me", Alias(name="regular", target=HAIKU))

    with client_of(services) as web:
        assert listed(web, ADMIN) == ["regular"]
    assert services.router.route(Role.RCA, named="openai/gpt-4o").model == "gpt-4o"


# 5.8


def test_5_8_a_change_is_followed_by_every_process_and_what_runs_stays_as_it_began(build: Build) -> None:
    first, second = build(), build()
    managing.put_alias(first, "me", Alias(name="fast", target=HAIKU))
    second.models.refresh()
    running = pipeline.accept(second, incident(model="fast"), via="test").investigation_id

    managing.put_alias(first, "me", Alias(name="fast", target="openai/gpt-4o"))
    second.models.refresh()
    later = pipeline.accept(second, incident("y", model="fast"), via="test").investigation_id
    drain(second)

    with first.database.transaction() as session:
        routes = dict(session.execute(select(AgentRow.investigation_id, AgentRow.route)).all())
        pins = {id_: session.get_one(InvestigationRow, id_).llm_generation for id_ in (running, later)}
    assert {id_: route["model"] for id_, route in routes.items()} == {running: "claude-haiku-4-5", later: "gpt-4o"}
    assert pins == {running: 1, later: 2}


def test_5_8_what_cannot_work_is_not_made_and_the_one_before_serves_on(services: Services) -> None:
    managing.put_backend(services, "me", "anthropic")

    with pytest.raises(UserError, match=r"it would not work: .*DEEPSEEK"):
        managing.put_backend(services, "me", "deepseek")

    assert generation(services) == 1
    assert services.router.route(Role.RCA).provider == "anthropic"
    assert acts(services)[-1] == ("config.put", "deepseek", "refused")


def test_5_8_a_pin_holds_no_secret_a_new_key_is_used_at_once_and_a_removed_one_is_named(build: Build) -> None:
    with ModelServer(lambda _: Reply(tool_calls=[("list_entities", {})])) as server:
        services = build(openai_base_url=server.openai_url, openai_api_key=None)
        managing.put_key(services, "me", "openai", "the-first-stored-key")
        client = ProviderClient(services.settings, source=services.models.latest)
        object.__setattr__(services, "model", Models(offline=OfflineAnalyst(), providers=client))
        pipeline.accept(services, incident(model="openai/gpt-4.1"), via="test")
        with services.database.transaction() as session:
            agent = session.scalars(select(AgentRow)).one()
        assert "first-stored" not in str(agent.route)

        take_turn(services, agent.id, 1)
        managing.put_key(services, "me", "openai", "the-second-stored-key")
        take_turn(services, agent.id, 2)
        managing.delete_key(services, "me", "openai")
        pipeline.take_turn(services, agent.id, 3)
        client.close()

    sent = [exchange.headers["authorization"] for exchange in server.exchanges]
    assert sent == ["Bearer the-first-stored-key", "Bearer the-second-stored-key"]
    with services.database.transaction() as session:
        row = session.scalars(select(InvestigationRow)).one()
    assert (row.status, row.failure_class) == ("failed", "provider_credential_missing")


def take_turn(services: Services, agent_id: str, turn_no: int) -> None:
    pipeline.take_turn(services, agent_id, turn_no)
    pipeline.act(services, agent_id, turn_no)


def test_5_8_a_key_is_removed_even_where_nothing_works_without_it(build: Build) -> None:
    fields = {"rca_model": "openai/gpt-4.1", "openai_api_key": None}
    first = build(openai_api_key=None)
    managing.put_key(first, "me", "openai", "the-only-key-there-is")
    services = build(**fields)
    assert services.router.route(Role.RCA).label == "openai/gpt-4.1"

    managing.delete_key(services, "me", "openai")

    assert services.models.latest().settings.openai_api_key is None
    assert (
        services.router.route(Role.RCA).label == "openai/gpt-4.1"
    )  # what it led to before; its calls say what is missing


def test_5_8_a_key_is_removed_even_where_the_file_cannot_be_read(build: Build, tmp_path: Path) -> None:
    path = tmp_path / "models.yaml"
    path.write_text("llm: {aliases: {fast: anthropic/claude-haiku-4.5}}")
    services = build(rca_llm_config=str(path))
    managing.put_key(services, "me", "openai", "stored-key-of-openai")
    path.write_text("llm: [broken")
    managing.delete_key(services, "me", "openai")

    latest = services.models.latest()
    assert latest.settings.openai_api_key.get_secret_value() == "key-of-the-environment"
    assert latest.sources == {}
    assert "fast" in latest.file.content.llm.aliases
    assert services.models.get().generation == 1


# 6.1


def test_6_1_the_inventory_says_what_there_is_and_shows_no_key(web: AppClient) -> None:
    put(web, "/api/v1/system/llm/providers/deepseek/key", api_key=" sk-0123456789abcdef ")
    put(web, "/api/v1/system/llm/config", provider="deepseek", model="deepseek-v4-flash")

    inventory = get(web, "/api/v1/system/llm/providers")
    by_name = {one["provider"]: one for one in inventory["providers"]}

    assert inventory["active_backend"] == "deepseek"
    assert by_name["deepseek"] == {
        "provider": "deepseek",
        "configured": True,
        "active": True,
        "model": "deepseek-v4-flash",
        "orchestrator_model": None,
        "requires_key": True,
        "key_present": True,
        "key_last4": "cdef",
        "source": "database",
        "base_url": "optional",
        "data_leaves_host": True,
    }
    assert (by_name["openai"]["source"], by_name["openai"]["key_last4"]) == ("env", "ment")
    assert (by_name["google"]["key_present"], by_name["google"]["base_url"]) == (False, "none")
    assert (by_name["ollama"]["requires_key"], by_name["ollama"]["data_leaves_host"]) == (False, False)
    assert "0123456789" not in str(inventory)


def test_6_1_a_stored_backend_counts_before_variables_after_a_restart_too(build: Build) -> None:
    fields = {"rca_model": "openai/gpt-4o", "llm_deepseek_api_key": "k"}
    managing.put_backend(build(**fields), "me", "deepseek", model="deepseek-v4-pro", orchestrator_model="x")

    restarted = build(**fields)
    restarted.models.refresh()
    assert restarted.router.route(Role.RCA).label == "deepseek/deepseek-v4-pro"

    managing.put_backend(restarted, "me", "deepseek", model=None)
    backend, _ = managing.put_backend(restarted, "me", "deepseek")
    assert (backend.model, backend.orchestrator_model) == (None, "x")  # null clears, what is left out stays


@pytest.mark.parametrize(
    ("provider", "key", "said"),
    [("openai", "  ", "api_key is blank"), ("ollama", "k", "ollama takes no key"), ("skynet", "k", "is no provider")],
)
def test_6_1_a_blank_key_or_one_of_a_keyless_provider_is_refused(
    web: AppClient, provider: str, key: str, said: str
) -> None:
    answer = put(web, f"/api/v1/system/llm/providers/{provider}/key", api_key=key)

    assert answer.status_code == 400
    assert said in answer.json()["detail"]["message"]


def test_6_1_a_key_that_is_deleted_lets_the_variables_count_again(services: Services, web: AppClient) -> None:
    put(web, "/api/v1/system/llm/providers/openai/key", api_key="a-stored-key-of-openai")
    assert services.models.get().settings.openai_api_key == SecretStr("a-stored-key-of-openai")

    answer = web.request("DELETE", "/api/v1/system/llm/providers/openai/key", headers=ADMIN)

    assert answer.json() == {"provider": "openai", "key_present": True, "key_last4": "ment", "source": "env"}
    assert services.models.get().settings.openai_api_key == SecretStr("key-of-the-environment")


def test_6_1_a_test_is_a_real_call_of_the_default_model(build: Build) -> None:
    replies = [Reply(text="ok"), Reply(status=401, body=b'{"error": {"message": "bad key key-of-the-environment"}}')]
    with ModelServer(lambda exchange: replies[min(exchange.number, 2) - 1]) as server:
        services = build(openai_base_url=server.openai_url)
        client = ProviderClient(services.settings, source=services.models.latest)
        object.__setattr__(services, "model", Models(offline=OfflineAnalyst(), providers=client))
        with client_of(services) as web:
            path = "/api/v1/system/llm/providers/{}/test"
            said = [web.post(path.format(p), headers=ADMIN).json() for p in ("openai", "openai", "vllm")]
        client.close()

    assert (said[0]["reachable"], said[0]["model"]) == (True, "gpt-4.1-mini")
    assert (said[1]["reachable"], said[1]["error"]) == (False, "provider_auth")
    assert "key-of-the-environment" not in str(said)
    assert said[2]["message"] == "No model configured for vllm. Set LLM_VLLM_MODEL."
    assert server.count == 2


# 6.2


def test_6_2_keys_are_stored_sealed_and_only_with_a_seed(build: Build) -> None:
    services = build()
    managing.put_key(services, "me", "openai", "a-key-that-nobody-sees")
    with services.database.transaction() as session:
        (stored,) = provider_keys.all_keys(session)

    assert "nobody" not in stored.sealed
    assert Seals(services.settings).open(stored.sealed, stored.seed_id) == "a-key-that-nobody-sees"
    with pytest.raises(UserError, match=r"AURORA_SECRET_KEY \(or JWT_SECRET_KEY\) is set"):
        managing.put_key(build(aurora_secret_key=None), "me", "openai", "k" * 20)


def test_6_2_a_changed_seed_is_told_from_a_missing_key_and_the_old_one_opens_till_all_is_sealed_anew(
    build: Build,
) -> None:
    managing.put_key(build(), "me", "openai", "a-key-that-stays-the-same")
    changed = build(aurora_secret_key="another-seed")
    with changed.database.transaction() as session:
        (stored,) = provider_keys.all_keys(session)
    with pytest.raises(SealError, match=r"sealed with another seed; .*AURORA_SECRET_KEY_PREVIOUS"):
        Seals(changed.settings).open(stored.sealed, stored.seed_id)
    assert changed.models.refresh().settings.openai_api_key == SecretStr("key-of-the-environment")

    both = build(aurora_secret_key="another-seed", aurora_secret_key_previous=SEED)
    assert managing.rotate_keys(both, "me") == 1

    alone = build(aurora_secret_key="another-seed")
    assert alone.models.refresh().settings.openai_api_key == SecretStr("a-key-that-stays-the-same")


def test_6_2_a_sealed_key_that_was_tampered_with_is_not_opened(services: Services) -> None:
    sealed, seed_id = Seals(services.settings).seal("k")

    with pytest.raises(SealError, match="changed since it was stored"):
        Seals(services.settings).open(sealed[:-8] + "AAAAAAA=", seed_id)


# 6.3


def test_6_3_stored_keys_are_there_before_the_first_client_and_beat_variables(build: Build) -> None:
    managing.put_key(build(), "me", "openai", "a-stored-key-of-openai")

    started = build()

    assert started.models.get().settings.openai_api_key == SecretStr("a-stored-key-of-openai")
    assert "a-stored-key-of-openai" not in started.redactor.scrub("it said a-stored-key-of-openai")


# 6.4


def test_6_4_each_mutation_is_one_row_and_one_generation_and_a_refusal_is_a_row_alone(
    services: Services, web: AppClient
) -> None:
    put(web, "/admin/api/v1/aliases/regular", target=HAIKU)
    put(web, "/admin/api/v1/aliases/regular", target="regular")
    put(web, "/admin/api/v1/model-overrides/openai/", enabled=True, user_paths=["/a"])
    put(web, "/admin/api/v1/model-pricing/openai%2Fgpt-4o", currency="USD", input_per_mtok=1)
    put(web, "/api/v1/system/llm/providers/openai/key", api_key="a-stored-key-of-openai")
    web.request("DELETE", "/admin/api/v1/aliases/none", headers=ADMIN)

    assert acts(services) == [
        ("alias.put", "regular", "done"),
        ("alias.put", "regular", "refused"),
        ("access.put", "openai/", "done"),
        ("price.put", "openai/gpt-4o", "done"),
        ("key.put", "openai", "done"),
        ("alias.delete", "none", "refused"),
    ]
    assert generation(services) == 4
    entries = get(web, "/admin/api/v1/audit?limit=2")
    assert [entry["seq"] for entry in entries["entries"]] == [6, 5]
    assert entries["next"] == 5
    assert entries["entries"][1]["actor"] == "AURORA_MASTER_KEY"
    assert entries["entries"][1]["detail"] == {"last4": "enai", "where": "database"}
    assert "a-stored-key" not in str(get(web, "/admin/api/v1/audit"))


@pytest.mark.parametrize("before", [0, 2**31, 5177505799094516318208])
def test_6_4_a_row_number_that_cannot_be_is_refused(web: AppClient, before: int) -> None:
    answer = web.get(f"/admin/api/v1/audit?before={before}", headers=ADMIN)

    assert (answer.status_code, answer.json()["detail"]["error"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("asked", "body", "act"),
    [
        ("PUT /admin/api/v1/model-overrides/openai/", {"user_paths": ["/a//b"]}, ("access.put", "openai/")),
        ("PUT /admin/api/v1/model-overrides/openai/", {"user_paths": []}, ("access.put", "openai/")),
        ("PUT /admin/api/v1/model-pricing/gpt-4o", {"input_per_mtok": "dear"}, ("price.put", "gpt-4o")),
        ("DELETE /admin/api/v1/model-pricing/gpt-4o", None, ("price.delete", "gpt-4o")),
        ("PUT /api/v1/system/llm/providers/openai/key", {"api_key": " "}, ("key.put", "openai")),
        ("PUT /api/v1/system/llm/providers/ollama/key", {"api_key": "x"}, ("key.put", "ollama")),
        ("DELETE /api/v1/system/llm/providers/skynet/key", None, ("key.delete", "skynet")),
        ("PUT /api/v1/system/llm/config", {"provider": "skynet"}, ("config.put", "skynet")),
    ],
)
def test_6_4_what_is_refused_before_it_reaches_the_state_is_a_row_too(
    web: AppClient, services: Services, asked: str, *, body: Any, act: tuple[str, str]
) -> None:
    method, _, path = asked.partition(" ")
    answer = web.request(method, path, headers=ADMIN, json=body)

    assert answer.status_code in {400, 404}, answer.text
    assert acts(services) == [(*act, "refused")]
    assert generation(services) == 0


def test_6_4_a_key_in_the_wrong_place_does_not_end_in_the_chain(services: Services) -> None:
    key = "sk-ant-api03-" + "Zq7" * 30
    with pytest.raises(UserError):
        managing.put_key(services, "me", key, "anthropic")

    with services.database.transaction() as session:
        (row,) = audit.page(session, limit=10)
    assert row.outcome == "refused"
    assert "Zq7Zq7" not in str(row.subject) + str(row.detail)


# 6.5


def test_6_5_the_documented_rule_is_put_as_it_is_printed(web: AppClient) -> None:
    path = "/admin/api/v1/model-overrides/openai-primary%2Fmy-model"
    answer = put(web, path, enabled=True, user_paths=["/team/alpha"])

    assert answer.status_code == 200
    assert answer.json() == {
        "selector": "openai-primary/my-model",
        "enabled": True,
        "user_paths": ["/team/alpha"],
        "valid": False,
    }
    assert [web.request("DELETE", path, headers=ADMIN).status_code for _ in range(2)] == [204, 404]


def test_6_5_models_are_listed_with_their_rule_and_their_aliases(web: AppClient) -> None:
    put(web, "/admin/api/v1/aliases/regular", target=HAIKU)
    put(web, f"/admin/api/v1/model-overrides/{HAIKU.replace('/', '%2F')}", enabled=False)

    models = {model["selector"]: model for model in get(web, "/admin/api/v1/models")["models"]}

    assert models[HAIKU]["aliases"] == ["regular"]
    assert models[HAIKU]["override"]["enabled"] is False
    assert models["openai/gpt-4o"]["override"] is None
    assert models["openai/gpt-4o"]["price_source"].startswith("public list prices")


def test_6_5_a_price_that_is_set_counts_for_the_next_call(services: Services, web: AppClient) -> None:
    answer = put(
        web, "/admin/api/v1/model-pricing/openai%2Fgpt-4o", currency="USD", input_per_mtok=1, output_per_mtok=3
    )
    bad = put(web, "/admin/api/v1/model-pricing/openai%2Fgpt-4o", currency="USD", input_per_mtok=-1)

    price = services.router.route(Role.RCA, named="openai/gpt-4o").price
    assert answer.json()["valid"] is True
    assert price is not None
    assert (price.input_per_mtok, price.output_per_mtok) == (1.0, 3.0)
    assert price.source.endswith("prices stored by generation 1")
    assert (bad.status_code, bad.json()["detail"]["message"][:14]) == (400, "input_per_mtok")


def test_6_5_switched_off_it_says_so(build: Build) -> None:
    services = build(aurora_master_key=None, rca_api_token="a-token-of-all-scopes")

    with client_of(services) as web:
        answer = web.get("/admin/api/v1/models", headers={"Authorization": "Bearer a-token-of-all-scopes"})

    assert (answer.status_code, answer.json()["detail"]["error"]) == (503, "feature_unavailable")


# 6.6


def test_6_6_geminis_base_url_is_taken_ignored_and_warned_about(build: Build) -> None:
    with client_of(build(google_ai_api_key="k")) as web:
        answer = put(web, "/api/v1/system/llm/config", provider="gemini", base_url="http://x/v1")

    assert answer.status_code == 200
    assert answer.json()["provider"] == "google"
    assert "google takes no base URL: it is ignored" in answer.json()["warning"]
    assert answer.json()["base_url"] is None
