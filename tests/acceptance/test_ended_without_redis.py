"""A worker asked to end while Redis is away: it still finishes what fits its grace, and leaves with 0."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.system import Provider, System, reports, running, runs
from tests.servers import PostgresServer, RedisServer, running_redis
from worker.domain.states import AgentStatus


@pytest.fixture
def redis(redis_server: RedisServer, tmp_path: Path) -> Iterator[RedisServer]:
    """Return a server of this test's own: it dies. The shared one says whether there is any at all."""
    with running_redis(tmp_path) as server:
        yield server


@pytest.mark.parametrize("away_s", [0.0, 2.5], ids=["just-now", "for-a-while"])
def test_a_step_within_the_grace_is_finished_though_redis_is_away(  # noqa: PLR0917  # fixtures
    redis: RedisServer, postgres_server: PostgresServer, provider: Provider, tmp_path: Path, away_s: float
) -> None:
    marker = f"ended without redis after {away_s:g}"
    provider.play(marker, [runs("uptime"), reports()], slow_once={1: away_s + 3})
    url = postgres_server.create_migrated()

    with running(System(tmp_path, database_url=url, redis_url=redis.url, provider=provider)) as system:
        worker = system.start_worker()
        investigation = system.open(marker)
        system.wait_for_turn(marker, 1)
        redis.kill()
        time.sleep(away_s)  # how long Celery has been trying to reach it again
        exit_code = worker.terminate(within_s=15)

        assert exit_code == 0, worker.log()[-2000:]
        assert system.agent(investigation).status == AgentStatus.READY_TO_ACT
