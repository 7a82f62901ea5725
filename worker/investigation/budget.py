"""The budget of an investigation: checked before every model call, never after."""

from dataclasses import dataclass
from enum import StrEnum

from worker.domain.conversation import Price
from worker.domain.transcript import Limits, Spent

OUTPUT_TOKENS_EXPECTED = 2000
"""What an answer is taken to need when nothing says otherwise: a full report with its citations."""
LAST_SHARE_OF_TIME = 0.2
"""With less than this share of the time left, the next turn is the last."""
CHARS_PER_TOKEN = 4
"""Usual for English text and JSON; only for estimates, what is booked is what the provider says."""


class Stage(StrEnum):
    OPEN = "open"  # go on
    LAST = "last"  # one more call fits: it must be the report
    SPENT = "spent"  # not even that


@dataclass(frozen=True)
class Bound:
    """How much of the budget is left; `reason` says which bound is near, None while none is."""

    stage: Stage
    reason: str | None = None


@dataclass(frozen=True)
class NextCall:
    """What the next call is expected to take."""

    turn_no: int
    tokens: int
    price: Price | None

    @property
    def cost_usd(self) -> float:
        """An estimate; 0 where the price is unknown, because nothing can be said then."""
        if self.price is None:
            return 0.0
        input_tokens = max(self.tokens - OUTPUT_TOKENS_EXPECTED, 0)
        dollars = input_tokens * self.price.input_per_mtok + OUTPUT_TOKENS_EXPECTED * self.price.output_per_mtok
        return dollars / 1_000_000


def expected_tokens(chars: int) -> int:
    """Return what a call with so many characters of conversation is expected to use, answer included."""
    return chars // CHARS_PER_TOKEN + OUTPUT_TOKENS_EXPECTED


def check_budget(limits: Limits, spent: Spent, call: NextCall) -> Bound:
    """Return the narrowest bound for this call."""
    bounds = (
        _bound(limits.max_turns - call.turn_no + 1, 1, f"the budget of {limits.max_turns} turns"),
        _bound(limits.max_tokens - spent.tokens, call.tokens, f"the budget of {limits.max_tokens} tokens"),
        _bound(limits.max_cost_usd - spent.cost_usd, call.cost_usd, f"the budget of ${limits.max_cost_usd:g}"),
        _time_bound(limits.max_seconds, spent.elapsed_s),
    )
    stages = list(Stage)
    return max(bounds, key=lambda bound: stages.index(bound.stage))


def _bound(left: float, need: float, what: str) -> Bound:
    """Two calls must fit for the next one to be an ordinary turn."""
    if left < need:
        return Bound(Stage.SPENT, f"{what} is spent")
    if left < 2 * need:
        return Bound(Stage.LAST, f"{what} is nearly spent")
    return Bound(Stage.OPEN)


def _time_bound(max_seconds: float, elapsed_s: float) -> Bound:
    what = f"the budget of {max_seconds:g} seconds"
    if elapsed_s >= max_seconds:
        return Bound(Stage.SPENT, f"{what} is spent")
    if elapsed_s >= max_seconds * (1 - LAST_SHARE_OF_TIME):
        return Bound(Stage.LAST, f"{what} is nearly spent")
    return Bound(Stage.OPEN)
