"""The list prices that ship: what genai-prices says of a model, this list says of it too."""

import json
from datetime import UTC, date, datetime, time
from decimal import Decimal
from importlib.metadata import version
from typing import Any

import pytest
from genai_prices.data import providers
from genai_prices.types import Usage as TheirUsage
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from scripts.collect_prices import LISTS, collect, pick, render
from worker.domain.conversation import Price, Usage
from worker.llm import price_list
from worker.llm.price_list import find_listed
from worker.llm.prices import cost_usd

FILE = json.loads(price_list._FILE.read_bytes())
THEIRS = {provider.id: provider for provider in providers}
DEAREST_HOUR = datetime.combine(date.fromisoformat(FILE["day"]), time(8), tzinfo=UTC)
"""DeepSeek's dear hours, the only ones that any of these lists has."""


def ours(name: str, model: str, usage: Usage) -> float | None:
    listed = find_listed(name, model)
    return cost_usd(usage, Price(**listed.rates, source="x")) if listed else None


def theirs(name: str, model: str, usage: Usage) -> Decimal | None:
    found = THEIRS[name].find_model(model, all_providers=providers)
    if found is None:
        return None
    said = TheirUsage(
        input_tokens=usage.input_tokens,
        cache_read_tokens=usage.cached_input_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        output_tokens=usage.output_tokens,
    )
    return found.calc_price(said, THEIRS[name], genai_request_timestamp=DEAREST_HOUR).total_price


def test_the_file_is_what_the_collector_makes_of_its_version() -> None:
    assert price_list._FILE.read_text() == render(collect(date.fromisoformat(FILE["day"])))
    assert FILE["source"] == f"public list prices, genai-prices {version('genai-prices')}"


MODELS = [
    ("anthropic", "claude-opus-4-7"),
    ("anthropic", "claude-3-5-sonnet-20241022"),
    ("anthropic", "claude-haiku-4-5-20251001"),
    ("openai", "gpt-4o-mini-2024-07-18"),
    ("openai", "gpt-5.4"),
    ("openai", "o4-mini"),
    ("google", "gemini-2.5-pro"),
    ("google", "gemini-3.1-pro-preview"),
    ("deepseek", "deepseek-v4-pro"),
    ("aws", "us.anthropic.claude-sonnet-4-6"),
    ("aws", "global.anthropic.claude-sonnet-4-6"),
    ("aws", "amazon.nova-lite-v1:0"),
    ("azure", "gpt-4o"),
    ("openrouter", "openai/gpt-oss-120b"),
    ("openrouter", "anthropic/claude-opus-4.7"),
]


@pytest.mark.parametrize(("name", "model"), MODELS)
@pytest.mark.parametrize("size", [1_000, 199_999, 200_000, 200_001, 999_999])
def test_a_call_costs_what_their_library_says(name: str, model: str, size: int) -> None:
    usage = Usage(input_tokens=size, cached_input_tokens=size // 3, cache_write_tokens=size // 7, output_tokens=777)

    assert ours(name, model, usage) == pytest.approx(float(theirs(name, model, usage) or -1))


DAY = date.fromisoformat(FILE["day"])
LISTED: list[Any] = [
    (name, model.id)
    for name in LISTS
    for model in THEIRS[name].models
    if (found := THEIRS[name].find_model(model.id)) and any(pick([found], DAY))
]


@given(st.sampled_from(LISTED), st.integers(0, 2_000_000), st.integers(0, 100_000))
@hypothesis_settings(deadline=None)
def test_whatever_is_listed_costs_the_same(named: tuple[str, str], size: int, answer: int) -> None:
    usage = Usage(input_tokens=size, output_tokens=answer)

    assert ours(*named, usage) == pytest.approx(float(theirs(*named, usage) or 0))


def test_what_is_not_listed_is_unknown() -> None:
    assert find_listed("openai", "gpt-99") is None
    assert find_listed("aws", "cohere.rerank-v9") is None


def test_azure_charges_for_what_it_does_not_list_as_the_makers_do() -> None:
    azures, makers = find_listed("azure", "gpt-5.4"), find_listed("openai", "gpt-5.4")

    assert azures is not None
    assert azures == makers


def test_a_regional_profile_of_bedrock_has_its_own_price() -> None:
    regional, worldwide = (find_listed("aws", f"{place}.anthropic.claude-sonnet-4-6") for place in ("us", "global"))

    assert regional is not None
    assert worldwide is not None
    assert regional.rates["input_per_mtok"] > worldwide.rates["input_per_mtok"]
