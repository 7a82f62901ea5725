"""The settings that the documentation of LLM providers shows, line by line: what each of them leads to here."""

from typing import Any

import pytest

from tests.llm_builders import bare_settings
from worker.domain.conversation import Route
from worker.errors import ConfigError
from worker.llm.failures import classify, read_refusal
from worker.llm.routing import Role, Router

ACCOUNT = '{"type":"service_account","project_id":"inside","private_key":"-----"}'
DIRECT = {"llm_provider_mode": "direct"}
OLLAMA = DIRECT | {"ollama_base_url": "http://host.docker.internal:11434"}
KEYED = {
    "openai": {"openai_api_key": "sk-x"},
    "anthropic": {"anthropic_api_key": "sk-ant-x"},
    "google": {"google_ai_api_key": "AIzax"},
    "vertex": {"vertex_ai_project": "my-gcp-project"},
    "ollama": OLLAMA,
    "bedrock": {"bedrock_region": "us-east-1"},
}
NATIVE = {
    "bedrock_region": "us-east-1",
    "bedrock_access_key_id": "AKIAX",
    "bedrock_secret_access_key": "x",
}


def route(role: Role = Role.RCA, *, named: str | None = None, **given: Any) -> Route:
    return Router(bare_settings(**given)).route(role, named=named)


# The table of models

LISTED = [
    "openai/gpt-5.4",
    "openai/gpt-5.2",
    "openai/o3",
    "openai/o4-mini",
    "openai/o3-mini",
    "openai/gpt-4.1",
    "openai/gpt-4.1-mini",
    "openai/gpt-4o",
    "openai/gpt-4o-mini",
    "anthropic/claude-opus-4.6",
    "anthropic/claude-sonnet-4.6",
    "anthropic/claude-opus-4.5",
    "anthropic/claude-sonnet-4.5",
    "anthropic/claude-haiku-4.5",
    "anthropic/claude-3.5-sonnet",
    "anthropic/claude-3-haiku",
    "google/gemini-3.1-pro-preview",
    "google/gemini-3-flash-preview",
    "google/gemini-2.5-pro",
    "google/gemini-2.5-flash",
    "google/gemini-2.5-flash-lite",
    "vertex/gemini-3.1-pro-preview",
    "vertex/gemini-3-flash-preview",
    "vertex/gemini-2.5-pro",
    "vertex/gemini-2.5-flash",
    "vertex/gemini-2.5-flash-lite",
    "ollama/llama3.1",
    "ollama/qwen2.5",
    "ollama/llama3.1:70b",
    "ollama/qwen2.5:32b",
    "ollama/llama3.2",
    "bedrock/us.anthropic.claude-sonnet-4-5-v1:0",
    "bedrock/us.anthropic.claude-haiku-4-5-v1:0",
]


@pytest.mark.parametrize("name", LISTED)
def test_each_listed_model_is_asked_of_its_own_provider(name: str) -> None:
    provider = name.partition("/")[0]

    found = (
        route(named=name, **KEYED[provider], llm_provider_mode="direct")
        if provider != "ollama"
        else route(named=name, **OLLAMA)
    )

    assert found.provider == provider
    assert found.price is not None
    assert found.model == name.partition("/")[2] or provider == "anthropic"


@pytest.mark.parametrize("name", [name for name in LISTED if not name.startswith(("ollama/", "bedrock/"))])
def test_each_hosted_model_goes_through_openrouter_by_default(name: str) -> None:
    found = route(named=name, openrouter_api_key="sk-or-v1-x")

    assert found.provider == "openrouter"
    assert found.model == name.replace("vertex/", "google/")


# The blocks of settings: what is set, and model, credential and address that follow

BLOCKS: list[tuple[str, dict[str, Any], str, str | None]] = [
    (
        "openrouter mode",
        {"llm_provider_mode": "openrouter", "openrouter_api_key": "sk-or-v1-x"},
        "openrouter/anthropic/claude-haiku-4.5",
        "env:OPENROUTER_API_KEY",
    ),
    ("openai", KEYED["openai"] | DIRECT, "openai/gpt-4.1-mini", "env:OPENAI_API_KEY"),
    ("anthropic", KEYED["anthropic"] | DIRECT, "anthropic/claude-haiku-4-5", "env:ANTHROPIC_API_KEY"),
    ("google ai", KEYED["google"] | DIRECT, "google/gemini-2.5-flash", "env:GOOGLE_AI_API_KEY"),
    (
        "vertex with a key in memory",
        {
            "vertex_ai_project": "my-gcp-project",
            "vertex_ai_service_account_json": ACCOUNT,
            "vertex_ai_location": "global",
        }
        | DIRECT,
        "vertex/gemini-2.5-flash",
        "google:VERTEX_AI_SERVICE_ACCOUNT_JSON",
    ),
    ("vertex with what Google finds", KEYED["vertex"] | DIRECT, "vertex/gemini-2.5-flash", "google:default"),
    (
        "vertex with a file",
        KEYED["vertex"] | {"google_application_credentials": "/key.json"} | DIRECT,
        "vertex/gemini-2.5-flash",
        "google:GOOGLE_APPLICATION_CREDENTIALS",
    ),
    (
        "vertex, its project inside the key",
        {"vertex_ai_service_account_json": ACCOUNT} | DIRECT,
        "vertex/gemini-2.5-flash",
        "google:VERTEX_AI_SERVICE_ACCOUNT_JSON",
    ),
    ("ollama", OLLAMA, "ollama/llama3.1", None),
    (
        "bedrock in native mode with keys",
        NATIVE | {"llm_provider_mode": "bedrock"},
        "bedrock/us.anthropic.claude-haiku-4-5-20251001-v1:0",
        "env:BEDROCK_ACCESS_KEY_ID,BEDROCK_SECRET_ACCESS_KEY",
    ),
    (
        "bedrock with temporary credentials",
        NATIVE | {"bedrock_session_token": "x", "llm_provider_mode": "bedrock"},
        "bedrock/us.anthropic.claude-haiku-4-5-20251001-v1:0",
        "env:BEDROCK_ACCESS_KEY_ID,BEDROCK_SECRET_ACCESS_KEY,BEDROCK_SESSION_TOKEN",
    ),
    (
        "bedrock with a profile",
        {"bedrock_region": "us-east-1", "bedrock_profile": "my-bedrock-profile", "llm_provider_mode": "bedrock"},
        "bedrock/us.anthropic.claude-haiku-4-5-20251001-v1:0",
        "env:BEDROCK_PROFILE",
    ),
    (
        "bedrock with a role, its region the usual one",
        {"aws_region": "us-east-1", "llm_provider_mode": "bedrock"},
        "bedrock/us.anthropic.claude-haiku-4-5-20251001-v1:0",
        "aws:default",
    ),
]


@pytest.mark.parametrize(("given", "label", "credential"), [b[1:] for b in BLOCKS], ids=[b[0] for b in BLOCKS])
def test_a_block_of_settings_is_all_it_takes(given: dict[str, Any], label: str, credential: str | None) -> None:
    found = route(**given)

    assert (found.label, found.credential_ref) == (label, credential)


def test_a_gateway_before_bedrock_is_asked_for_the_models_it_names() -> None:
    gateway = DIRECT | {
        "bedrock_base_url": "https://bedrock-gateway.internal.example.com/v1",
        "bedrock_api_key": "",
        "main_model": "bedrock/anthropic.claude-3-5-sonnet-20240620-v1:0",
    }

    found = route(Role.MAIN, **gateway)

    assert (found.wire, found.model) == ("openai_chat", "anthropic.claude-3-5-sonnet-20240620-v1:0")
    assert (found.base_url, found.credential_ref) == (gateway["bedrock_base_url"], None)


def test_bedrock_mode_translates_a_clean_name_and_leaves_what_it_cannot_serve_to_its_own_provider() -> None:
    mode = NATIVE | KEYED["google"] | {"llm_provider_mode": "bedrock", "main_model": "anthropic/claude-sonnet-4.6"}

    assert route(Role.MAIN, **mode).model == "us.anthropic.claude-sonnet-4-6"
    assert route(named="anthropic/claude-opus-4.7", **mode).model == "us.anthropic.claude-opus-4-7"
    assert route(named="google/gemini-2.5-pro", **mode).provider == "google"


@pytest.mark.parametrize("mode", ["bedrock", "vertex", "anthropic", "openai", "google", "ollama"])
def test_each_documented_mode_is_one(mode: str) -> None:
    assert route(**KEYED[mode] | {"llm_provider_mode": mode}).provider == mode


RCA_MODELS = [
    ("anthropic/claude-haiku-4.5", "anthropic/claude-haiku-4-5"),
    ("openai/gpt-4o", "openai/gpt-4o"),
    ("google/gemini-2.5-flash", "google/gemini-2.5-flash"),
    ("vertex/gemini-2.5-flash", "vertex/gemini-2.5-flash"),
    ("ollama/llama3.1", "ollama/llama3.1"),
    ("bedrock/us.anthropic.claude-haiku-4-5-v1:0", "bedrock/us.anthropic.claude-haiku-4-5-v1:0"),
]


@pytest.mark.parametrize(("name", "label"), RCA_MODELS)
def test_each_example_of_rca_model_is_that_model(name: str, label: str) -> None:
    given = {key: value for block in KEYED.values() for key, value in block.items()} | DIRECT

    assert route(rca_model=name, **given).label == label


@pytest.mark.parametrize(
    ("cheap", "model"), [(None, "claude-haiku-4-5"), (True, "claude-haiku-4-5"), (False, "claude-opus-4-6")]
)
def test_without_rca_model_costs_decide(cheap: bool | None, model: str) -> None:  # noqa: FBT001 - a column
    given = {} if cheap is None else {"rca_optimize_costs": cheap}

    assert route(**KEYED["anthropic"], **given).model == model


def test_the_orchestrators_block_gives_each_its_model_and_bypasses_rca_models() -> None:
    team = KEYED["anthropic"] | {
        "orchestrator_enabled": True,
        "rca_orchestrator_model": "anthropic/claude-opus-4.7",
        "rca_subagent_model": "anthropic/claude-sonnet-4.6",
        "rca_model": "anthropic/claude-haiku-4.5",
    }

    assert route(Role.ORCHESTRATOR, **team).model == "claude-opus-4-7"
    assert route(Role.SUBAGENT, **team).model == route(Role.RCA, **team).model == "claude-sonnet-4-6"


def test_the_judge_is_the_model_that_its_variable_names() -> None:
    given = KEYED["openai"] | KEYED["anthropic"] | DIRECT | {"guardrails_llm_model": "openai/gpt-4o-mini"}

    assert route(Role.JUDGE, **given).label == "openai/gpt-4o-mini"


# Troubleshooting: what a provider says, and the remedy that is told


@pytest.mark.parametrize(
    ("status", "body", "remedy"),
    [
        (401, {"error": {"message": "Invalid API key", "code": "invalid_api_key"}}, "check it for extra blanks"),
        (429, {"error": {"message": "Rate limit exceeded"}}, "wait, run fewer investigations at once, or raise"),
        (404, {"error": {"message": "Model not available"}}, "or the key has no access to it; check the model's name"),
        (503, {"error": {"message": "Model not available"}}, "see its status page"),
        (
            400,
            {"message": "Invocation of model ID x with on-demand throughput isn’t supported."},
            "write us., eu., apac. or global. before its id",
        ),
        (403, {"message": "AccessDeniedException"}, "give it access to the model"),
    ],
)
def test_what_a_provider_refuses_comes_with_its_remedy(status: int, body: dict[str, Any], remedy: str) -> None:
    assert remedy in str(classify(read_refusal(status, body)))


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        ({"llm_provider_mode": "vertex"}, "VERTEX_AI_PROJECT"),
        ({"llm_provider_mode": "bedrock"}, r"BEDROCK_REGION \(or AWS_REGION or AWS_DEFAULT_REGION\)"),
        (NATIVE | {"bedrock_secret_access_key": None, "llm_provider_mode": "bedrock"}, "BEDROCK_SECRET_ACCESS_KEY"),
        ({"llm_provider_mode": "ollama"}, "OLLAMA_BASE_URL"),
    ],
)
def test_what_is_missing_is_named_at_the_start(given: dict[str, Any], remedy: str) -> None:
    with pytest.raises(ConfigError, match=remedy):
        Router(bare_settings(**given))
