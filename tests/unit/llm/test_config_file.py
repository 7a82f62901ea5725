"""RCA_LLM_CONFIG: what an operator says of models counts before the shipped lists, and what is wrong has a line."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.llm_builders import bare_settings
from worker.domain.conversation import Price, Route, Usage
from worker.errors import ConfigError, RouteError
from worker.llm.config_file import locate, parse_config, read_config_file
from worker.llm.prices import cost_usd
from worker.llm.routing import Role, Router

DOCUMENTED = """
providers:
  local-vllm:
    type: vllm
    base_url: "http://localhost:8000/v1"
    models:
      - id: my-local-chat-model
        metadata:
          display_name: "My local chat model"
          context_window: 32768
          max_output_tokens: 4096
          modes: ["chat"]
          capabilities:
            tools: true
          pricing:
            currency: USD
            input_per_mtok: 0
            output_per_mtok: 0
"""
ANTHROPIC = {"anthropic_api_key": "k", "llm_provider_mode": "direct"}
HAIKU = "anthropic/claude-haiku-4.5"


@pytest.fixture
def routed(tmp_path: Path) -> Any:
    """Route a name with this text in the file."""

    def route(name: str, text: str, **given: Any) -> Route:
        file = tmp_path / "llm.yaml"
        file.write_text(text)
        return Router(bare_settings(**given, rca_llm_config=file)).route(Role.RCA, named=name)

    return route


def priced(model: str, **pricing: Any) -> str:
    lines = "".join(f"\n            {name}: {value}" for name, value in pricing.items())
    return f"providers:\n  anthropic:\n    models:\n      - id: {model}\n        metadata:\n          pricing:{lines}\n"


def test_the_documented_example_is_read_as_it_stands(routed: Any) -> None:
    route = routed("vllm/my-local-chat-model", DOCUMENTED, vllm_base_url="http://localhost:8000", llm_vllm_model="x")

    assert (route.context_window, route.max_output_tokens, route.takes_tools) == (32768, 4096, True)
    assert cost_usd(Usage(input_tokens=9, output_tokens=9), route.price) == 0.0
    assert "RCA_LLM_CONFIG" in route.price.source


def test_an_entry_with_an_address_speaks_of_that_server_alone(routed: Any) -> None:
    route = routed("vllm/my-local-chat-model", DOCUMENTED, vllm_base_url="http://elsewhere:8000", llm_vllm_model="x")

    assert route.context_window is None


def test_prices_are_merged_field_by_field(routed: Any) -> None:
    route = routed(HAIKU, priced("claude-haiku-4-5", currency="USD", input_per_mtok=0.5), **ANTHROPIC)

    assert (route.price.input_per_mtok, route.price.output_per_mtok) == (0.5, 5.0)
    assert route.price.source.startswith("public list prices, genai-prices")
    assert " + RCA_LLM_CONFIG " in route.price.source


def test_the_operators_own_price_counts_before_the_providers(routed: Any) -> None:
    text = priced("claude-haiku-4-5", currency="USD", input_per_mtok=0.5)
    text += "prices:\n  anthropic/claude-haiku-4-5: {currency: USD, input_per_mtok: 0.25}\n"

    assert routed(HAIKU, text, **ANTHROPIC).price.input_per_mtok == 0.25


def test_tiers_are_replaced_whole(routed: Any) -> None:
    tier = "[{above_input_tokens: 1000, input_per_mtok: 9, output_per_mtok: 99}]"
    text = f"prices:\n  gemini-2.5-pro: {{currency: USD, tiers: {tier}}}\n"

    price: Price = routed("google/gemini-2.5-pro", text, google_ai_api_key="k").price

    assert [(t.above_input_tokens, t.input_per_mtok) for t in price.tiers] == [(1000, 9.0)]
    assert price.rate_for(1000).input_per_mtok == 1.25
    assert price.rate_for(1001).input_per_mtok == 9.0


def test_another_currency_counts_once_its_rate_is_known(routed: Any) -> None:
    text = priced("claude-haiku-4-5", currency="EUR", input_per_mtok=2, output_per_mtok=4)

    assert routed(HAIKU, text, **ANTHROPIC).price is None
    assert routed(HAIKU, text + "exchange_rates: {EUR: 1.5}\n", **ANTHROPIC).price.input_per_mtok == 3.0


def test_why_a_price_is_unknown_is_explained(tmp_path: Path) -> None:
    file = tmp_path / "llm.yaml"
    file.write_text(priced("claude-haiku-4-5", currency="EUR", input_per_mtok=2))
    steps = Router(bare_settings(**ANTHROPIC, rca_llm_config=file)).explain(HAIKU)

    assert "price: unknown: it is priced in EUR; set exchange_rates.EUR in RCA_LLM_CONFIG" in steps


def test_a_model_without_tools_is_no_agents(tmp_path: Path) -> None:
    file = tmp_path / "llm.yaml"
    file.write_text(
        "providers:\n  anthropic:\n    models:\n      - id: claude-haiku-4-5\n"
        "        metadata: {capabilities: {tools: false}}\n"
    )
    router = Router(bare_settings(**ANTHROPIC, rca_llm_config=file, rca_model="anthropic/claude-opus-4.7"))

    with pytest.raises(RouteError, match=r"takes no tools .*RCA_LLM_CONFIG.*rca needs them"):
        router.route(Role.RCA, named=HAIKU)
    judge = router.judge_route()
    assert judge is not None
    assert judge.model == "claude-haiku-4-5"  # a judge asks for no tools
    with pytest.raises(ConfigError, match=r"RCA_MODEL: anthropic/claude-haiku-4-5 takes no tools"):
        Router(bare_settings(**ANTHROPIC, rca_llm_config=file, rca_model=HAIKU))


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("RCA_LLM_CONFIG llm.aliases.gpt-4.1: nobody is no profile", 7),
        ("RCA_LLM_CONFIG llm.providers.second: api_key: the variable X is not set", 4),
        ("RCA_LLM_CONFIG providers.east is an Azure resource; set api_version", 9),
        ("RCA_LLM_CONFIG providers.gone: it went meanwhile", 8),
    ],
)
def test_what_only_shows_in_use_is_located_in_the_file_too(tmp_path: Path, said: str, line: int) -> None:
    file = tmp_path / "llm.yaml"
    file.write_text(
        "llm:\n  providers:\n    - {name: one, type: ollama, model: m}\n    - {name: second, type: ollama, model: m}\n"
        "  aliases:\n    default: one\n    gpt-4.1: nobody\nproviders:\n  east: {type: azure}\n"
    )

    assert locate(said, path=file) == f"{file}: line {line}: {said}"
    assert locate("OPENAI_EAST_* has no key", path=file) == "OPENAI_EAST_* has no key"
    assert locate(said, path=tmp_path / "no file") == said


WRONG = [
    ("providers: [", 1, "expected the node content"),
    ("providers:\n  a:\n    models:\n      - id: x\n        metadat: {}\n", 5, "providers.a.models.0.metadat"),
    (priced("m", currency="euro", input_per_mtok=1), 7, "currency"),
    (priced("m", input_per_mtok=1), 6, "pricing.currency: Field required"),
    (priced("m", currency="USD", input_per_mtok=-1), 8, "greater than or equal to 0"),
    (priced("m", currency="USD", input_per_mtok=".nan"), 8, "finite"),
    (priced("m", currency="USD", output_per_mtok=".inf"), 8, "finite"),
    ("prices:\n  m:\n    currency: USD\n    tiers:\n      - above_input_tokens: 0\n", 5, "above_input_tokens"),
    ("exchange_rates:\n  EUR: 0\n", 2, "greater than 0"),
    ("- a list\n", 1, "the file"),
]


@pytest.mark.parametrize(("text", "line", "what"), WRONG)
def test_what_is_wrong_is_said_with_its_line(text: str, line: int, what: str) -> None:
    with pytest.raises(ConfigError, match=f"line {line}: ") as caught:
        parse_config(text)

    assert what in str(caught.value)


def test_a_file_that_is_not_there_is_an_error_of_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"RCA_LLM_CONFIG: .*gone.yaml cannot be read \(No such file"):
        Router(bare_settings(rca_llm_config=tmp_path / "gone.yaml"))


def test_bytes_that_are_no_text_are_an_error(tmp_path: Path) -> None:
    file = tmp_path / "llm.yaml"
    file.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(ConfigError, match=r"RCA_LLM_CONFIG: .*llm.yaml"):
        read_config_file(file)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_with_a_reason(text: str) -> None:
    with suppress(ConfigError):
        assert parse_config(text).content.providers is not None
