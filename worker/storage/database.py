"""The way to the database: engines, transactions, its clock."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from zlib import crc32

from sqlalchemy import Engine, ExceptionContext, create_engine, event, func, select, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session, sessionmaker

from worker.errors import StorageUnavailableError
from worker.storage import endings
from worker.storage.endings import Ended
from worker.storage.outage import OutageLog
from worker.storage.types import UtcDateTime, dump_json

POOL_SIZE = 10
POOL_WAIT_S = 5
BUSY_MS = 5000
CONNECT_S = 5
DEAD_PEER = {"tcp_user_timeout": 10_000, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3}
"""A server whose host has gone is noticed after 10 s (ms and s): the system's own timeouts are a quarter of an hour."""
INSIST_PAUSE_S = (0.1, 1.0)
"""Shortest and longest wait before a transaction is tried again while the database is away."""

T = TypeVar("T")
_READING = "rca_reading"
READ_ONLY = "25006"
"""PostgreSQL's code for a write where none is allowed."""
IDLE_MS = 8000
"""A transaction whose process says nothing for so long is rolled back: frozen, it would hold its locks for ever."""


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    """Make SQLite durable, patient and strict; BEGIN is ours, see `_begin_immediate`."""
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={BUSY_MS}", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: Any) -> None:
    """Take the write lock first: a transaction that turns from reading to writing cannot wait for it."""
    is_reading = connection.get_execution_options().get(_READING)
    connection.exec_driver_sql("BEGIN" if is_reading else "BEGIN IMMEDIATE")


def _sqlite_engine(url: str, pool_size: int) -> Engine:
    path = url.removeprefix("sqlite:///")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_WAIT_S,
        json_serializer=dump_json,
        connect_args={"check_same_thread": False, "timeout": BUSY_MS / 1000},
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_immediate)
    return engine


def _bound_waits(connection: Any, _record: Any) -> None:
    """Let no session of PostgreSQL wait for a lock, or be waited for, without end."""
    connection.execute(f"SET lock_timeout = {BUSY_MS}")
    connection.execute(f"SET idle_in_transaction_session_timeout = {IDLE_MS}")
    connection.commit()


def _leave_reader(context: ExceptionContext) -> None:
    """Take a server that only reads for one that is lost: it is a standby, and the next connection may find another."""
    if getattr(context.original_exception, "sqlstate", None) == READ_ONLY:
        context.is_disconnect = True


def create_database_engine(url: str, *, pool_size: int = POOL_SIZE) -> Engine:
    """Return an engine for PostgreSQL or SQLite with a small, bounded pool."""
    if url.startswith("sqlite"):
        return _sqlite_engine(url, pool_size)
    return create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_WAIT_S,
        pool_pre_ping=True,
        json_serializer=dump_json,
        connect_args={"connect_timeout": CONNECT_S, "application_name": "rca-worker", **DEAD_PEER},
    )


class Database:
    """Transactions on one engine. No transaction is held across a model or tool call.

    `pool` is the name under which its outages are logged; None where whoever asks is told anyway. `on_ended` is told
    of every agent and investigation whose end was committed.
    """

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = POOL_SIZE,
        pool: str | None = None,
        on_ended: Callable[[Ended], None] = lambda _: None,
    ) -> None:
        self.url = url
        self._outages = OutageLog(pool) if pool else None
        self.engine = create_database_engine(url, pool_size=pool_size)
        if self.engine.dialect.name == "postgresql":
            event.listen(self.engine, "connect", _bound_waits)
            event.listen(self.engine, "handle_error", _leave_reader)
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)
        self._readers = sessionmaker(self.engine.execution_options(**{_READING: True}), expire_on_commit=False)
        self._on_ended = on_ended

    @property
    def is_interrupted(self) -> bool:
        """Say whether the log tells of an outage whose end it has not told yet."""
        return self._outages is not None and self._outages.is_on

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Commit at the end, roll back on any error. Raises `StorageUnavailableError` when there is no database."""
        began_s = time.monotonic()
        try:
            with _mapped_errors(), self._sessions.begin() as session:
                yield session
        except StorageUnavailableError as error:
            if self._outages:
                self._outages.failed(error)
            raise
        if self._outages:
            self._outages.succeeded(began_s=began_s)
        for ended in endings.of_transaction(session):
            self._on_ended(ended)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Hand out a session that only reads, and waits for no writer, not even one of this thread.

        Raises `StorageUnavailableError` when there is no database.
        """
        with _mapped_errors(), self._readers.begin() as session:
            yield session

    def insist(self, work: Callable[[Session], T], *, for_s: float) -> T:
        """Run `work` in a transaction, again and again while the database is away, for so many seconds.

        What a step has paid for is worth waiting for. The last `StorageUnavailableError` is raised when time is up.
        """
        ends, pause_s = time.monotonic() + for_s, INSIST_PAUSE_S[0]
        while True:
            try:
                with self.transaction() as session:
                    return work(session)
            except StorageUnavailableError:
                left_s = ends - time.monotonic()
                if left_s <= 0:
                    raise
            time.sleep(min(pause_s, left_s))
            pause_s = min(pause_s * 2, INSIST_PAUSE_S[1])

    def close(self) -> None:
        self.engine.dispose()


@contextmanager
def _mapped_errors() -> Iterator[None]:
    try:
        yield
    except PoolTimeoutError as error:
        raise StorageUnavailableError("the database has no free connection") from error
    except (OperationalError, InterfaceError) as error:
        raise StorageUnavailableError("the database does not answer") from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise StorageUnavailableError("the connection to the database was lost") from error
        raise


def database_now(session: Session) -> datetime:
    """Return the database's clock, one clock for every worker, as this transaction first read it.

    SQLite lives on this host, so its clock is ours.
    """
    known: datetime | None = session.info.get("now")
    if known is None:
        is_ours = session.get_bind().dialect.name == "sqlite"
        known = datetime.now(UTC) if is_ours else session.scalars(_CLOCK).one()
        session.info["now"] = known
    return known


_CLOCK = select(func.clock_timestamp(type_=UtcDateTime))


def serialise(session: Session, subject: str) -> None:
    """Let one transaction at a time go on for this subject. SQLite's write lock does so already."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": crc32(subject.encode())})
