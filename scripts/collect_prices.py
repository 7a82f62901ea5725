"""Collects the list prices that ship with the product from the data of `genai-prices` (MIT), as `make prices` does.

Prices are facts with a date: those that hold on the day of the release are kept. Where a price depends on the hour,
the dearest of the day is: a budget must not be overrun because a night was expected.
"""

import json
import sys
from collections.abc import Iterator
from datetime import date, datetime, time
from importlib.metadata import version
from typing import Any

from genai_prices.data import providers
from genai_prices.types import ConditionalPrice, MatchLogic, ModelInfo, ModelPrice, TieredPrices, TimeOfDateConstraint

LISTS = ("anthropic", "aws", "azure", "deepseek", "google", "openai", "openrouter")
KINDS = {
    "input_per_mtok": "input_mtok",
    "output_per_mtok": "output_mtok",
    "cached_input_per_mtok": "cache_read_mtok",
    "cache_write_per_mtok": "cache_write_mtok",
}
CLAUSES = {"or_": "or", "and_": "and"}


def collect(day: date) -> dict[str, Any]:
    """Return all lists as they hold on the day."""
    found = {provider.id: provider for provider in providers}
    return {
        "source": f"public list prices, genai-prices {version('genai-prices')}",
        "day": day.isoformat(),
        "lists": {name: list(pick(found[name].models, day)) for name in LISTS},
    }


def render(collected: dict[str, Any]) -> str:
    """Return the file's text, one model a line, so that a change of a price is a change of a line."""
    lists = ",\n".join(
        f"{json.dumps(name)}: [\n" + ",\n".join(json.dumps(model) for model in models) + "\n]"
        for name, models in collected["lists"].items()
    )
    head = {name: value for name, value in collected.items() if name != "lists"}
    return json.dumps(head)[:-1] + ', "lists": {\n' + lists + "\n}}\n"


def pick(models: list[ModelInfo], day: date) -> Iterator[dict[str, Any]]:
    """Yield what the file says of each model that is asked in tokens and answers in them."""
    for model in models:
        prices = _dearest(model.prices, day)
        if prices is None or prices.input_mtok is None or prices.output_mtok is None:
            continue
        window = {"context_window": model.context_window} if model.context_window else {}
        tiers = [{"above_input_tokens": start, **_rates(prices, start)} for start in _starts(prices)]
        yield {"match": _clause(model.match), **window, **_rates(prices, 0), **({"tiers": tiers} if tiers else {})}


def _dearest(prices: ModelPrice | list[ConditionalPrice], day: date) -> ModelPrice | None:
    """Return the price that has held longest on the day; of those that depend on the hour, the dearest."""
    if isinstance(prices, ModelPrice):
        return prices
    hourly = [p for p in prices if isinstance(p.constraint, TimeOfDateConstraint)]
    dated = [p for p in prices if not isinstance(p.constraint, TimeOfDateConstraint)]
    moment = datetime.combine(day, time(12), tzinfo=hourly[0].constraint.start_time.tzinfo if hourly else None)
    begun = [p for p in dated if p.constraint is None or p.constraint.active(moment)]
    return max((p.prices for p in [*begun[-1:], *hourly]), key=lambda p: _at(p.output_mtok, 0) or 0, default=None)


def _starts(prices: ModelPrice) -> list[int]:
    tiered = [value for field in KINDS.values() if isinstance(value := getattr(prices, field), TieredPrices)]
    return sorted({tier.start for value in tiered for tier in value.tiers})


def _rates(prices: ModelPrice, start: int) -> dict[str, float]:
    """Return what more than so many tokens of input cost."""
    rates = {name: _at(getattr(prices, field), start) for name, field in KINDS.items()}
    return {name: rate for name, rate in rates.items() if rate is not None}


def _at(value: Any, start: int) -> float | None:
    if isinstance(value, TieredPrices):
        return float(next((tier.price for tier in reversed(value.tiers) if start >= tier.start), value.base))
    return None if value is None else float(value)


def _clause(clause: MatchLogic) -> dict[str, Any]:
    ((name, value),) = vars(clause).items()
    inner = [_clause(one) for one in value] if isinstance(value, list) else value
    return {CLAUSES.get(name, name): inner}


if __name__ == "__main__":
    sys.stdout.write(render(collect(date.fromisoformat(sys.argv[1]))))
