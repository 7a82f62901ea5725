"""What the client does where its account may not be asked: it waits a little, or says for how long not."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.llm_builders import ALL_KEYS, bare_settings, hello, route_of
from tests.model_server import ModelServer, Reply, in_order
from worker.errors import (
    LimitReachedError,
    ProviderQuotaError,
    ProviderRateLimitedError,
    ProviderUnavailableError,
)
from worker.llm.client import LONGEST_WAIT_S, SPREAD_S, ProviderClient
from worker.llm.config_file import Limits
from worker.llm.gate import FAILURES, Asking, LocalGate

ROUTE = route_of("openai_chat")
LIMITED = Reply(status=429, headers={"retry-after": "120"}, body=b'{"error": {"message": "slow down"}}')
DOWN = Reply(status=503, body=b'{"error": {"message": "down"}}')


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gate(clock: Clock) -> LocalGate:
    return LocalGate(clock)


@pytest.fixture
def build(clock: Clock, gate: LocalGate, tmp_path: Path) -> Iterator[Callable[..., ProviderClient]]:
    """Return what makes the client of one more process, with these limits of `openai` in its file."""
    opened: list[ProviderClient] = []

    def make(limits: str = "", **changes: Any) -> ProviderClient:
        file = tmp_path / "llm.yaml"
        file.write_text(f"providers: {{openai: {{limits: {{{limits}}}}}}}")
        settings = bare_settings(**ALL_KEYS, rca_llm_config=file)
        opened.append(ProviderClient(settings, **{"gate": gate, "clock": clock, "sleep": clock.sleep, **changes}))
        return opened[-1]

    yield make
    for client in opened:
        client.close()


def ask(client: ProviderClient, server: ModelServer, **options: Any) -> str:
    route = route_of("openai_chat", server=server)
    return client.ask(hello(), route=route, **{"timeout_s": 30, **options}).message.text


def test_another_worker_does_not_ask_who_has_asked_for_patience(build: Any, clock: Clock) -> None:
    with ModelServer(in_order([LIMITED, Reply(text="ok")])) as server:
        for client in (build(), build(), build()):
            with pytest.raises(ProviderRateLimitedError) as caught:
                ask(client, server)
            assert 100 < (caught.value.retry_after_s or 0) <= 120 + SPREAD_S

    assert server.count == 1
    assert clock.now == 1000.0
    assert "left alone" in str(caught.value)


def test_the_rest_of_a_cooldown_is_waited_in_place(build: Any, gate: LocalGate, clock: Clock) -> None:
    with ModelServer(lambda _: Reply(text="ok")) as server:
        gate.cool_down(route_of("openai_chat", server=server), 60)
        clock.now += 57

        assert ask(build(), server) == "ok"

    assert clock.now == 1060.0


def test_a_call_without_the_time_for_it_does_not_wait(build: Any, gate: LocalGate) -> None:
    gate.cool_down(ROUTE, 4)

    with pytest.raises(ProviderRateLimitedError):
        build().ask(hello(), route=ROUTE, timeout_s=2)


def test_who_lost_the_step_while_it_waited_asks_nobody(build: Any, gate: LocalGate, clock: Clock) -> None:
    is_ours = [True]
    with ModelServer(lambda _: Reply(text="ok")) as server:
        gate.cool_down(route_of("openai_chat", server=server), 3)
        client = build("concurrent: 1", sleep=lambda s: (clock.sleep(s), is_ours.clear()))

        with pytest.raises(IndexError):
            ask(client, server, confirm=lambda: is_ours[0])

        assert server.count == 0
        assert ask(client, server) == "ok"  # its slot is free again


def test_a_limit_that_is_free_soon_is_waited_for(build: Any, clock: Clock) -> None:
    client = build("requests_per_minute: 1")
    with ModelServer(lambda _: Reply(text="ok")) as server:
        ask(client, server)
        clock.now += 57

        assert ask(client, server) == "ok"

    assert clock.now == 1061.0


def test_a_limit_that_is_not_frees_the_worker(build: Any) -> None:
    client = build("requests_per_minute: 1")
    with ModelServer(lambda _: Reply(text="ok")) as server:
        ask(client, server)

        with pytest.raises(LimitReachedError, match=r"openai/.*limit of requests a minute in RCA_LLM_CONFIG") as caught:
            ask(client, server)

    assert server.count == 1
    assert 61 <= (caught.value.retry_after_s or 0) <= 61 + SPREAD_S


def test_a_free_slot_is_looked_for_a_few_seconds(build: Any, gate: LocalGate, clock: Clock) -> None:
    with ModelServer(lambda _: Reply(text="ok")) as server:
        gate.enter(Asking(route_of("openai_chat", server=server), Limits(concurrent=1)))

        with pytest.raises(LimitReachedError, match="requests at a time"):
            ask(build("concurrent: 1"), server)

    assert server.count == 0
    assert 0 < clock.now - 1000.0 <= LONGEST_WAIT_S


@pytest.mark.parametrize("limit", ["requests_per_minute", "tokens_per_minute", "concurrent"])
def test_a_limit_of_0_lets_nothing_through_and_says_so_at_once(build: Any, limit: str) -> None:
    with ModelServer(lambda _: Reply(text="ok")) as server:
        with pytest.raises(ProviderQuotaError, match="RCA_LLM_CONFIG limits this account to 0"):
            ask(build(f"{limit}: 0"), server)

        assert server.count == 0


def test_tokens_count_as_the_provider_says(build: Any) -> None:
    client = build("tokens_per_minute: 1000")
    with ModelServer(lambda _: Reply(text="ok", usage=(900, 99))) as server:
        ask(client, server)

        with pytest.raises(LimitReachedError, match="tokens a minute"):
            ask(client, server)


def test_after_failures_in_a_row_nobody_is_asked_for_a_while(build: Any, clock: Clock) -> None:
    with ModelServer(lambda _: DOWN) as server:
        for _ in range(2):
            with pytest.raises(ProviderUnavailableError):
                ask(build(), server)
        tried = server.count
        with pytest.raises(ProviderUnavailableError, match="tried again in") as caught:
            ask(build(), server)
        assert server.count == tried == FAILURES + 1  # the last one waited and tried again

        clock.now += caught.value.retry_after_s or 0
        with pytest.raises(ProviderUnavailableError):
            ask(build(), server)
        assert server.count == tried + 1


@pytest.mark.parametrize("status", [400, 401, 404, 429])
def test_a_provider_that_answers_is_not_down(build: Any, status: int) -> None:
    refusal = Reply(status=status, headers={"retry-after": "0"}, body=b'{"error": {"message": "no"}}')
    with ModelServer(lambda _: refusal) as server:
        for _ in range(FAILURES):
            with pytest.raises((ProviderRateLimitedError, Exception)):
                ask(build(), server)
        answered = server.count
        with pytest.raises(Exception, match=str(status)):
            ask(build(), server)

    assert server.count > answered


def test_a_call_whose_own_time_was_short_says_nothing_of_the_provider(gate: LocalGate) -> None:
    with ModelServer(lambda _: Reply(text="ok", latency_s=0.3)) as server:
        for _ in range(FAILURES):
            client = ProviderClient(bare_settings(**ALL_KEYS), gate=gate)
            with pytest.raises(ProviderUnavailableError):
                ask(client, server, timeout_s=0.05)
            client.close()

    assert gate.look(route_of("openai_chat", server=server)).circuit_s == 0.0
