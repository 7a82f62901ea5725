"""Budgets: an investigation's own and the day's, checked before every model call, never after."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from worker.domain.conversation import Price, Usage
from worker.domain.incident import Budget
from worker.domain.transcript import Amount, Limits, Spent

OUTPUT_TOKENS_EXPECTED = 2000
"""What an answer is taken to need when nothing says otherwise: a full report with its citations."""
LAST_SHARE_OF_TIME = 0.2
"""With less than this share of the time left, the next turn is the last."""
CHARS_PER_TOKEN = 4
"""Usual for English text and JSON; only for estimates, what is booked is what the provider says."""
KEPT_SHARE_OF_DAY = 0.05
"""The last part of a day's budget is for the investigations that run: a new one would end before it has seen much."""
NOTHING = Amount()
_MILLION = 1_000_000


class Stage(StrEnum):
    OPEN = "open"  # go on
    LAST = "last"  # one more call fits: it must be the report
    SPENT = "spent"  # not even that


@dataclass(frozen=True)
class Bound:
    """How much of the budget is left; `reason` says which bound is near, None while none is.

    `is_of_day`: it is a budget of the day, and another day has room.
    """

    stage: Stage
    reason: str | None = None
    is_of_day: bool = False


@dataclass(frozen=True)
class NextCall:
    """What the next call is expected to take. Where there is no price, `unpriced_usd_per_mtok` stands for it."""

    turn_no: int
    tokens: int
    price: Price | None
    unpriced_usd_per_mtok: float

    @property
    def amount(self) -> Amount:
        return Amount(self.tokens, self._cost_usd)

    @property
    def _cost_usd(self) -> float:
        if self.price is None:
            return self.tokens * self.unpriced_usd_per_mtok / _MILLION
        input_tokens = max(self.tokens - OUTPUT_TOKENS_EXPECTED, 0)
        rate = self.price.rate_for(input_tokens)
        dollars = input_tokens * rate.input_per_mtok + OUTPUT_TOKENS_EXPECTED * rate.output_per_mtok
        return dollars / _MILLION


@dataclass(frozen=True)
class OwnBounds:
    """How a sub-agent stands in turns and seconds, counted from its own beginning."""

    max_turns: int
    turn_no: int
    max_seconds: float
    elapsed_s: float


class Unit(StrEnum):
    TOKENS = "tokens"
    USD = "usd"

    def of(self, amount: Amount) -> float:
        return amount.tokens if self is Unit.TOKENS else amount.cost_usd


@dataclass(frozen=True)
class Cap:
    """One limit of tokens or dollars and what is spent of it; `what` names it for people."""

    what: str
    unit: Unit
    limit: float
    spent: float

    @property
    def left(self) -> float:
        return self.limit - self.spent

    def is_reached(self, opening: Amount) -> bool:
        """Say whether what is left is too little for a new investigation, whose first call takes `opening`."""
        wanted = max(self.limit * KEPT_SHARE_OF_DAY, 2 * self.unit.of(opening))
        return self.left <= 0 or self.left < min(wanted, self.limit)

    def is_near(self, call: "NextCall", *, calls: int) -> bool:
        """Say whether so many calls like this one would reach it."""
        return self.left < calls * self.unit.of(call.amount)


def cap_both(before: str, after: str = "", *, tokens: int | None, usd: float | None, spent: Amount) -> tuple[Cap, ...]:
    """Return the caps on tokens and on dollars, None being no limit; the limit is named between the two texts."""
    named = ((Unit.TOKENS, tokens, f"{tokens} tokens"), (Unit.USD, usd, f"${usd:g}" if usd is not None else ""))
    return tuple(
        Cap(f"{before}{limit_text}{after}", unit, limit, unit.of(spent))
        for unit, limit, limit_text in named
        if limit is not None
    )


def expected_tokens(chars: int) -> int:
    """Return what a call with so many characters of conversation is expected to use, answer included."""
    return chars // CHARS_PER_TOKEN + OUTPUT_TOKENS_EXPECTED


def pin_limits(operator: Limits, wanted: Budget | None) -> Limits:
    """Return the limits of one investigation: the event may lower what the operator allows, never raise it."""
    if wanted is None:
        return operator
    return Limits(
        max_turns=int(_lower(operator.max_turns, wanted.max_turns)),
        max_tokens=int(_lower(operator.max_tokens, wanted.max_tokens)),
        max_cost_usd=_lower(operator.max_cost_usd, wanted.max_cost_usd),
        max_seconds=_lower(operator.max_seconds, wanted.max_seconds),
    )


def count_call(call: NextCall, usage: Usage, cost_usd: float | None) -> Amount:
    """Return what a finished call counts as: what is known of it, else what was expected of it."""
    is_known = usage.input_tokens is not None and usage.output_tokens is not None
    tokens = (usage.input_tokens or 0) + (usage.output_tokens or 0)
    tokens = tokens if is_known else max(tokens, call.tokens)
    if cost_usd is not None:
        return Amount(tokens, cost_usd)
    if call.price is None:
        return Amount(tokens, tokens * call.unpriced_usd_per_mtok / _MILLION)
    return Amount(tokens, call.amount.cost_usd)


def check_budget(limits: Limits, spent: Spent, call: NextCall, *, days: Sequence[Cap] = ()) -> Bound:
    """Return the narrowest bound for the next call of a conversation; `days` are the caps of the day."""
    own = (
        _bound(limits.max_turns - call.turn_no + 1, 1, f"the budget of {limits.max_turns} turns"),
        _time_bound(limits.max_seconds, spent.elapsed_s),
        *(_bound(cap.left, cap.unit.of(call.amount), cap.what) for cap in _own(limits, spent)),
    )
    return _narrowest((*own, *(_day_bound(cap, cap.unit.of(call.amount)) for cap in days)))


def check_aside(limits: Limits, spent: Spent, call: NextCall, *, kept: Amount, days: Sequence[Cap] = ()) -> Bound:
    """Return the bound for a call beside the conversation: a judge's, a verifier's.

    `kept` is what the conversation's next call is expected to take: the report comes before whoever serves it.
    """
    amounts = (
        _bound(cap.left - cap.unit.of(kept), cap.unit.of(call.amount), cap.what)
        for cap in (*_own(limits, spent), *days)
    )
    return _narrowest((*amounts, _time_bound(limits.max_seconds, spent.elapsed_s)))


def check_sub_agent(shared: Bound, own: OwnBounds) -> Bound:
    """Return the narrowest of the investigation's bound and those of a sub-agent's own turns and time."""
    turns = _bound(own.max_turns - own.turn_no + 1, 1, f"its budget of {own.max_turns} turns")
    return _narrowest((shared, turns, _time_bound(own.max_seconds, own.elapsed_s)))


def synthesis_of(call: NextCall) -> Amount:
    """Return what is kept for the lead while a sub-agent asks: twice its own call, for the lead reads them all."""
    return call.amount + call.amount


def find_reached(days: Iterable[Cap], *, opening: Amount = NOTHING) -> Cap | None:
    """Return the first cap of the day that leaves too little for an investigation that begins."""
    return next((cap for cap in days if cap.is_reached(opening)), None)


def _own(limits: Limits, spent: Spent) -> tuple[Cap, ...]:
    return cap_both("the budget of ", tokens=limits.max_tokens, usd=limits.max_cost_usd, spent=spent.counted)


def _day_bound(cap: Cap, need: float) -> Bound:
    bound = _bound(cap.left, need, cap.what)
    return replace(bound, is_of_day=bound.stage is not Stage.OPEN and cap.limit >= 2 * need)


def _narrowest(bounds: Iterable[Bound]) -> Bound:
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


def _lower(operator: float, wanted: float | None) -> float:
    return operator if wanted is None else min(operator, wanted)


def after_resolve(bound: Bound, *, is_over: bool) -> Bound:
    """Make the next turn the last where the incident is over and investigations finish with it."""
    return Bound(Stage.LAST, "the incident is over") if is_over and bound.stage is Stage.OPEN else bound
