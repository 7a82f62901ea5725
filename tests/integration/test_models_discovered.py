"""`/v1/models` with what the endpoints themselves list (rules 5.6, 5.7)."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.builders import build_services, close_services
from tests.fakes import ScriptedModel
from tests.model_server import ModelServer, Reply, demo
from tests.web_client import client_of, token_for
from worker import managing
from worker.domain.model_state import AccessRule, Alias
from worker.llm.discovery import Discovery
from worker.services import Services

MASTER = "master-key-of-the-admin-api"
ADMIN = {"Authorization": f"Bearer {MASTER}"}
Build = Callable[..., Services]
UPSTREAM = ("gpt-upstream", "gpt-4o")


def lists(*models: str) -> Callable[..., Reply]:
    body = json.dumps({"object": "list", "data": [{"id": model} for model in models]}).encode()
    return lambda _path, _headers: Reply(body=body)


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer(demo, lists=lists(*UPSTREAM)) as server:
        yield server


@pytest.fixture
def build(database_url: str, server: ModelServer) -> Iterator[Build]:
    """Return what makes services whose OpenAI is the server, and that ask it for its list."""
    made: list[Services] = []

    def make(**fields: Any) -> Services:
        given = {
            "aurora_master_key": MASTER,
            "openai_api_key": "a-key-of-openai",
            "openai_base_url": server.openai_url,
            "llm_provider_mode": "direct",
        }
        services = build_services(database_url, ScriptedModel([]), **(given | fields))
        made.append(replace(services, discovered=Discovery(services.models.latest, kept_s=300)))
        return made[-1]

    yield make
    for services in made:
        close_services(services)


def shown(services: Services, headers: dict[str, str] = ADMIN) -> list[str]:
    with client_of(services) as web:
        return [model["id"] for model in web.get("/v1/models", headers=headers).json()["data"]]


def test_5_6_what_an_endpoint_lists_counts_before_the_configured_list_and_the_catalogue(
    build: Build, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_MODELS", "gpt-configured")

    services = build()

    assert shown(services) == ["openai/gpt-4o", "openai/gpt-upstream"]
    with client_of(services) as web:
        models = web.get("/admin/api/v1/models", headers=ADMIN).json()["models"]
    assert [model["selector"] for model in models] == ["openai/gpt-upstream", "openai/gpt-4o"]
    assert server.listed == ["/v1/models"]


@pytest.mark.parametrize("answer", [lists(), lambda _path, _headers: Reply(status=503)])
def test_5_6_the_configured_list_serves_while_upstream_is_away_or_empty(
    build: Build, server: ModelServer, monkeypatch: pytest.MonkeyPatch, answer: Callable[..., Reply]
) -> None:
    server.lists = answer
    monkeypatch.setenv("OPENAI_MODELS", "gpt-configured")

    assert shown(build()) == ["openai/gpt-configured"]


def test_5_6_the_known_models_serve_where_nothing_is_configured_either(build: Build, server: ModelServer) -> None:
    server.lists = lists()

    assert "openai/gpt-4.1-mini" in shown(build())


def test_5_6_with_an_allowlist_upstream_is_not_asked(
    build: Build, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_MODELS", "gpt-configured")

    services = build(configured_provider_models_mode="allowlist", rca_model="openai/gpt-configured")

    assert shown(services) == ["openai/gpt-configured"]
    assert server.listed == []


def test_5_6_an_endpoint_with_a_name_of_its_own_is_asked_by_its_own_key(
    build: Build, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: list[str] = []

    def answer(path: str, headers: Any) -> Reply:
        keys.append(headers["authorization"])
        return lists("gpt-of-the-east")(path, headers)

    with ModelServer(demo, lists=answer) as east:
        monkeypatch.setenv("OPENAI_EAST_API_KEY", "a-key-of-the-east")
        monkeypatch.setenv("OPENAI_EAST_BASE_URL", east.openai_url)
        assert shown(build()) == ["openai-east/gpt-of-the-east", "openai/gpt-4o", "openai/gpt-upstream"]
    assert keys == ["Bearer a-key-of-the-east"]


def test_5_7_rules_and_aliases_hold_for_what_is_discovered(build: Build) -> None:
    services = build()
    managing.put_alias(services, "me", Alias(name="regular", target="openai/gpt-upstream"))
    rule = AccessRule(selector="openai/gpt-upstream", enabled=True, user_paths=("/team/alpha",))
    managing.put_rule(services, "me", rule)

    alpha = shown(services, token_for(services, "reports:read", user_path="/team/alpha"))
    beta = shown(services, token_for(services, "reports:read", user_path="/team/beta"))

    assert alpha == ["openai/gpt-4o", "openai/gpt-upstream", "regular"]
    assert beta == ["openai/gpt-4o"]


def test_5_7_where_aliases_alone_are_shown_nobody_is_asked(build: Build, server: ModelServer) -> None:
    services = build(keep_only_aliases_at_models_endpoint=True)
    managing.put_alias(services, "me", Alias(name="regular", target="openai/gpt-4o"))

    assert shown(services) == ["regular"]
    assert server.listed == []


def test_a_gateway_lists_its_own_and_of_the_known_models_those_it_serves(build: Build, server: ModelServer) -> None:
    server.lists = lists("anthropic/claude-haiku-4.5", "acme/own-model")

    given = {"openrouter_api_key": "a-key-of-openrouter", "openrouter_base_url": server.openai_url}
    found = shown(build(**given, llm_provider_mode="openrouter"))

    assert found == [
        "anthropic/claude-haiku-4.5",
        "openrouter/acme/own-model",
        "openrouter/anthropic/claude-haiku-4.5",
    ]
    assert server.listed == ["/v1/models"]  # not OpenAI, which is never asked in this mode


def test_neither_a_probe_nor_an_incident_asks_for_lists(build: Build, server: ModelServer) -> None:
    with client_of(build()) as web:
        web.get("/readyz")
        web.post("/v1/incidents", headers=ADMIN, json={"title": "checkout is slow"})

    assert server.listed == []
