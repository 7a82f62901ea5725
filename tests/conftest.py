"""Fixtures every level shares: real servers when their binaries are there, and a network that stays at home."""

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.servers import PostgresServer, RedisServer, find_binary, running_postgres, running_redis
from worker.storage.database import Database
from worker.storage.migrate import migrate

REQUIRED = os.environ.get("RCA_TEST_REQUIRE_SERVICES") == "1"
settings.register_profile("quick", max_examples=50, deadline=None)
settings.register_profile("thorough", max_examples=1000, deadline=None)
settings.load_profile("quick")
"""`pytest --hypothesis-profile=thorough` looks twenty times as long."""
LOOPBACK = ("127.", "::1", "localhost", "0.0.0.0")


def _need(binary: str, *patterns: str) -> None:
    """Skip without the server, or fail where it is required."""
    if find_binary(binary, *patterns):
        return
    if REQUIRED:
        pytest.fail(f"{binary} is not installed and RCA_TEST_REQUIRE_SERVICES=1")
    pytest.skip(f"{binary} is not installed")


@pytest.fixture(autouse=True)
def _stay_on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse connections to anywhere but this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and not str(address[0]).startswith(LOOPBACK):
            raise AssertionError(f"a test tried to reach {address[0]}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away whatever the machine configures of providers and of this product."""
    kept = {"RCA_TEST_REQUIRE_SERVICES", "RCA_CASES_DIR", "RCA_CORPORA_DIR"}
    prefixes = (
        "RCA_",
        "LLM_",
        "OPENAI_",
        "OPENROUTER_",
        "ANTHROPIC_",
        "GUARDRAILS_",
        "OTEL_",
        "DATABASE_URL",
        "REDIS_URL",
    )
    for name in os.environ:
        if name.startswith(prefixes) and name not in kept:
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    _need("redis-server")
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Run a cluster outside pytest's folders: those are closed to the user that the server runs as."""
    _need("postgres", "/usr/lib/postgresql/*/bin/postgres")
    with tempfile.TemporaryDirectory(prefix="rca-postgres-") as folder, running_postgres(Path(folder)) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a migrated, empty database, once for each kind."""
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_server").create_database()
    else:
        url = f"sqlite:///{tmp_path / 'test.db'}"
    migrate(url)
    return str(url)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    found = Database(database_url)
    yield found
    found.close()
