"""The arithmetic of budgets: nothing is overshot but by calls in flight, and the last turn always fits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.conversation import Price, Usage
from worker.domain.incident import Budget
from worker.domain.transcript import Amount, Limits, Spent
from worker.investigation.budget import (
    Bound,
    Cap,
    NextCall,
    OwnBounds,
    Stage,
    Unit,
    cap_both,
    check_aside,
    check_budget,
    check_sub_agent,
    count_call,
    find_reached,
    pin_limits,
    synthesis_of,
)

FREE = Price(input_per_mtok=0.0, output_per_mtok=0.0, source="test")
DEAR = Price(input_per_mtok=3.0, output_per_mtok=15.0, source="test")
WIDE = Limits(max_turns=100, max_tokens=10**9, max_cost_usd=10**6, max_seconds=10**6)

tokens = st.integers(0, 2_000_000)
dollars = st.floats(0, 100, allow_nan=False)
prices = st.sampled_from([None, FREE, DEAR])
limits = st.builds(
    Limits, max_turns=st.integers(0, 50), max_tokens=tokens, max_cost_usd=dollars, max_seconds=st.floats(0, 5000)
)
amounts = st.builds(Amount, tokens=tokens, cost_usd=dollars)
spents = st.builds(Spent, elapsed_s=st.floats(0, 6000), counted=amounts)
calls = st.builds(
    NextCall,
    turn_no=st.integers(1, 60),
    tokens=st.integers(1, 500_000),
    price=prices,
    unpriced_usd_per_mtok=st.floats(0, 100),
)
budgets = st.builds(
    Budget,
    max_turns=st.none() | st.integers(0, 99),
    max_tokens=st.none() | tokens,
    max_cost_usd=st.none() | dollars,
    max_seconds=st.none() | st.floats(0, 9000),
)


def call(tokens: int = 1000, *, price: Price | None = FREE, turn_no: int = 1, ceiling: float = 20.0) -> NextCall:
    return NextCall(turn_no, tokens, price, ceiling)


@given(limits, spents, calls)
def test_whatever_may_still_be_asked_fits(limits: Limits, spent: Spent, call: NextCall) -> None:
    bound = check_budget(limits, spent, call)

    if bound.stage is not Stage.SPENT:
        assert spent.counted.tokens + call.tokens <= limits.max_tokens
        assert call.amount.cost_usd <= limits.max_cost_usd - spent.counted.cost_usd
        assert call.turn_no <= limits.max_turns
        assert spent.elapsed_s < limits.max_seconds


@given(limits, spents, calls)
def test_an_ordinary_turn_leaves_room_for_another_of_its_size(limits: Limits, spent: Spent, call: NextCall) -> None:
    if check_budget(limits, spent, call).stage is Stage.OPEN:
        after = Spent(elapsed_s=spent.elapsed_s, counted=Amount(spent.counted.tokens + call.tokens))
        following = NextCall(call.turn_no + 1, call.tokens, FREE, 0)

        assert check_budget(limits, after, following).stage is not Stage.SPENT


@given(limits, spents, calls)
def test_a_bound_says_why_and_only_an_open_one_has_no_reason(limits: Limits, spent: Spent, call: NextCall) -> None:
    bound = check_budget(limits, spent, call)

    assert (bound.reason is None) == (bound.stage is Stage.OPEN)


@given(tokens, st.lists(st.tuples(st.integers(1, 50_000), st.integers(0, 80_000), st.booleans()), max_size=40))
def test_spending_overshoots_by_no_more_than_calls_in_flight_took_beyond_what_was_expected(
    max_tokens: int, script: list[tuple[int, int, bool]]
) -> None:
    """Agents reserve and book in any order: a call is booked at once, or when all others have begun."""
    limits = Limits(max_turns=100, max_tokens=max_tokens, max_cost_usd=1, max_seconds=1)
    booked, in_flight, beyond = 0, [], 0

    for expected, taken, is_slow in script:
        counted = Amount(booked + sum(e for e, _ in in_flight))
        if check_budget(limits, Spent(counted=counted), call(expected)).stage is Stage.SPENT:
            continue
        in_flight.append((expected, taken))
        beyond = sum(max(t - e, 0) for e, t in in_flight)
        if not is_slow:
            booked += in_flight.pop()[1]
    booked += sum(taken for _, taken in in_flight)

    assert booked <= max_tokens + beyond


@given(limits, spents, calls, amounts)
def test_a_call_beside_the_conversation_leaves_it_room_for_its_next(
    limits: Limits, spent: Spent, call: NextCall, kept: Amount
) -> None:
    bound = check_aside(limits, spent, call, kept=kept)

    if bound.stage is not Stage.SPENT:
        assert spent.counted.tokens + call.tokens + kept.tokens <= limits.max_tokens


@given(limits, budgets)
def test_an_event_may_only_lower_what_the_operator_allows(limits: Limits, budget: Budget) -> None:
    pinned = pin_limits(limits, budget)

    for name, wanted in budget.model_dump().items():
        assert getattr(pinned, name) == min(x for x in (getattr(limits, name), wanted) if x is not None)


def test_zero_is_a_value_of_an_event() -> None:
    pinned = pin_limits(WIDE, Budget(max_turns=0, max_tokens=0, max_cost_usd=0, max_seconds=0))

    assert pinned == Limits(0, 0, 0, 0)
    assert check_budget(pinned, Spent(), call()).stage is Stage.SPENT


def test_a_free_model_may_go_on_without_a_dollar() -> None:
    limits = Limits(max_turns=9, max_tokens=10**6, max_cost_usd=0, max_seconds=60)

    assert check_budget(limits, Spent(), call(price=FREE)).stage is Stage.OPEN
    assert check_budget(limits, Spent(), call(price=None)).stage is Stage.SPENT


@given(st.integers(1, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_an_unknown_price_counts_by_the_ceiling(expected: int, sent: int, said: int) -> None:
    counted = count_call(call(expected, price=None), Usage(input_tokens=sent, output_tokens=said), None)

    assert counted == Amount(sent + said, (sent + said) * 20.0 / 1_000_000)


@given(st.integers(3000, 10**6), st.none() | st.integers(0, 10**6), prices)
def test_tokens_that_nobody_told_count_as_expected_at_least(expected: int, sent: int | None, price: Price) -> None:
    asked = call(expected, price=price)

    counted = count_call(asked, Usage(input_tokens=sent), None)

    assert counted.tokens == max(expected, sent or 0)
    assert counted.cost_usd >= asked.amount.cost_usd


def test_a_known_cost_is_what_counts() -> None:
    counted = count_call(call(5000, price=DEAR), Usage(input_tokens=10, output_tokens=1), 0.25)

    assert counted == Amount(11, 0.25)


def test_a_cap_of_the_day_binds_like_the_investigations_own() -> None:
    days = cap_both("the fleet's budget of ", " a day", tokens=1500, usd=None, spent=Amount(0))

    bound = check_budget(WIDE, Spent(), call(1000), days=days)

    assert (bound.stage, bound.reason) == (Stage.LAST, "the fleet's budget of 1500 tokens a day is nearly spent")


def test_no_limit_is_no_cap_and_zero_is_one() -> None:
    assert cap_both("", tokens=None, usd=None, spent=Amount(5, 5)) == ()
    assert [c.is_reached(Amount()) for c in cap_both("", tokens=0, usd=0.0, spent=Amount())] == [True, True]


def test_the_last_part_of_a_day_is_kept_from_new_investigations() -> None:
    begun, ending = Cap("day", Unit.TOKENS, 1000, 900), Cap("day", Unit.TOKENS, 1000, 951)

    assert find_reached([begun]) is None
    assert find_reached([begun, ending]) == ending


def test_a_cap_is_near_when_the_calls_of_a_moment_could_reach_it() -> None:
    cap = Cap("day", Unit.USD, 1.0, 0.5)

    assert cap.is_near(call(1_000_000, price=None, ceiling=0.2), calls=3)
    assert not cap.is_near(call(1_000_000, price=None, ceiling=0.2), calls=2)


OPEN, SPENT = Bound(Stage.OPEN), Bound(Stage.SPENT, "no money")


def own(**fields: float) -> OwnBounds:
    known = {"max_turns": 5, "turn_no": 1, "max_seconds": 100.0, "elapsed_s": 0.0}
    return OwnBounds(**{**known, **fields})  # type: ignore[arg-type]  # counts are whole here


def test_a_sub_agent_is_bound_by_its_own_turns_and_time_too() -> None:
    assert check_sub_agent(OPEN, own()).stage is Stage.OPEN
    assert check_sub_agent(OPEN, own(turn_no=5)).stage is Stage.LAST
    assert check_sub_agent(OPEN, own(turn_no=6)).stage is Stage.SPENT
    assert check_sub_agent(OPEN, own(elapsed_s=85.0)).stage is Stage.LAST
    assert check_sub_agent(OPEN, own(elapsed_s=100.0)).stage is Stage.SPENT


def test_the_bound_of_all_holds_for_a_sub_agent_that_has_time() -> None:
    assert check_sub_agent(SPENT, own()) == SPENT


def test_a_sub_agent_leaves_room_for_its_lead() -> None:
    call = NextCall(1, 1000, None, 20.0)

    assert synthesis_of(call) == Amount(2000, pytest.approx(0.04))
