"""Fixtures every level shares: real servers when their binaries are there, and a network that stays at home."""

import atexit
import gc
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.databases import compile_once, migrated_sqlite
from tests.servers import PostgresServer, RedisServer, find_binary, running_postgres, running_redis
from worker.model_settings import ModelSettings
from worker.storage.database import Database

REQUIRED = os.environ.get("RCA_TEST_REQUIRE_SERVICES") == "1"
settings.register_profile("quick", max_examples=50, deadline=None)
settings.register_profile("thorough", max_examples=1000, deadline=None)
settings.load_profile("quick")
"""`pytest --hypothesis-profile=thorough` looks twenty times as long."""
compile_once()
LOOPBACK = ("127.", "::1", "localhost", "0.0.0.0")
MEMORY, ROOM = Path("/dev/shm"), 2 << 30


def _find_memory() -> str | None:
    """Return a folder in memory that holds all tests write, programs too, or None if there is none."""
    if not MEMORY.is_dir():
        return None
    found = os.statvfs(MEMORY)
    is_fit = found.f_bavail * found.f_frsize > ROOM and not found.f_flag & (os.ST_NOEXEC | os.ST_RDONLY)
    return str(MEMORY) if is_fit else None


# Databases wait for the disk at each commit: most of the time of the tests was this, and proved nothing.
if "TMPDIR" not in os.environ:
    tempfile.tempdir = _find_memory()


def _need(binary: str, *patterns: str) -> None:
    """Skip without the server, or fail where it is required."""
    if find_binary(binary, *patterns):
        return
    if REQUIRED:
        pytest.fail(f"{binary} is not installed and RCA_TEST_REQUIRE_SERVICES=1")
    pytest.skip(f"{binary} is not installed")


def pytest_collection_finish() -> None:
    """Leave what is imported by now out of the garbage collections to come: a tenth of the unit tests' time."""
    gc.freeze()
    atexit.register(gc.unfreeze)  # some libraries complain of what is left over


@pytest.fixture(scope="session", autouse=True)
def _stay_on_loopback() -> Iterator[None]:
    """Refuse connections to anywhere but this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and not str(address[0]).startswith(LOOPBACK):
            raise AssertionError(f"a test tried to reach {address[0]}")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        yield


@pytest.fixture(scope="session", autouse=True)
def _clean_environment() -> Iterator[None]:
    """Take away whatever the machine configures of providers and of this product."""
    kept = {"RCA_TEST_REQUIRE_SERVICES", "RCA_CASES_DIR", "RCA_CORPORA_DIR"}
    others = ("RCA_", "LLM_", "OTEL_", "DATABASE_URL", "REDIS_URL")
    prefixes = (*others, *(name.upper() for name in ModelSettings.model_fields))
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith(prefixes) and name not in kept:
                patch.delenv(name)
        yield


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
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Return the URL of a migrated, empty database, once for each kind."""
    if request.param == "sqlite":
        yield migrated_sqlite(tmp_path)
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    url = server.create_migrated()
    yield url
    server.drop(url)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    found = Database(database_url)
    yield found
    found.close()
