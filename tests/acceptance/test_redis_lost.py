"""Redis killed and started again empty, in the middle of everything: only wake-ups were in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.system import Provider, System, counts_in, reports, running, runs, times_run
from tests.servers import PostgresServer, RedisServer, running_redis


@pytest.fixture
def redis(redis_server: RedisServer, tmp_path: Path) -> Iterator[RedisServer]:
    """Return a server of this test's own: it dies. The shared one says whether there is any at all."""
    with running_redis(tmp_path) as server:
        yield server


def test_all_investigations_finish_once_after_redis_came_back_empty(
    redis: RedisServer, postgres_server: PostgresServer, provider: Provider, tmp_path: Path
) -> None:
    url = postgres_server.create_migrated()
    names = [f"redis is lost under {name}" for name in ("carts", "orders", "mail", "search", "stock")]
    counters = [tmp_path / f"count-{n}" for n in range(len(names))]
    for name, counter in zip(names, counters, strict=True):
        provider.play(name, [runs(counts_in(counter)), runs("uptime", latency_s=1.5), reports()])

    with running(System(tmp_path, database_url=url, redis_url=redis.url, provider=provider)) as system:
        worker = system.start_worker(slots=2)
        investigations = [system.open(name) for name in names]
        system.wait_for_turn(names[0], 2)
        redis.kill()
        redis.start()
        for investigation in investigations:
            system.wait_until_completed(investigation, within_s=40)

        assert worker.is_alive
        assert [times_run(c) for c in counters] == [1] * 5
        assert [provider.turns(n) for n in names] == [{1: 1, 2: 1, 3: 1}] * 5
