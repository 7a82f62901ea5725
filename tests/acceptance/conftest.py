"""Fixtures of tests that start the product's own processes."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.acceptance.system import Provider, System
from tests.servers import PostgresServer, RedisServer

Install = Callable[..., System]
_redis_databases = count(1)


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
        database_url=postgres_server.create_database(),
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
        redis_url = redis_server.url.removesuffix("/0") + f"/{next(_redis_databases) % 16}"
        url = postgres_server.create_database()
        made.append(System(folder, database_url=url, redis_url=redis_url, provider=provider, **environment))
        return made[-1]

    yield build
    for each in made:
        each.close()
