"""The gate: limits, cooldown and circuit of an account, the same in one process and for the whole fleet."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fakeredis import FakeRedis, FakeServer
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.llm_builders import route_of
from worker.llm.config_file import Limits
from worker.llm.gate import (
    FAILURES,
    KNOWN,
    MOST_COOLDOWN_S,
    OPEN_S,
    PROBE_S,
    Asking,
    End,
    Gate,
    Held,
    LocalGate,
    Ticket,
    Why,
    account_of,
)
from worker.llm.shared_gate import LOOKED_FOR_EVERY_S, SharedGate

ROUTE = route_of("openai_chat")
OTHER = route_of("openai_chat", credential_ref="env:LLM_OPENAI_COMPATIBLE_API_KEY")
START = 4_000_000_000.0
"""Seconds of a clock far in the future, so that nothing in Redis expires by the real one."""


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now

    def ms(self) -> int:
        return round(self.now * 1000)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
def join(server: FakeServer, clock: Clock) -> Iterator[Callable[[], SharedGate]]:
    """Return what makes the gate of one more process."""
    opened: list[FakeRedis] = []

    def build() -> SharedGate:
        opened.append(FakeRedis(server=server))
        return SharedGate(opened[-1], clock, clock.ms)

    yield build
    for redis in opened:
        redis.close()


@pytest.fixture(params=["local", "shared"])
def gate(request: pytest.FixtureRequest, clock: Clock, join: Callable[[], SharedGate]) -> Gate:
    return LocalGate(clock) if request.param == "local" else join()


def asking(route: Any = ROUTE, *, tokens: int = 0, **limits: int) -> Asking:
    return Asking(route, Limits(**limits), tokens)


def passed(gate: Gate, one: Asking) -> Ticket:
    ticket = gate.enter(one)
    assert isinstance(ticket, Ticket), ticket
    return ticket


def held(gate: Gate, one: Asking) -> Held:
    found = gate.enter(one)
    assert isinstance(found, Held), found
    return found


def fail(gate: Gate, times: int, route: Any = ROUTE) -> None:
    for _ in range(times):
        gate.leave(passed(gate, asking(route)), End.FAILED)


# Windows


def test_no_more_requests_than_the_limit_go_in_a_minute(gate: Gate, clock: Clock) -> None:
    limited = asking(requests_per_minute=2)
    passed(gate, limited)
    clock.now += 20
    passed(gate, limited)

    assert held(gate, limited) == Held(Why.REQUESTS, 41.0)
    clock.now += 40.9
    held(gate, limited)
    clock.now += 0.1
    passed(gate, limited)
    assert held(gate, limited).for_s == pytest.approx(20.0)


def test_accounts_have_windows_of_their_own(gate: Gate) -> None:
    passed(gate, asking(requests_per_minute=1))

    passed(gate, asking(OTHER, requests_per_minute=1))
    passed(gate, asking(route_of("anthropic_messages"), requests_per_minute=1))
    held(gate, asking(requests_per_minute=1))


def test_tokens_are_counted_as_expected_and_then_as_they_were(gate: Gate) -> None:
    first = passed(gate, asking(tokens=60, tokens_per_minute=100))
    assert held(gate, asking(tokens=60, tokens_per_minute=100)).why is Why.TOKENS

    gate.leave(first, End.ANSWERED, tokens=30)

    second = passed(gate, asking(tokens=60, tokens_per_minute=100))
    gate.leave(second, End.ANSWERED, tokens=500)
    assert held(gate, asking(tokens=1, tokens_per_minute=100)).for_s == 61.0


def test_what_is_larger_than_the_limit_passes_once_nothing_else_is_there(gate: Gate, clock: Clock) -> None:
    passed(gate, asking(tokens=10, tokens_per_minute=100))
    assert held(gate, asking(tokens=5000, tokens_per_minute=100)).for_s == 61.0

    clock.now += 61

    passed(gate, asking(tokens=5000, tokens_per_minute=100))


def test_what_is_held_back_by_one_limit_uses_up_no_other(gate: Gate) -> None:
    limits = {"requests_per_minute": 2, "concurrent": 1}
    running = passed(gate, asking(**limits))
    for _ in range(5):
        assert held(gate, asking(**limits)).why is Why.CONCURRENT

    gate.leave(running, End.ANSWERED)

    passed(gate, asking(**limits))


def test_as_many_run_at_a_time_as_the_limit_says(gate: Gate) -> None:
    tickets = [passed(gate, asking(concurrent=3)) for _ in range(3)]
    held(gate, asking(concurrent=3))

    gate.leave(tickets[1], End.FAILED)

    passed(gate, asking(concurrent=3))
    held(gate, asking(concurrent=3))


@given(st.lists(st.tuples(st.floats(0, 40), st.integers(0, 150), st.integers(0, 300)), max_size=40))
@hypothesis_settings(deadline=None)
def test_no_minute_holds_more_than_its_limits(steps: list[tuple[float, int, int]]) -> None:
    clock = Clock()
    gate, sent = LocalGate(clock), list[tuple[float, int]]()
    for later, expected, used in steps:
        clock.now += later
        ticket = gate.enter(asking(tokens=expected, requests_per_minute=3, tokens_per_minute=200))
        if isinstance(ticket, Held):
            continue
        gate.leave(ticket, End.ANSWERED, tokens=used)
        recent = [tokens for at, tokens in sent if at > clock.now - 60]
        assert len(recent) < 3
        assert not sum(recent) or sum(recent) + expected <= 200
        sent.append((clock.now, used))


@given(st.lists(st.floats(0, 90), min_size=1, max_size=30), st.integers(1, 4))
@hypothesis_settings(deadline=None)
def test_who_comes_when_told_is_let_through(pauses: list[float], limit: int) -> None:
    clock = Clock()
    gate, limited = LocalGate(clock), asking(requests_per_minute=limit)
    for pause in pauses:
        clock.now += pause
        found = gate.enter(limited)
        if isinstance(found, Held):
            clock.now += found.for_s
            passed(gate, limited)


# The circuit


def test_the_circuit_opens_after_failures_in_a_row_and_one_request_tries_again(gate: Gate, clock: Clock) -> None:
    fail(gate, FAILURES)
    assert held(gate, asking()) == Held(Why.CIRCUIT, OPEN_S[0])

    clock.now += OPEN_S[0]

    probe = passed(gate, asking())
    assert held(gate, asking()).why is Why.CIRCUIT
    gate.leave(probe, End.ANSWERED)
    passed(gate, asking())
    passed(gate, asking())


def test_a_failed_try_opens_it_for_longer_but_not_for_ever(gate: Gate, clock: Clock) -> None:
    fail(gate, FAILURES)
    waits = []
    for _ in range(8):
        waits.append(held(gate, asking()).for_s)
        clock.now += waits[-1]
        fail(gate, 1)

    assert waits == [5, 10, 20, 40, 60, 60, 60, 60]


def test_a_try_that_never_ends_is_followed_by_another(gate: Gate, clock: Clock) -> None:
    fail(gate, FAILURES)
    clock.now += OPEN_S[0]
    passed(gate, asking())

    clock.now += PROBE_S

    passed(gate, asking())


def test_a_try_that_was_never_sent_leaves_room_for_another(gate: Gate, clock: Clock) -> None:
    fail(gate, FAILURES)
    clock.now += OPEN_S[0]
    gate.leave(passed(gate, asking()), End.UNKNOWN)

    passed(gate, asking())


def test_an_answer_between_failures_keeps_it_closed(gate: Gate) -> None:
    for _ in range(3):
        fail(gate, FAILURES - 1)
        gate.leave(passed(gate, asking()), End.ANSWERED)

    passed(gate, asking())


def test_failures_a_minute_apart_are_not_in_a_row(gate: Gate, clock: Clock) -> None:
    for _ in range(3 * FAILURES):
        fail(gate, 1)
        clock.now += 60

    passed(gate, asking())


def test_another_account_goes_on(gate: Gate) -> None:
    fail(gate, FAILURES)

    passed(gate, asking(OTHER))


# The cooldown


def test_an_account_that_wants_it_is_left_alone_and_a_shorter_wish_ends_no_longer_one(gate: Gate, clock: Clock) -> None:
    gate.cool_down(ROUTE, 120)
    gate.cool_down(ROUTE, 10)

    assert held(gate, asking()) == Held(Why.COOLDOWN, 120.0)
    passed(gate, asking(OTHER))
    clock.now += 120
    passed(gate, asking())


def test_no_wish_stops_a_fleet_for_a_day(gate: Gate) -> None:
    gate.cool_down(ROUTE, 86_400)

    assert held(gate, asking()).for_s == MOST_COOLDOWN_S


# Seen


def test_what_an_account_has_used_can_be_seen(gate: Gate) -> None:
    limits = {"requests_per_minute": 9, "tokens_per_minute": 900, "concurrent": 9}
    gate.leave(passed(gate, asking(tokens=50, **limits)), End.ANSWERED, tokens=70)
    passed(gate, asking(tokens=5, **limits))
    gate.cool_down(ROUTE, 30)

    standing = gate.look(ROUTE)

    assert (standing.requests, standing.tokens, standing.running) == (2, 75, 1)
    assert (standing.cooldown_s, standing.circuit_s) == (30.0, 0.0)


def test_an_open_circuit_can_be_seen(gate: Gate) -> None:
    fail(gate, FAILURES)

    assert gate.look(ROUTE).circuit_s == OPEN_S[0]


# The fleet


def test_processes_share_what_they_know(join: Callable[[], SharedGate]) -> None:
    first, second = join(), join()
    passed(first, asking(requests_per_minute=2, concurrent=2))
    ticket = passed(second, asking(requests_per_minute=2, concurrent=2))

    assert held(first, asking(requests_per_minute=2)).why is Why.REQUESTS
    assert held(first, asking(concurrent=2)).why is Why.CONCURRENT
    second.leave(ticket, End.ANSWERED)
    passed(first, asking(concurrent=2))
    fail(second, FAILURES, OTHER)
    assert held(first, asking(OTHER)).why is Why.CIRCUIT


def test_the_slots_of_a_process_that_is_gone_are_free_soon(join: Callable[[], SharedGate], clock: Clock) -> None:
    gone, other = join(), join()
    passed(gone, asking(concurrent=1))
    held(other, asking(concurrent=1))

    clock.now += 8

    passed(other, asking(concurrent=1))


def test_a_slot_is_held_on_and_taken_again_when_redis_forgets(
    join: Callable[[], SharedGate], server: FakeServer, clock: Clock
) -> None:
    holder, other = join(), join()
    ticket = passed(holder, asking(concurrent=1))
    clock.now += 6
    FakeRedis(server=server).flushall()

    holder._renew([ticket])

    clock.now += 6
    assert held(other, asking(concurrent=1)).why is Why.CONCURRENT


def test_while_redis_is_away_each_process_goes_by_what_it_knows(
    join: Callable[[], SharedGate], server: FakeServer, clock: Clock
) -> None:
    first, second = join(), join()
    passed(first, asking(requests_per_minute=2))
    server.connected = False

    passed(first, asking(requests_per_minute=2))
    assert held(first, asking(requests_per_minute=2)).why is Why.REQUESTS
    passed(second, asking(requests_per_minute=2))
    first.cool_down(OTHER, 100)
    assert held(first, asking(OTHER)).for_s == 100.0
    assert first.look(OTHER).cooldown_s == 100.0

    server.connected = True
    clock.now += LOOKED_FOR_EVERY_S
    passed(second, asking(requests_per_minute=2))  # what was sent meanwhile, Redis has not heard of
    assert held(first, asking(requests_per_minute=2)).why is Why.REQUESTS


def test_an_accounts_name_tells_neither_address_nor_variable() -> None:
    name = account_of(ROUTE)

    assert name.isalnum()
    assert len(name) == 32


def test_accounts_that_rest_are_forgotten_and_one_that_is_busy_is_not(clock: Clock) -> None:
    gate = LocalGate(clock)
    busy = passed(gate, asking(concurrent=1))
    for number in range(3 * KNOWN):
        other = asking(route_of("openai_chat", credential_ref=f"byo:{number}"))
        gate.leave(passed(gate, other), End.ANSWERED)
        clock.now += 1.0

    assert len(gate._accounts) <= KNOWN
    assert held(gate, asking(concurrent=1)).why is Why.CONCURRENT
    gate.leave(busy, End.ANSWERED)
