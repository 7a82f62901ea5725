"""Eleven providers: what configures each, how each is asked, and which of them a name leads to in which mode."""

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.llm_builders import bare_settings
from worker.domain.conversation import Route
from worker.errors import ConfigError, RouteError
from worker.llm import bedrock_ids
from worker.llm.catalogue import CARDS
from worker.llm.picks import split_pick
from worker.llm.providers import PROVIDERS, find_provider
from worker.llm.routing import Role, Router
from worker.llm.wires import WIRES

AWS = {"bedrock_region": "us-east-1"}
ACCOUNT = json.dumps({"project_id": "inside", "private_key": "-----"})
GIVEN: dict[str, dict[str, Any]] = {
    "openrouter": {"openrouter_api_key": "k"},
    "openai": {"openai_api_key": "k"},
    "azure": {
        "azure_openai_api_key": "k",
        "azure_openai_endpoint": "https://x.openai.azure.com/openai/v1",
        "llm_azure_model": "mine",
    },
    "anthropic": {"anthropic_api_key": "k"},
    "google": {"google_ai_api_key": "k"},
    "vertex": {"vertex_ai_project": "shop"},
    "ollama": {"ollama_base_url": "http://gpu:11434"},
    "bedrock": AWS,
    "deepseek": {"llm_deepseek_api_key": "k"},
    "vllm": {"vllm_base_url": "http://gpu:8000", "llm_vllm_model": "qwen3-32b"},
    "openai-compatible": {"llm_openai_compatible_base_url": "http://gw/v1", "llm_openai_compatible_model": "x"},
}


def router(**given: Any) -> Router:
    return Router(bare_settings(**given), probe=lambda _: False)


def named(name: str, **given: Any) -> Route:
    return router(**given).route(Role.RCA, named=name)


def test_there_are_eleven_under_their_canonical_names() -> None:
    assert set(PROVIDERS) == set(GIVEN)
    assert find_provider("Gemini") is PROVIDERS["google"]


@pytest.mark.parametrize("name", GIVEN)
def test_one_provider_is_all_that_is_required(name: str) -> None:
    chosen = router(**GIVEN[name])

    assert chosen.route(Role.RCA).provider == name
    assert chosen.route(Role.MAIN).provider == name
    judge = chosen.judge_route()
    assert judge is not None
    assert judge.provider == name


@pytest.mark.parametrize(
    ("name", "cheap", "strong"),
    [
        ("openrouter", "anthropic/claude-haiku-4.5", "anthropic/claude-opus-4.6"),
        ("openai", "gpt-4.1-mini", "gpt-4.1"),
        ("anthropic", "claude-haiku-4-5", "claude-opus-4-6"),
        ("google", "gemini-2.5-flash", "gemini-2.5-pro"),
        ("vertex", "gemini-2.5-flash", "gemini-2.5-pro"),
        ("bedrock", "us.anthropic.claude-haiku-4-5-20251001-v1:0", "us.anthropic.claude-opus-4-6-v1"),
        ("deepseek", "deepseek-v4-flash", "deepseek-v4-pro"),
        ("ollama", "llama3.1", "llama3.1:70b"),
        ("azure", "mine", "mine"),
        ("vllm", "qwen3-32b", "qwen3-32b"),
        ("openai-compatible", "x", "x"),
    ],
)
def test_each_has_a_cheap_and_a_strong_model_or_the_one_that_is_named(name: str, cheap: str, strong: str) -> None:
    models = [router(**GIVEN[name], rca_optimize_costs=saves).route(Role.RCA).model for saves in (True, False)]

    assert models == [cheap, strong]


# From a name to a route


@pytest.mark.parametrize(
    ("name", "provider", "model"),
    [
        ("openai/gpt-4o", "openai", "gpt-4o"),
        ("openai:gpt-4o", "openai", "gpt-4o"),
        ("ollama/qwen2.5:32b", "ollama", "qwen2.5:32b"),
        ("bedrock/us.anthropic.claude-3-haiku-20240307-v1:0", "bedrock", "us.anthropic.claude-3-haiku-20240307-v1:0"),
        ("bedrock/a/b", "bedrock", "a/b"),
        ("gemini/gemini-2.5-pro", "google", "gemini-2.5-pro"),
        ("meta-llama/llama-3.3", None, "meta-llama/llama-3.3"),
        ("qwen2.5:32b", None, "qwen2.5:32b"),
        ("somebody:gpt-4o", None, "somebody:gpt-4o"),
    ],
)
def test_a_name_splits_at_the_first_slash_behind_a_known_provider(name: str, provider: str | None, model: str) -> None:
    pick = split_pick(name)

    assert (pick.provider.name if pick.provider else None, pick.model) == (provider, model)


@given(st.text(min_size=1, max_size=40))
@hypothesis_settings(deadline=None)
def test_no_part_of_a_name_is_lost_in_splitting(text: str) -> None:
    pick = split_pick(text)

    assert pick.text == text.strip()
    assert pick.text.endswith(pick.model)
    assert pick.provider is not None or pick.model == pick.text


@pytest.mark.parametrize("own", ["ollama/x", "vllm/x", "bedrock/x", "azure/x"])
def test_an_endpoint_of_ones_own_is_asked_itself_in_every_mode(own: str) -> None:
    provider = own.partition("/")[0]
    for mode in ("openrouter", "direct", "anthropic"):
        given = GIVEN["openrouter"] | GIVEN["anthropic"] | {"llm_provider_mode": mode}

        assert named(own, **given, **GIVEN[provider]).provider == provider
        with pytest.raises(RouteError, match=f"{provider}, which is not configured"):
            named(own, **given)


@pytest.mark.parametrize(
    ("mode", "name", "label"),
    [
        ("google", "gemini-2.5-pro", "google/gemini-2.5-pro"),
        ("vertex", "google/gemini-2.5-flash", "vertex/gemini-2.5-flash"),
        ("vertex", "anthropic/claude-haiku-4.5", "anthropic/claude-haiku-4-5"),
        ("bedrock", "anthropic/claude-haiku-4.5", "bedrock/us.anthropic.claude-haiku-4-5-20251001-v1:0"),
        ("bedrock", "openai/gpt-oss-120b", "bedrock/openai.gpt-oss-120b-1:0"),
        ("bedrock", "openai/gpt-4o", "openai/gpt-4o"),
        ("ollama", "qwen2.5:32b", "ollama/qwen2.5:32b"),
        ("azure", "openai/gpt-4o", "azure/gpt-4o"),
        ("deepseek", "anthropic/claude-haiku-4.5", "anthropic/claude-haiku-4-5"),
        ("gemini", "google/gemini-2.5-flash", "google/gemini-2.5-flash"),
    ],
)
def test_what_the_mode_cannot_serve_goes_to_its_own_provider(mode: str, name: str, label: str) -> None:
    every = {field: value for fields in GIVEN.values() for field, value in fields.items()}

    assert named(name, **every, llm_provider_mode=mode).label == label


def test_what_neither_the_mode_nor_its_own_provider_serves_is_refused_with_the_way_out() -> None:
    with pytest.raises(RouteError, match=r"OPENAI_API_KEY, or write bedrock/<id>"):
        named("openai/gpt-4o", **AWS, llm_provider_mode="bedrock")


# Bedrock


@pytest.mark.parametrize(
    ("pick", "native"),
    [
        ("anthropic/claude-opus-4.7", "us.anthropic.claude-opus-4-7"),
        ("claude-opus-4-7", "us.anthropic.claude-opus-4-7"),
        ("anthropic/claude-opus-4.6", "us.anthropic.claude-opus-4-6-v1"),
        ("anthropic/claude-opus-4.5", "us.anthropic.claude-opus-4-5-20251101-v1:0"),
        ("anthropic/claude-sonnet-4.6", "us.anthropic.claude-sonnet-4-6"),
        ("anthropic/claude-sonnet-4.5", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("anthropic/claude-haiku-4.5", "us.anthropic.claude-haiku-4-5-20251001-v1:0"),
        ("anthropic/claude-3.5-sonnet", "us.anthropic.claude-3-5-sonnet-20241022-v2:0"),
        ("anthropic/claude-3-haiku", "us.anthropic.claude-3-haiku-20240307-v1:0"),
        ("openai/gpt-oss-20b", "openai.gpt-oss-20b-1:0"),
        ("bedrock/anything/at:all", "anything/at:all"),
    ],
)
def test_a_pick_becomes_bedrocks_own_id(pick: str, native: str) -> None:
    route = named(pick, **AWS, llm_provider_mode="bedrock")

    assert (route.provider, route.model, route.wire, route.region) == (
        "bedrock",
        native,
        "bedrock_converse",
        "us-east-1",
    )


@pytest.mark.parametrize(
    ("region", "prefix"),
    [
        ("us-west-2", "us"),
        ("eu-central-1", "eu"),
        ("ap-northeast-1", "jp"),
        ("ap-southeast-2", "au"),
        ("us-gov-west-1", "us-gov"),
    ],
)
def test_the_geography_is_that_of_the_region(region: str, prefix: str) -> None:
    given = {"bedrock_region": region, "llm_provider_mode": "bedrock", "rca_model": "anthropic/claude-sonnet-4.5"}
    model = router(**given, guardrails_llm_model="anthropic/claude-sonnet-4.5").route(Role.RCA).model

    assert model == f"{prefix}.anthropic.claude-sonnet-4-5-20250929-v1:0"


def test_where_a_geography_has_no_profile_nothing_moves_silently() -> None:
    given = {"bedrock_region": "ap-northeast-1", "llm_provider_mode": "bedrock"}

    with pytest.raises(RouteError, match="BEDROCK_INFERENCE_PROFILE_PREFIX=global"):
        named("anthropic/claude-opus-4.6", **given)
    everywhere = named("anthropic/claude-opus-4.6", **given, bedrock_inference_profile_prefix="global")
    assert everywhere.model == "global.anthropic.claude-opus-4-6-v1"


def test_an_id_without_its_date_is_suggested_with_it() -> None:
    assert bedrock_ids.suggested_id("us.anthropic.claude-haiku-4-5") == "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    assert bedrock_ids.suggested_id("us.anthropic.claude-haiku-4-5-20251001-v1:0") is None


KEYS = {"bedrock_access_key_id": "a", "bedrock_secret_access_key": "b"}


@pytest.mark.parametrize(
    ("given", "ref"),
    [
        ({}, "aws:default"),
        (KEYS, "env:BEDROCK_ACCESS_KEY_ID,BEDROCK_SECRET_ACCESS_KEY"),
        (
            KEYS | {"bedrock_session_token": "t"},
            "env:BEDROCK_ACCESS_KEY_ID,BEDROCK_SECRET_ACCESS_KEY,BEDROCK_SESSION_TOKEN",
        ),
        (KEYS | {"aws_session_token": "t"}, "env:BEDROCK_ACCESS_KEY_ID,BEDROCK_SECRET_ACCESS_KEY"),
        (KEYS | {"bedrock_profile": "p"}, "env:BEDROCK_ACCESS_KEY_ID,BEDROCK_SECRET_ACCESS_KEY"),
        (
            {"aws_access_key_id": "a", "aws_secret_access_key": "b"},
            "env:AWS_ACCESS_KEY_ID,AWS_SECRET_ACCESS_KEY",
        ),
        ({"bedrock_profile": "p", "aws_access_key_id": "a", "aws_secret_access_key": "b"}, "env:BEDROCK_PROFILE"),
    ],
)
def test_one_whole_set_of_aws_credentials_counts(given: dict[str, Any], ref: str) -> None:
    assert named("bedrock/x", **AWS, **given).credential_ref == ref


def test_half_a_set_is_an_error_that_names_the_other_half() -> None:
    with pytest.raises(ConfigError, match=r"half a set.*BEDROCK_SECRET_ACCESS_KEY"):
        router(**AWS, bedrock_access_key_id="a")


def test_the_usual_region_configures_bedrock_only_where_it_is_asked_for() -> None:
    usual = {"aws_region": "eu-west-1"}

    assert router(**usual).route(Role.RCA).provider == "offline"
    assert named("bedrock/x", **usual, **GIVEN["anthropic"]).region == "eu-west-1"
    assert router(**usual, llm_provider_mode="bedrock").route(Role.RCA).region == "eu-west-1"
    regions = {"aws_region": "us-west-1", "aws_default_region": "us-west-2", "bedrock_region": "us-east-2"}
    assert named("bedrock/x", **regions).region == "us-east-2"


def test_a_gateway_is_asked_with_names_of_its_own() -> None:
    gateway = {"bedrock_base_url": "http://gw/v1", "llm_bedrock_model": "bedrock/mine"}
    route = named("bedrock/their-name", **gateway)

    assert (route.wire, route.base_url, route.model) == ("openai_chat", "http://gw/v1", "their-name")
    assert route.credential_ref is None
    assert named("bedrock/x", **gateway, bedrock_api_key="k").credential_ref == "env:BEDROCK_API_KEY"
    with pytest.raises(RouteError, match="bedrock/<name>"):
        named("anthropic/claude-haiku-4.5", **gateway, llm_provider_mode="bedrock")


def test_another_release_than_bedrocks_is_not_taken_for_it() -> None:
    with pytest.raises(RouteError, match="another release"):
        named("anthropic/claude-3-5-sonnet-20240620", **AWS, llm_provider_mode="bedrock")


@pytest.mark.parametrize(
    ("library", "given", "extra"),
    [("boto3", AWS, "bedrock"), ("google.auth", {"vertex_ai_project": "shop"}, "vertex")],
)
def test_a_library_that_is_missing_is_named_with_its_extra_at_the_start(
    monkeypatch: pytest.MonkeyPatch, library: str, given: dict[str, Any], extra: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)

    with pytest.raises(ConfigError, match=rf"{library}, which is not installed.*rca-worker\[{extra}\]"):
        router(**given)


# Vertex, Azure, Ollama


@pytest.mark.parametrize(
    ("given", "project", "ref"),
    [
        ({"vertex_ai_project": "shop"}, "shop", "google:default"),
        ({"vertex_ai_service_account_json": ACCOUNT}, "inside", "google:VERTEX_AI_SERVICE_ACCOUNT_JSON"),
        (
            {"vertex_ai_project": "shop", "google_application_credentials": "/k.json"},
            "shop",
            "google:GOOGLE_APPLICATION_CREDENTIALS",
        ),
        (
            {
                "vertex_ai_project": "shop",
                "vertex_ai_service_account_json": ACCOUNT,
                "google_application_credentials": "/k.json",
            },
            "shop",
            "google:VERTEX_AI_SERVICE_ACCOUNT_JSON",
        ),
    ],
)
def test_vertex_has_a_project_and_one_of_three_credentials(given: dict[str, Any], project: str, ref: str) -> None:
    route = named("vertex/gemini-2.5-pro", **given)

    assert (route.project, route.location, route.credential_ref) == (project, "global", ref)
    assert route.base_url == "https://aiplatform.googleapis.com"


def test_vertex_is_asked_for_gemini_alone() -> None:
    with pytest.raises(RouteError, match="Gemini models alone"):
        named("vertex/claude-opus-4-7", vertex_ai_project="shop")


def test_vertex_in_a_region_has_an_address_of_its_own() -> None:
    route = named("vertex/gemini-2.5-pro", vertex_ai_project="shop", vertex_ai_location="europe-west4")

    assert (route.location, route.base_url) == ("europe-west4", "https://europe-west4-aiplatform.googleapis.com")


AZURE_KEY = {"azure_openai_api_key": "k"}


RESOURCE = "https://x.openai.azure.com"
THEIRS = "/openai/deployments/theirs"
CHAT = "/chat/completions"


@pytest.mark.parametrize(
    ("path", "version", "name", "asked"),
    [
        ("", "2024-10-21", "azure/own", f"/openai/deployments/own{CHAT}?api-version=2024-10-21"),
        (THEIRS, "2024-10-21", "gpt-4o", f"{THEIRS}{CHAT}?api-version=2024-10-21"),
        (f"{THEIRS}{CHAT}?api-version=2024-06-01", None, "gpt-4o", f"{THEIRS}{CHAT}?api-version=2024-06-01"),
        ("/openai/v1/", None, "azure/own", f"/openai/v1{CHAT}"),
    ],
)
def test_azures_address_is_read_in_any_form_and_no_path_is_doubled(
    path: str, version: str | None, name: str, asked: str
) -> None:
    given = {"azure_openai_endpoint": RESOURCE + path, "azure_openai_api_version": version}
    route = named(name, **AZURE_KEY, **given, llm_azure_model="own", llm_provider_mode="azure")

    assert WIRES[route.wire].url(route) == RESOURCE + asked
    assert WIRES[route.wire].headers(route, "k") == {"api-key": "k"}


def test_a_resource_without_a_version_says_what_to_set() -> None:
    with pytest.raises(ConfigError, match="AZURE_OPENAI_API_VERSION"):
        router(**AZURE_KEY, azure_openai_endpoint="https://x.openai.azure.com", llm_azure_model="mine")


def test_an_openai_address_that_is_azures_is_asked_as_azure() -> None:
    given = {"openai_api_key": "k", "openai_base_url": "https://x.openai.azure.com/openai/v1"}

    assert named("openai/gpt-4o", **given).provider == "azure"


@pytest.mark.parametrize(
    "address", ["http://gpu:11434", "http://gpu:11434/", "http://gpu:11434/v1", "http://gpu:11434/api"]
)
def test_ollamas_address_may_end_as_people_write_it(address: str) -> None:
    route = named("ollama/x", ollama_base_url=address)

    assert WIRES[route.wire].url(route) == "http://gpu:11434/api/chat"


def test_ollamas_window_is_the_one_that_is_asked_for() -> None:
    assert named("ollama/x", **GIVEN["ollama"]).context_window == 32_768
    assert named("ollama/x", **GIVEN["ollama"], ollama_num_ctx=8192).context_window == 8192


# LLM_BACKEND


@pytest.mark.parametrize(
    ("backend", "given", "label"),
    [
        ("ollama", {"llm_ollama_model": "qwen2.5"}, "ollama/qwen2.5"),
        ("vllm", {"llm_vllm_model": "qwen3"}, "vllm/qwen3"),
        ("openai", {"openai_api_key": "k", "llm_openai_model": "gpt-4o"}, "openai/gpt-4o"),
        (
            "openai",
            {"llm_openai_compatible_api_key": "k", "llm_openai_compatible_model": "gpt-4o"},
            "openai-compatible/gpt-4o",
        ),
        ("deepseek", {"llm_deepseek_api_key": "k"}, "deepseek/deepseek-v4-flash"),
        ("gemini", {"llm_gemini_api_key": "k"}, "google/gemini-2.5-flash"),
        (
            "anthropic",
            {"llm_anthropic_api_key": "k", "llm_anthropic_model": "claude-opus-4.7"},
            "anthropic/claude-opus-4-7",
        ),
    ],
)
def test_a_backend_alone_is_mode_and_default_model(backend: str, given: dict[str, Any], label: str) -> None:
    chosen = router(llm_backend=backend, **given)

    assert chosen.route(Role.RCA).label == label
    assert chosen.warnings == ()


@pytest.mark.parametrize(
    ("reference", "label"),
    [
        ("deepseek:deepseek-v4-flash", "deepseek/deepseek-v4-flash"),
        ("gemini:gemini-2.5-pro", "google/gemini-2.5-pro"),
        ("anthropic:claude-sonnet-4-6", "anthropic/claude-sonnet-4-6"),
        ("openai:gpt-4o", "openai/gpt-4o"),
    ],
)
def test_a_reference_with_a_colon_names_provider_and_native_id(reference: str, label: str) -> None:
    keys = {"llm_deepseek_api_key": "k", "google_ai_api_key": "k", "anthropic_api_key": "k", "openai_api_key": "k"}
    assert named(reference, llm_provider_mode="direct", **keys).label == label


def test_the_mode_wins_over_another_backend_with_a_warning() -> None:
    chosen = router(llm_backend="ollama", llm_provider_mode="anthropic", **GIVEN["anthropic"], **GIVEN["ollama"])

    assert chosen.route(Role.RCA).provider == "anthropic"
    assert any("wins over LLM_BACKEND=ollama" in warning for warning in chosen.warnings)


def auto(*answering: str, now: list[float] | None = None) -> Router:
    """Build a router with LLM_BACKEND=auto, to which these ports answer."""
    models = {"llm_vllm_model": "big", "llm_ollama_model": "small", "anthropic_api_key": "k"}
    settings = bare_settings(llm_backend="auto", **models)
    times = now or [0.0]
    return Router(settings, probe=lambda url: any(port in url for port in answering), clock=lambda: times[0])


@pytest.mark.parametrize(
    ("answering", "label"), [((":8000/health", ":11434/api/tags"), "vllm/big"), ((":11434/api/tags",), "ollama/small")]
)
def test_auto_takes_the_server_of_ones_own_that_answers(answering: tuple[str, ...], label: str) -> None:
    assert auto(*answering).route(Role.RCA).label == label


def test_auto_never_takes_a_hosted_provider() -> None:
    with pytest.raises(ConfigError, match=r"neither vllm at .* nor ollama at"):
        auto()


# Roles


@pytest.mark.parametrize(
    ("given", "role", "label"),
    [
        ({}, Role.MAIN, "anthropic/claude-sonnet-4-6"),
        ({"main_model": "claude-opus-4.7"}, Role.MAIN, "anthropic/claude-opus-4-7"),
        ({"rca_model": "", "llm_anthropic_model": "claude-opus-4.5"}, Role.RCA, "anthropic/claude-opus-4-5"),
        (
            {"rca_model": "claude-3-haiku", "llm_anthropic_model": "claude-opus-4.5"},
            Role.RCA,
            "anthropic/claude-3-haiku-20240307",
        ),
        ({"rca_optimize_costs": False}, Role.RCA, "anthropic/claude-opus-4-6"),
    ],
)
def test_a_roles_model_is_the_first_that_is_named(given: dict[str, Any], role: Role, label: str) -> None:
    assert router(**GIVEN["anthropic"], **given).route(role).label == label


def test_the_lead_has_the_providers_orchestrator_model_and_without_one_the_specialists() -> None:
    given = GIVEN["anthropic"] | {"orchestrator_enabled": True, "llm_anthropic_model": "claude-haiku-4.5"}

    alone = router(**given)
    led = router(**given, llm_anthropic_orchestrator_model="claude-opus-4.7")

    assert alone.route(Role.ORCHESTRATOR).model == alone.route(Role.SUBAGENT).model == "claude-haiku-4-5"
    assert (led.route(Role.ORCHESTRATOR).model, led.route(Role.SUBAGENT).model) == (
        "claude-opus-4-7",
        "claude-haiku-4-5",
    )


# What leaves the host


@pytest.mark.parametrize(
    ("name", "given", "leaves"),
    [
        ("ollama/x", {}, False),
        ("ollama/x-cloud", {}, True),
        ("vllm/x", {}, False),
        ("openai-compatible/x", {}, True),
        ("openai-compatible/x", {"rca_local_providers": "openai-compatible"}, False),
        ("bedrock/x", {"bedrock_base_url": "http://gw/v1"}, True),
        ("bedrock/x", {"bedrock_base_url": "http://gw/v1", "rca_local_providers": "bedrock"}, False),
        ("anthropic/claude-haiku-4.5", {"rca_local_providers": "anthropic"}, True),
    ],
)
def test_only_an_address_of_ones_own_keeps_data_here(name: str, given: dict[str, Any], leaves: bool) -> None:  # noqa: FBT001 - a column
    every = {field: value for fields in GIVEN.values() for field, value in fields.items()}

    assert named(name, **(every | given), llm_provider_mode="direct").data_leaves_host is leaves


def test_a_local_incident_is_refused_elsewhere_by_name() -> None:
    with pytest.raises(RouteError, match="local_only and anthropic/claude-haiku-4-5 is not on this host"):
        router(**GIVEN["anthropic"]).route(Role.RCA, local_only=True)


# Sets of key and address


def test_openais_key_travels_nowhere_else() -> None:
    every = GIVEN["openai"] | GIVEN["openai-compatible"]

    assert named("openai-compatible/x", **every).credential_ref is None


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("google_ai_api_key", "llm_gemini_api_key", "GOOGLE_AI_API_KEY and LLM_GEMINI_API_KEY differ"),
        ("anthropic_api_key", "llm_anthropic_api_key", "ANTHROPIC_API_KEY and LLM_ANTHROPIC_API_KEY differ"),
    ],
)
def test_two_names_of_one_key_that_differ_are_warned_about(first: str, second: str, said: str) -> None:
    assert any(said in w for w in router(**{first: "a", second: "b"}).warnings)
    assert router(**{first: "a", second: "a"}).warnings == ()


def test_geminis_base_url_is_ignored_with_a_warning() -> None:
    chosen = router(**GIVEN["google"], llm_gemini_base_url="http://elsewhere")

    assert chosen.route(Role.RCA).base_url == "https://generativelanguage.googleapis.com"
    assert any("LLM_GEMINI_BASE_URL is ignored" in warning for warning in chosen.warnings)


def test_blanks_and_quotes_around_a_value_are_trimmed() -> None:
    settings = bare_settings(anthropic_api_key=' "k" ', rca_model=" 'claude-opus-4.7' ", main_model='""')

    assert settings.anthropic_api_key is not None
    assert settings.anthropic_api_key.get_secret_value() == "k"
    assert (settings.rca_model, settings.main_model) == ("claude-opus-4.7", None)


@pytest.mark.parametrize(("provider", "highest"), [("anthropic", 1.0), ("openai", 2.0)])
def test_a_temperature_outside_the_providers_range_is_an_error(provider: str, highest: float) -> None:
    assert router(**GIVEN[provider], rca_temperature=highest).route(Role.RCA).temperature == highest
    with pytest.raises(ConfigError, match="RCA_TEMPERATURE"):
        router(**GIVEN[provider], rca_temperature=highest + 0.1)


@given(st.sampled_from(CARDS), st.sampled_from(sorted(GIVEN)))
@hypothesis_settings(deadline=None)
def test_any_listed_model_is_served_or_refused_with_what_to_set_in_any_mode(card: Any, mode: str) -> None:
    chosen = router(**GIVEN[mode], llm_provider_mode=mode)
    (last,) = chosen.explain(card.pick)[-1:]
    route = chosen.find(card.pick)

    if route is None:
        assert last.startswith("refused: ")
        assert any(word in last for word in ("set ", "write "))
    else:
        assert (route.provider, route.picked) == (mode, card.pick)
