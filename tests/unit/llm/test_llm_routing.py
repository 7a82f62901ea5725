"""From names to routes. Only the three keys a newcomer may have, alone or together, and what people write."""

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.llm_builders import bare_settings
from worker.domain.conversation import Route, Usage
from worker.errors import ConfigError, RouteError
from worker.llm.catalogue import CARDS, find_model, reasons
from worker.llm.prices import cost_usd
from worker.llm.routing import Role, Router

ROUTER_KEY = {"openrouter_api_key": "k1"}
ANTHROPIC_KEY = {"anthropic_api_key": "k2"}
OPENAI_KEY = {"openai_api_key": "k3"}
COMPATIBLE = {"llm_openai_compatible_base_url": "http://gpu:8000/v1", "llm_openai_compatible_model": "qwen3-32b"}
ALL_KEYS = ROUTER_KEY | ANTHROPIC_KEY | OPENAI_KEY | COMPATIBLE


def router(**given: Any) -> Router:
    return Router(bare_settings(**given))


def named(name: str, **given: Any) -> Route:
    return router(**given).route(Role.RCA, named=name)


# Defaults


@pytest.mark.parametrize(
    ("given", "cheap", "strong"),
    [
        (ROUTER_KEY, "openrouter/anthropic/claude-haiku-4.5", "openrouter/anthropic/claude-opus-4.6"),
        (ANTHROPIC_KEY, "anthropic/claude-haiku-4-5", "anthropic/claude-opus-4-6"),
        (OPENAI_KEY, "openai/gpt-4.1-mini", "openai/gpt-4.1"),
        (COMPATIBLE, "openai-compatible/qwen3-32b", "openai-compatible/qwen3-32b"),
        (OPENAI_KEY | ANTHROPIC_KEY, "anthropic/claude-haiku-4-5", "anthropic/claude-opus-4-6"),
        (ALL_KEYS, "openrouter/anthropic/claude-haiku-4.5", "openrouter/anthropic/claude-opus-4.6"),
        (ALL_KEYS | {"llm_provider_mode": "openai"}, "openai/gpt-4.1-mini", "openai/gpt-4.1"),
    ],
)
def test_one_configured_provider_is_enough(given: dict[str, Any], cheap: str, strong: str) -> None:
    assert router(**given).route(Role.RCA).label == cheap
    assert router(**given, rca_optimize_costs=False).route(Role.RCA).label == strong


def test_with_nothing_configured_the_offline_analyst_investigates_and_nobody_judges() -> None:
    offline = router()

    route = offline.route(Role.RCA)
    assert (route.provider, route.model, route.wire) == ("offline", "analyst", "offline")
    assert not route.data_leaves_host
    assert cost_usd(Usage(input_tokens=5, output_tokens=5), route.price) == 0.0
    assert offline.judge_route() is None
    assert any("no provider is configured" in note for note in offline.notes)


@pytest.mark.parametrize("given", [ANTHROPIC_KEY, {"llm_provider_mode": "direct"}, {"llm_provider_mode": "openrouter"}])
def test_the_offline_analyst_can_be_named(given: dict[str, Any]) -> None:
    chosen = router(**given, rca_model="offline/analyst")

    assert chosen.route(Role.RCA).wire == "offline"
    assert chosen.judge_route() is None


def test_a_model_that_is_named_is_never_replaced_by_the_analyst() -> None:
    with pytest.raises(ConfigError, match=r"RCA_MODEL.*ANTHROPIC_API_KEY"):
        router(rca_model="anthropic/claude-haiku-4.5")


def test_a_default_that_is_not_the_built_in_is_said() -> None:
    assert any("openai takes the built-in model's place" in note for note in router(**OPENAI_KEY).notes)
    assert any("direct" in note for note in router(**ANTHROPIC_KEY).notes)
    assert router(**ROUTER_KEY).notes == ()


def test_an_endpoint_without_a_model_is_asked_about() -> None:
    with pytest.raises(ConfigError, match="LLM_OPENAI_COMPATIBLE_MODEL"):
        router(llm_openai_compatible_base_url="http://gpu/v1")


# Modes


@pytest.mark.parametrize("mode", ["Direct", "OPENROUTER", "anthropic"])
def test_a_mode_is_read_in_any_case(mode: str) -> None:
    assert router(**ALL_KEYS, llm_provider_mode=mode).warnings == ()


def test_an_unknown_mode_names_the_variable_and_what_it_takes() -> None:
    with pytest.raises(ConfigError, match=r"LLM_PROVIDER_MODE=skynet.*openrouter, direct.*vllm"):
        router(**ALL_KEYS, llm_provider_mode="skynet")


@pytest.mark.parametrize(
    ("mode", "given", "variable"),
    [
        ("openrouter", ANTHROPIC_KEY, "OPENROUTER_API_KEY"),
        ("direct", ROUTER_KEY, "ANTHROPIC_API_KEY or OPENAI_API_KEY or .*LLM_OPENAI_COMPATIBLE_BASE_URL"),
        ("openai", ANTHROPIC_KEY, "OPENAI_API_KEY"),
        ("direct", {}, "ANTHROPIC_API_KEY"),
    ],
)
def test_an_explicit_mode_without_its_provider_does_not_start(mode: str, given: dict[str, Any], variable: str) -> None:
    with pytest.raises(ConfigError, match=variable):
        router(**given, llm_provider_mode=mode)


# Names

CLAUDES = [
    ("claude-opus-4.7", "claude-opus-4-7"),
    ("claude-opus-4.6", "claude-opus-4-6"),
    ("claude-opus-4.5", "claude-opus-4-5"),
    ("claude-sonnet-4.6", "claude-sonnet-4-6"),
    ("claude-sonnet-4.5", "claude-sonnet-4-5"),
    ("claude-haiku-4.5", "claude-haiku-4-5"),
    ("claude-3.5-sonnet", "claude-3-5-sonnet-20241022"),
    ("claude-3-haiku", "claude-3-haiku-20240307"),
]


@pytest.mark.parametrize(("dotted", "native"), CLAUDES)
@pytest.mark.parametrize("prefix", ["", "anthropic/", "anthropic:", "Anthropic/"])
def test_every_spelling_is_one_model(dotted: str, native: str, prefix: str) -> None:
    vendors_price, gateways_price = named(native, **ANTHROPIC_KEY).price, named(dotted, **ROUTER_KEY).price
    for spelling in (dotted, dotted.replace(".", "-")):
        direct = named(prefix + spelling, **ANTHROPIC_KEY)
        gateway = named(prefix + spelling, **ROUTER_KEY)

        assert direct.model == native
        assert gateway.model == f"anthropic/{dotted}"
        assert direct.price == vendors_price is not None
        assert gateway.price == gateways_price is not None
        assert direct.context_window == gateway.context_window


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("anthropic/claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4.5"),
        ("openai/gpt-4o", "openai/gpt-4o"),
        ("gpt-4o", "openai/gpt-4o"),
        ("gpt-4-1-mini", "openai/gpt-4.1-mini"),
        ("gemini-2.5-pro", "google/gemini-2.5-pro"),
        ("vertex/gemini-2.5-flash", "google/gemini-2.5-flash"),
        ("gemini/gemini-2.5-flash", "google/gemini-2.5-flash"),
        ("openai/gpt-oss-120b", "openai/gpt-oss-120b"),
        ("meta-llama/llama-3.3-70b-instruct:free", "meta-llama/llama-3.3-70b-instruct:free"),
        ("anthropic/claude-sonnet-4-6:online", "anthropic/claude-sonnet-4.6:online"),
        ("openrouter/openai/gpt-4.1", "openai/gpt-4.1"),
        ("openrouter/auto", "openrouter/auto"),
        ("deepseek/deepseek-chat", "deepseek/deepseek-chat"),
        ("openai/gpt-4o-2024-05-13", "openai/gpt-4o-2024-05-13"),
    ],
)
def test_openrouter_gets_names_as_it_spells_them(name: str, model: str) -> None:
    route = named(name, **ROUTER_KEY)

    assert (route.provider, route.model) == ("openrouter", model)


@pytest.mark.parametrize("name", ["ollama/qwen2.5:32b", "vllm/x", "bedrock/us.anthropic.claude-v1:0", "azure/gpt-4o"])
def test_endpoints_of_ones_own_are_never_posted_to_openrouter(name: str) -> None:
    with pytest.raises(RouteError, match="which is not configured; set "):
        named(name, **ROUTER_KEY)


@pytest.mark.parametrize("mode", [None, "openrouter", "direct", "anthropic"])
def test_a_compatible_endpoint_is_reached_in_every_mode(mode: str | None) -> None:
    route = named("openai-compatible/Qwen/Qwen3-32B", **ALL_KEYS, llm_provider_mode=mode)

    assert (route.provider, route.model) == ("openai-compatible", "Qwen/Qwen3-32B")
    assert (route.base_url, route.credential_ref, route.price) == ("http://gpu:8000/v1", None, None)


def test_openais_key_never_travels_to_a_compatible_endpoint() -> None:
    assert named("openai-compatible/x", **COMPATIBLE, **OPENAI_KEY).credential_ref is None
    with_key = COMPATIBLE | {"llm_openai_compatible_api_key": "own"}
    assert named("openai-compatible/x", **with_key).credential_ref == "env:LLM_OPENAI_COMPATIBLE_API_KEY"


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("gpt-4o", "openai/gpt-4o"),
        ("openai/gpt-4-1", "openai/gpt-4.1"),
        ("openai/gpt-4o-2024-08-06", "openai/gpt-4o-2024-08-06"),
        ("claude-opus-4.7", "anthropic/claude-opus-4-7"),
        ("anthropic/claude-haiku-4-5-20251001", "anthropic/claude-haiku-4-5-20251001"),
        ("anthropic/claude-next-9.1", "anthropic/claude-next-9-1"),
        ("openai/ft:gpt-4.1:org::id", "openai/ft:gpt-4.1:org::id"),
        ("openrouter/google/gemini-2.5-pro", "openrouter/google/gemini-2.5-pro"),
    ],
)
def test_direct_mode_asks_the_models_own_provider(name: str, label: str) -> None:
    assert named(name, **ALL_KEYS, llm_provider_mode="direct").label == label


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("llama-9", "write provider/model"),
        ("meta-llama/llama-3", "write provider/model"),
        ("gemini-2.5-pro", "GOOGLE_AI_API_KEY"),
        ("offline/other", "offline/analyst"),
    ],
)
def test_a_name_that_leads_nowhere_says_what_to_write(name: str, said: str) -> None:
    with pytest.raises(RouteError, match=said):
        named(name, **ALL_KEYS, llm_provider_mode="direct")


def test_direct_mode_does_not_fall_back_to_the_gateway() -> None:
    with pytest.raises(RouteError, match="OPENAI_API_KEY"):
        named("gpt-4o", **ROUTER_KEY, **ANTHROPIC_KEY, llm_provider_mode="direct")


@pytest.mark.parametrize(
    ("mode", "name", "label"),
    [
        ("anthropic", "claude-haiku-4.5", "anthropic/claude-haiku-4-5"),
        ("anthropic", "some-new-model", "anthropic/some-new-model"),
        ("anthropic", "openai/gpt-4o", "openai/gpt-4o"),
        ("openai", "ft:gpt-4.1:org", "openai/ft:gpt-4.1:org"),
        ("openai-compatible", "Qwen/Qwen3-32B", "openai-compatible/Qwen/Qwen3-32B"),
        ("openai-compatible", "gpt-4o", "openai/gpt-4o"),
    ],
)
def test_a_provider_as_mode_takes_what_it_can_serve(mode: str, name: str, label: str) -> None:
    assert named(name, **ALL_KEYS, llm_provider_mode=mode).label == label


@given(st.text(max_size=40))
@hypothesis_settings(deadline=None)
def test_any_name_is_a_route_or_an_error_that_explains(name: str) -> None:
    assume(name.strip() != "")  # nothing named: the role's own model
    for mode in (None, "direct", "openai-compatible"):
        chosen = router(**ALL_KEYS, llm_provider_mode=mode)
        (last,) = chosen.explain(name)[-1:]
        if last.startswith("refused: "):
            assert any(word in last for word in ("write", "set ", "offline/analyst"))
        else:
            assert chosen.route(Role.RCA, named=name).picked == name.strip()


@given(st.sampled_from(CARDS), st.sampled_from(["", "-20250101", "-2025-01-01", "-latest"]))
@hypothesis_settings(deadline=None)
def test_any_date_names_the_model_it_is_a_date_of(card: Any, date: str) -> None:
    assert find_model(card.pick + date) == card
    assert find_model(card.native) == card


def test_models_nobody_listed_have_no_price() -> None:
    assert find_model("openai/claude-haiku-4.5") is None
    assert named("openai/gpt-99", **OPENAI_KEY).price is None
    assert named("openai/gpt-4o:free", **ROUTER_KEY).price is None
    assert named("openai-compatible/gpt-4o", **COMPATIBLE).price is None  # a name there need not mean OpenAI's model


@pytest.mark.parametrize(
    ("model", "answer"),
    [
        ("o3", True),
        ("openai/o4-mini", True),
        ("gpt-5.4-2026-03-05", True),
        ("gpt-4.1", False),
        ("gpt-5-chat-latest", False),
        ("claude-opus-4-6", False),
    ],
)
def test_reasoning_models_are_known_by_name(model: str, answer: bool) -> None:  # noqa: FBT001 - a column of the table
    assert reasons(model) is answer


# The judge


@pytest.mark.parametrize(
    ("given", "label"),
    [
        (ANTHROPIC_KEY | {"rca_model": "claude-opus-4.6"}, "anthropic/claude-haiku-4-5"),
        (ALL_KEYS | {"rca_model": "google/gemini-2.5-pro"}, "openrouter/anthropic/claude-haiku-4.5"),
        (OPENAI_KEY | {"rca_model": "gpt-5.2"}, "openai/gpt-4.1-mini"),
        (COMPATIBLE, "openai-compatible/qwen3-32b"),
        (
            {"llm_openai_compatible_base_url": "http://gpu/v1", "rca_model": "openai-compatible/x"},
            "openai-compatible/x",
        ),
        (ANTHROPIC_KEY | OPENAI_KEY | {"guardrails_llm_model": "openai/gpt-4o-mini"}, "openai/gpt-4o-mini"),
        (
            ANTHROPIC_KEY | {"rca_model": "offline/analyst", "guardrails_llm_model": "claude-3-haiku"},
            "anthropic/claude-3-haiku-20240307",
        ),
        (
            ROUTER_KEY | ANTHROPIC_KEY | {"llm_provider_mode": "direct", "rca_model": "openrouter/x-ai/grok"},
            "openrouter/anthropic/claude-haiku-4.5",
        ),
    ],
)
def test_the_judge_is_the_cheap_model_of_the_same_provider_unless_named(given: dict[str, Any], label: str) -> None:
    judge = router(**given).judge_route()

    assert judge is not None
    assert judge.label == label


def test_a_bad_name_of_the_judge_stops_the_start() -> None:
    with pytest.raises(ConfigError, match="GUARDRAILS_LLM_MODEL"):
        router(**ANTHROPIC_KEY, guardrails_llm_model="llama-9")


def test_a_judge_that_reasons_is_warned_about() -> None:
    (warning,) = router(**OPENAI_KEY, rca_model="o3", guardrails_llm_model="gpt-5-nano").warnings

    assert "judge's model openai/gpt-5-nano reasons" in warning


# For people


def test_explain_lists_the_steps_and_what_the_route_carries() -> None:
    told = "\n".join(router(**ANTHROPIC_KEY).explain("claude-3.5-sonnet"))

    for piece in ("mode: direct", "claude-3-5-sonnet-20241022", "env:ANTHROPIC_API_KEY", "$3 in", "200000"):
        assert piece in told
    assert "k2" not in told


def test_explain_says_why_not() -> None:
    assert "refused: " in router(**ANTHROPIC_KEY).explain("gpt-4o")[-1]


def test_a_route_tells_where_it_came_from() -> None:
    chosen = router(**ANTHROPIC_KEY, rca_model="claude-opus-4.6")

    assert (chosen.route(Role.RCA).picked, chosen.route(Role.RCA).origin) == ("claude-opus-4.6", "RCA_MODEL")
    assert "RCA_OPTIMIZE_COSTS=true" in router(**ANTHROPIC_KEY).route(Role.RCA).origin
    assert chosen.route(Role.RCA, named="claude-3-haiku").origin == "named by the incident"
