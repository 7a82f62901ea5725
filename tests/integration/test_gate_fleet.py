"""The gate on a real Redis: several processes keep one account's limits, also when one of them is killed."""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from redis import Redis

from tests.llm_builders import route_of
from tests.servers import RedisServer
from worker.llm.config_file import Limits
from worker.llm.gate import FAILURES, Asking, End, Held, LocalGate, Ticket
from worker.llm.shared_gate import RENEWED_EVERY_S, SLOT_S, SharedGate

pytestmark = pytest.mark.services
ROUTE = route_of("openai_chat")

PROCESS = """
import sys, time
from redis import Redis
from tests.llm_builders import route_of
from worker.llm.config_file import Limits
from worker.llm.gate import Asking, End, Held
from worker.llm.shared_gate import SharedGate

url, until, limit, hold_s = sys.argv[1], *map(float, sys.argv[2:])
gate = SharedGate(Redis.from_url(url))
asking = Asking(route_of("openai_chat"), Limits(**{"requests_per_minute" if hold_s == 0 else "concurrent": int(limit)}))
while time.time() < until:
    ticket = gate.enter(asking)
    if isinstance(ticket, Held):
        time.sleep(0.01)
        continue
    print(f"in {time.time()}", flush=True)
    time.sleep(hold_s)
    print(f"out {time.time()}", flush=True)
    gate.leave(ticket, End.ANSWERED)
"""


@pytest.fixture
def redis(redis_server: RedisServer) -> Iterator[Redis]:
    with Redis.from_url(redis_server.url) as client:
        client.flushall()
        yield client


def processes(redis_server: RedisServer, *, number: int, limit: int, hold_s: float) -> list[subprocess.Popen[str]]:
    until = time.time() + 4.0
    arguments = [redis_server.url, str(until), str(limit), str(hold_s)]
    return [
        subprocess.Popen([sys.executable, "-c", PROCESS, *arguments], stdout=subprocess.PIPE, text=True)
        for _ in range(number)
    ]


def moments(children: list[subprocess.Popen[str]]) -> list[tuple[float, int]]:
    """Return when requests began (+1) and ended (-1), in order."""
    lines = [line.split() for child in children for line in child.communicate(timeout=30)[0].splitlines()]
    return sorted((float(at), 1 if what == "in" else -1) for what, at in lines)


def slots(redis: Redis) -> bytes:
    return next(iter(redis.scan_iter("rca:gate:*:slots")))


def test_processes_keep_one_limit_of_requests(redis: Redis, redis_server: RedisServer) -> None:
    found = moments(processes(redis_server, number=4, limit=7, hold_s=0))

    assert Counter(step for _, step in found)[1] == 7


def test_processes_keep_one_limit_of_requests_at_a_time(redis: Redis, redis_server: RedisServer) -> None:
    running, most, total = 0, 0, 0
    for _, step in moments(processes(redis_server, number=4, limit=2, hold_s=0.05)):
        running += step
        most, total = max(most, running), total + (step > 0)

    assert most == 2
    assert total > 20


def test_a_killed_process_leaves_its_slots_and_a_living_one_keeps_them(redis: Redis, redis_server: RedisServer) -> None:
    with processes(redis_server, number=1, limit=1, hold_s=60)[0] as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        gate, asking = SharedGate(redis), Asking(ROUTE, Limits(concurrent=1))
        ((_, until_ms),) = redis.zrange(slots(redis), 0, -1, withscores=True)
        time.sleep(RENEWED_EVERY_S + 0.5)
        assert redis.zrange(slots(redis), 0, -1, withscores=True)[0][1] > until_ms
        assert isinstance(gate.enter(asking), Held)
        holder.kill()
    killed = time.monotonic()

    while isinstance(gate.enter(asking), Held):
        assert time.monotonic() < killed + SLOT_S + 1
        time.sleep(0.1)


ENDS = st.sampled_from([*End, None])
STEPS = st.lists(st.tuples(st.integers(0, 40_000), st.integers(0, 150), st.integers(0, 300), ENDS), max_size=30)


@given(STEPS)
@hypothesis_settings(deadline=None)
def test_one_process_alone_finds_the_same_with_and_without_redis(
    redis_server: RedisServer, steps: list[tuple[int, int, int, End | None]]
) -> None:
    now = [4_000_000_000_000]
    with Redis.from_url(redis_server.url) as client:
        client.flushall()
        shared = SharedGate(client, lambda: now[0] / 1000, lambda: now[0])
        local = LocalGate(lambda: now[0] / 1000)
        asking_limits, held = Limits(requests_per_minute=6, tokens_per_minute=400, concurrent=2), []
        for later_ms, tokens, used, end in steps:
            now[0] += later_ms
            shared._renew(held)  # as its thread does, by another clock than this one
            asking = Asking(ROUTE, asking_limits, tokens)
            found = (local.enter(asking), shared.enter(asking))
            if isinstance(found[0], Held) or isinstance(found[1], Held):
                assert [type(one) for one in found] == [Held, Held]
                assert found[0].why is found[1].why
                assert found[0].for_s == pytest.approx(found[1].for_s, abs=0.002)
            elif end is not None:
                for gate, ticket in zip((local, shared), found, strict=True):
                    gate.leave(ticket, end, tokens=used if end is End.ANSWERED else None)
            else:
                held.append(found[1])
                for gate in (local, shared):
                    gate.cool_down(ROUTE, tokens)


def test_a_redis_that_is_killed_holds_up_nobody(redis: Redis, tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    gate = SharedGate(Redis.from_url(server.url, socket_timeout=0.5, socket_connect_timeout=0.5))
    asking = Asking(ROUTE, Limits(requests_per_minute=FAILURES))
    assert isinstance(gate.enter(asking), Ticket)
    server.kill()

    began = time.monotonic()
    found = [gate.enter(asking) for _ in range(FAILURES)]

    assert time.monotonic() - began < 2
    assert [type(one) for one in found] == [Ticket] * (FAILURES - 1) + [Held]
