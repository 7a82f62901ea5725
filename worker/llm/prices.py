"""What a call cost."""

from worker.domain.conversation import Price, Usage

_MILLION = 1_000_000


def cost_usd(usage: Usage, price: Price | None) -> float | None:
    """Price a call's tokens; None, never 0, where price or tokens are not known."""
    if price is None or usage.input_tokens is None or usage.output_tokens is None:
        return None
    cached, written = usage.cached_input_tokens or 0, usage.cache_write_tokens or 0
    rate = price.rate_for(usage.input_tokens)
    fresh = max(usage.input_tokens - cached - written, 0)
    dollars = (
        fresh * rate.input_per_mtok
        + cached * _or(rate.cached_input_per_mtok, rate.input_per_mtok)
        + written * _or(rate.cache_write_per_mtok, rate.input_per_mtok)
        + usage.output_tokens * rate.output_per_mtok
    )
    return dollars / _MILLION


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value
