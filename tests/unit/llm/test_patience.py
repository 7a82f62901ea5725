"""An account that a provider wants left alone is left alone by the whole fleet, also while Redis is away."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fakeredis import FakeRedis, FakeServer
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.llm_builders import ALL_KEYS, bare_settings, hello, route_of
from tests.model_server import ModelServer, Reply, in_order
from worker.errors import ProviderRateLimitedError
from worker.llm.client import ProviderClient
from worker.llm.patience import LOOKED_FOR_EVERY_S, MOST_S, LocalPatience, Patience, SharedPatience, account_of

ROUTE = route_of("openai_chat")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
def join(server: FakeServer) -> Iterator[Callable[[], SharedPatience]]:
    """Return what makes the patience of one more process."""
    opened: list[FakeRedis] = []

    def build(**changes: Any) -> SharedPatience:
        opened.append(FakeRedis(server=server))
        return SharedPatience(opened[-1], **changes)

    yield build
    for redis in opened:
        redis.close()


def test_one_process_is_told_and_all_are_patient(join: Callable[[], SharedPatience]) -> None:
    told, other = join(), join()

    told.have(ROUTE, 120)

    assert 118 < other.left_s(ROUTE) <= 120
    assert other.left_s(route_of("openai_chat", credential_ref="env:LLM_OPENAI_COMPATIBLE_API_KEY")) == 0
    assert other.left_s(route_of("anthropic_messages")) == 0


def test_a_shorter_wish_does_not_end_a_longer_one(join: Callable[[], SharedPatience]) -> None:
    first, second = join(), join()

    first.have(ROUTE, 120)
    second.have(ROUTE, 10)

    assert join().left_s(ROUTE) > 100


def test_no_wish_stops_a_fleet_for_a_day(join: Callable[[], SharedPatience]) -> None:
    join().have(ROUTE, 86_400)

    assert join().left_s(ROUTE) <= MOST_S


def test_while_redis_is_away_each_process_knows_what_it_was_told(server: FakeServer, join: Any) -> None:
    clock = Clock()
    told, other = join(clock=clock), join(clock=clock)
    server.connected = False

    told.have(ROUTE, 120)

    assert (told.left_s(ROUTE), other.left_s(ROUTE)) == (120, 0)
    server.connected = True
    other.have(ROUTE, 60)
    clock.now += LOOKED_FOR_EVERY_S
    other.have(ROUTE, 60)
    assert 58 < join().left_s(ROUTE) <= 60


def test_what_is_over_is_over() -> None:
    clock = Clock()
    patience = LocalPatience(clock)
    patience.have(ROUTE, 30)

    clock.now += 30

    assert patience.left_s(ROUTE) == 0


@given(st.lists(st.tuples(st.floats(0, 1000), st.floats(0, 100)), max_size=10))
@hypothesis_settings(deadline=None)
def test_it_never_ends_before_any_wish_and_never_lasts_beyond_the_longest(wishes: list[tuple[float, float]]) -> None:
    clock = Clock()
    patience, ends = LocalPatience(clock), [0.0]
    for seconds, later in wishes:
        patience.have(ROUTE, seconds)
        ends.append(clock.now + min(seconds, MOST_S))
        assert patience.left_s(ROUTE) == pytest.approx(max(max(ends) - clock.now, 0))
        clock.now += later


def test_an_accounts_name_tells_neither_address_nor_variable() -> None:
    name = account_of(ROUTE)

    assert name.isalnum()
    assert len(name) == 32


# The client


def client(patience: Patience, sleep: Callable[[float], None]) -> ProviderClient:
    return ProviderClient(bare_settings(**ALL_KEYS), patience=patience, sleep=sleep)


LIMITED = Reply(status=429, headers={"retry-after": "120"}, body=b'{"error": {"message": "slow down"}}')


def test_another_worker_does_not_ask_who_has_asked_for_patience(join: Callable[[], SharedPatience]) -> None:
    waits: list[float] = []
    first, second = client(join(), waits.append), client(join(), waits.append)
    with ModelServer(in_order([LIMITED, Reply(text="ok")])) as server:
        route = route_of("openai_chat", server=server)
        for one in (first, second, second):
            with pytest.raises(ProviderRateLimitedError) as caught:
                one.ask(hello(), route=route, timeout_s=30)
            assert caught.value.retry_after_s is not None
            assert 100 < caught.value.retry_after_s <= 120

    first.close()
    second.close()
    assert (server.count, waits) == (1, [])
    assert "left alone" in str(caught.value)


def test_the_rest_of_a_patience_is_waited_in_place() -> None:
    clock, waits = Clock(), list[float]()
    patience = LocalPatience(clock)
    asking = client(patience, waits.append)
    with ModelServer(lambda _: Reply(text="ok")) as server:
        route = route_of("openai_chat", server=server)
        patience.have(route, 60)
        clock.now += 57

        assert asking.ask(hello(), route=route, timeout_s=30).message.text == "ok"

    asking.close()
    assert waits == [3]


def test_a_call_without_the_time_for_it_does_not_wait() -> None:
    patience = LocalPatience(Clock())
    asking = client(patience, lambda _: None)
    patience.have(ROUTE, 4)

    with pytest.raises(ProviderRateLimitedError):
        asking.ask(hello(), route=ROUTE, timeout_s=2)

    asking.close()


def test_who_lost_the_step_while_it_waited_asks_nobody() -> None:
    is_ours = [True]
    patience = LocalPatience(Clock())
    asking = client(patience, lambda _: is_ours.clear())
    with ModelServer(lambda _: Reply(text="ok")) as server:
        route = route_of("openai_chat", server=server)
        patience.have(route, 3)

        with pytest.raises(IndexError):
            asking.ask(hello(), route=route, timeout_s=30, confirm=lambda: is_ours[0])

    asking.close()
    assert server.count == 0
