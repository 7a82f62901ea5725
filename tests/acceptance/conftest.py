"""Fixtures of tests that start the product's own processes."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from redis import Redis

from tests.acceptance.system import Provider, System
from tests.servers import PostgresServer, RedisServer

Install = Callable[..., System]
_installed = count()
_FIRST, _OWN = 1, 14
"""Redis has sixteen databases: the first is the shared installation's, the last that of small budgets."""


@pytest.fixture(scope="session")
def provider() -> Iterator[Provider]:
    scripted = Provider()
    yield scripted
    scripted.close()


@pytest.fixture(scope="session")
def system(
    provider: Provider,
    redis_server: RedisServer,
    postgres_server: PostgresServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[System]:
    """Return an installation with intake and one worker, for tests that leave its processes alone."""
    shared = System(
        tmp_path_factory.mktemp("system"),
        database_url=postgres_server.create_migrated(),
        redis_url=redis_server.url,
        provider=provider,
    )
    shared.start_intake()
    shared.start_worker()
    yield shared
    shared.close()


@pytest.fixture
def install(
    provider: Provider, redis_server: RedisServer, postgres_server: PostgresServer, tmp_path: Path
) -> Iterator[Install]:
    """Return a function that makes an installation of one's own: a new database, a new Redis database, no process."""
    made: list[System] = []

    def build(**environment: str) -> System:
        folder = tmp_path / f"system-{len(made)}"
        folder.mkdir()
        redis_url = redis_server.url.removesuffix("/0") + f"/{_FIRST + next(_installed) % _OWN}"
        with Redis.from_url(redis_url) as redis:
            redis.flushdb()
        url = postgres_server.create_migrated()
        made.append(System(folder, database_url=url, redis_url=redis_url, provider=provider, **environment))
        return made[-1]

    yield build
    for each in made:
        each.close()
