"""Databases for tests: migrated once, copied for each; statements compiled once for all."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.orm import Session

from worker.errors import StorageUnavailableError
from worker.storage.database import Database
from worker.storage.migrate import migrate

_compiled: dict[Any, Any] = {}


def sqlite_url(folder: Path) -> str:
    return f"sqlite:///{folder / 'test.db'}"


def migrated_sqlite(folder: Path) -> str:
    """Write a migrated, empty database into the folder, and return its URL."""
    (folder / "test.db").write_bytes(_migrated_file())
    return sqlite_url(folder)


@cache
def _migrated_file() -> bytes:
    """Return what every such file holds: made once, for it takes longer than most tests."""
    with TemporaryDirectory() as folder:
        migrate(sqlite_url(Path(folder)))
        return (Path(folder) / "test.db").read_bytes()


def compile_once() -> None:
    """Let all engines of this process share what they compile: one to each test, they took half of its time for it."""
    registry.register("sqlite", __name__, "Sqlite")
    registry.register("postgresql.psycopg", __name__, "Postgresql")
    event.listen(Engine, "engine_connect", _share)


def _share(connection: Connection) -> None:
    connection.execution_options(compiled_cache=_compiled)


class _Interchangeable:
    """A dialect that equals every other of its class, so that what was compiled for one is found by all."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))


class Sqlite(_Interchangeable, SQLiteDialect_pysqlite):
    supports_statement_cache = True


class Postgresql(_Interchangeable, PGDialect_psycopg):
    supports_statement_cache = True


class FailingDatabase(Database):
    """Fails at the transactions whose numbers are given, counted from 1."""

    def __init__(self, url: str, *, fails_at: set[int]) -> None:
        super().__init__(url)
        self._fails_at = fails_at
        self._count = 0

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        self._count += 1
        if self._count in self._fails_at:
            raise StorageUnavailableError("the database does not answer")
        with super().transaction() as session:
            yield session
