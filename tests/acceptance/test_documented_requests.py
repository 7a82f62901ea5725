"""Requests as the documents print them, sent by curl to a real server; hosts, keys and ids alone are ours."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fakeredis import FakeRedis

from tests.builders import report_arguments
from tests.conftest import REQUIRED
from tests.model_server import Exchange, ModelServer, Reply
from tests.web_client import running_server, sqlite_services
from worker.bootstrap import Models
from worker.investigation.offline.analyst import OfflineAnalyst
from worker.llm.callers import Callers
from worker.llm.client import ProviderClient
from worker.services import Services

MASTER = "master-key-of-the-admin-api"
PROVIDERS = ["deepseek", "gemini", "openai", "anthropic", "ollama", "vllm"]
Ask = Callable[..., tuple[int, Any]]


@pytest.fixture(autouse=True)
def _need_curl() -> None:
    if shutil.which("curl") is None:
        (pytest.fail if REQUIRED else pytest.skip)("curl is not installed")


@pytest.fixture
def server() -> Iterator[ModelServer]:
    """Refuse the key that the documents call rejected, and the model that nobody has."""

    def answer(exchange: Exchange) -> Reply:
        told = json.dumps(exchange.body)
        if "rejected" in str(exchange.headers):
            return Reply(status=401, body=b'{"error": {"message": "Incorrect API key provided"}}')
        if "no-such-model" in told:
            return Reply(status=404, body=b'{"error": {"message": "no such model", "code": "model_not_found"}}')
        if "over-its-rate" in told:
            return Reply(status=429, headers={"Retry-After": "7"}, body=b'{"error": {"message": "slow down"}}')
        return Reply(tool_calls=[("submit_report", report_arguments())]) if exchange.tools else Reply(text="ok")

    with ModelServer(answer) as found:
        yield found


@pytest.fixture
def services(tmp_path: Path, server: ModelServer) -> Iterator[Services]:
    given = {
        "aurora_master_key": MASTER,
        "aurora_secret_key": "a-seed",
        "llm_deepseek_base_url": server.openai_url,
        "anthropic_base_url": server.root,
        "anthropic_api_key": "key-of-the-platform",
        "byo_base_url_allowlist": "127.0.0.1",
    }
    with sqlite_services(tmp_path, **given) as found:
        callers = Callers(FakeRedis(), found.settings)
        client = ProviderClient(found.settings, source=found.models.latest, callers=callers, sleep=lambda _: None)
        object.__setattr__(found, "callers", callers)
        object.__setattr__(found, "model", Models(offline=OfflineAnalyst(), providers=client))
        yield found
        client.close()


@pytest.fixture
def ask(services: Services) -> Iterator[Ask]:
    """Send what curl is told to; return the status and the JSON that came back."""
    with ExitStack() as stack:
        address = stack.enter_context(running_server(services))

        def send(method: str, path: str, body: str = "") -> tuple[int, Any]:
            headers = ["-H", f"Authorization: Bearer {MASTER}", "-H", "Content-Type: application/json"]
            data = ["-d", body] if body else []
            command = ["curl", "-s", "-X", method, f"{address}{path}", *headers, *data, "-w", "\n%{http_code}"]
            said = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
            text, _, status = said.rpartition("\n")
            return int(status), json.loads(text) if text else None

        yield send


# Providers and keys at run time


def test_the_inventory_names_each_provider_its_key_and_whether_data_leaves(ask: Ask) -> None:
    status, said = ask("GET", "/api/v1/system/llm/providers")

    found = {item["provider"]: item for item in said["providers"]}
    needs = {name: (found[name]["requires_key"], found[name]["data_leaves_host"]) for name in ("ollama", "deepseek")}
    assert status == 200
    assert needs == {"ollama": (False, False), "deepseek": (True, True)}
    assert found["google"]["base_url"] == "none"
    assert (found["anthropic"]["key_present"], found["anthropic"]["key_last4"]) == (True, "form")
    assert "key-of-the-platform" not in str(said)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_each_documented_backend_is_made_the_active_one(ask: Ask, services: Services, provider: str) -> None:
    body = json.dumps({"provider": provider, "model": "a-model", "orchestrator_model": "a-larger-one"})
    if provider not in {"ollama", "vllm"}:
        assert ask("PUT", f"/api/v1/system/llm/providers/{provider}/key", '{"api_key": "a-key-of-its-own"}')[0] == 200
    if provider in {"vllm", "ollama"}:
        body = json.dumps(json.loads(body) | {"base_url": "http://127.0.0.1:9"})

    status, said = ask("PUT", "/api/v1/system/llm/config", body)

    assert (status, said["model"], said["orchestrator_model"]) == (200, "a-model", "a-larger-one")
    assert services.models.get().state.active == said["provider"]


def test_a_key_is_put_tested_by_one_call_and_deleted(ask: Ask, server: ModelServer) -> None:
    put = ask("PUT", "/api/v1/system/llm/providers/deepseek/key", '{"api_key": "a-key-of-deepseek"}')
    assert put == (200, {"provider": "deepseek", "key_present": True, "key_last4": "seek", "source": "database"})
    assert ask("PUT", "/api/v1/system/llm/config", '{"provider": "deepseek", "model": "deepseek-v4-flash"}')[0] == 200

    status, said = ask("POST", "/api/v1/system/llm/providers/deepseek/test")
    assert (status, said["reachable"], said["model"], server.count) == (200, True, "deepseek-v4-flash", 1)

    status, said = ask("DELETE", "/api/v1/system/llm/providers/deepseek/key")
    assert (status, said["key_present"], said["source"]) == (200, False, None)


def test_without_a_model_a_test_says_what_to_set(ask: Ask) -> None:
    _, said = ask("POST", "/api/v1/system/llm/providers/vllm/test")

    assert said["message"].startswith("No model configured for vllm.")
    assert "LLM_VLLM_MODEL" in said["message"]


def test_a_base_url_of_gemini_is_taken_and_does_not_count(ask: Ask) -> None:
    ask("PUT", "/api/v1/system/llm/providers/gemini/key", '{"api_key": "a-key-of-google"}')

    status, said = ask("PUT", "/api/v1/system/llm/config", '{"provider": "gemini", "base_url": "https://example.com"}')

    assert (status, said["base_url"]) == (200, None)
    assert "takes no base URL" in said["warning"]


# Model management


def test_the_access_rule_is_put_as_it_is_printed(ask: Ask) -> None:
    body = '{\n"enabled": true,\n"user_paths": ["/team/alpha"]\n}'

    status, said = ask("PUT", "/admin/api/v1/model-overrides/openai-primary%2Fmy-model", body)

    assert (status, said["selector"], said["user_paths"]) == (200, "openai-primary/my-model", ["/team/alpha"])


def test_an_alias_is_made_and_the_documented_request_names_it(ask: Ask, server: ModelServer) -> None:
    (model, *_) = [m["selector"] for m in ask("GET", "/admin/api/v1/models")[1]["models"] if "haiku" in m["selector"]]
    assert ask("PUT", "/admin/api/v1/aliases/regular", json.dumps({"target": model}))[0] == 200

    status, said = ask("POST", "/v1/chat/completions", '{\n"model": "regular",\n"messages": []\n}')

    assert (status, said["model"], said["choices"][0]["message"]["content"]) == (200, "regular", "ok")
    assert server.exchanges[0].model.startswith("claude")


# The caller's own model


def incident(**llm: Any) -> str:
    return json.dumps({"title": "checkout is slow", "idempotency_key": json.dumps(llm), "llm": llm})


ANTHROPIC = {"provider": "anthropic", "model": "claude-opus-4-7", "key": "sk-ant-api03-your-key-here"}
OPENAI = {"provider": "openai", "model": "gpt-4o", "key": "sk-proj-your-key-here"}
AZURE = {  # an address: its name is looked up, and not every machine can
    "provider": "azure",
    "model": "my-gpt4o-deployment",
    "key": "your-azure-key",
    "base_url": "https://8.8.8.8",
    "extra": {"api_version": "2024-08-01-preview"},
}
TOGETHER = {
    "provider": "openai",
    "model": "meta-llama/Llama-4-70b-instruct",
    "key": "your-key",
    "base_url": "https://8.8.8.8/v1",
}


@pytest.mark.parametrize("llm", [ANTHROPIC, OPENAI, AZURE, TOGETHER], ids=["anthropic", "openai", "azure", "together"])
def test_an_incident_brings_its_callers_account_as_it_is_printed(ask: Ask, services: Services, llm: Any) -> None:
    status, said = ask("POST", "/v1/incidents", incident(**llm))

    assert status == 202, said
    assert llm["key"] not in json.dumps(said)
    shown = ask("GET", f"/v1/investigations/{said['investigation_id']}")[1]
    assert llm["key"] not in json.dumps(shown)


@pytest.mark.parametrize(
    ("llm", "status", "said"),
    [
        ({"provider": "skynet"}, 400, "llm.provider"),
        ({"key": ""}, 400, "llm.key"),
        ({"model": None}, 400, "llm.model"),
        ({"provider": "vertex"}, 400, "llm.provider"),
        ({"preflight": True, "key": "a-rejected-key"}, 401, "Incorrect API key provided"),
        ({"preflight": True, "model": "no-such-model"}, 422, "no such model"),
        ({"preflight": True, "model": "over-its-rate"}, 429, "slow down"),
        ({"preflight": True, "base_url": "http://127.0.0.1:9/v1"}, 503, "the connection failed"),
    ],
)
def test_each_documented_error_has_its_status(
    ask: Ask, server: ModelServer, llm: dict[str, Any], *, status: int, said: str
) -> None:
    given = OPENAI | {"base_url": server.openai_url} | llm
    found, answer = ask("POST", "/v1/incidents", incident(**{k: v for k, v in given.items() if v is not None}))

    assert (found, OPENAI["key"] in json.dumps(answer)) == (status, False), answer
    assert said in answer["detail"]["message"], answer
