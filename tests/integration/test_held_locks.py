"""A process that stops in the middle of a transaction must not hold up the others for ever."""

import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from sqlalchemy import text

from tests.servers import PostgresServer
from worker.errors import StorageUnavailableError
from worker.storage import leases
from worker.storage.database import Database
from worker.sweeper import DUTY, DUTY_LEASE


@pytest.fixture
def databases(postgres_server: PostgresServer) -> Iterator[tuple[Database, Database]]:
    url = postgres_server.create_migrated()
    pair = Database(url), Database(url)
    yield pair
    for database in pair:
        database.close()


def take_duty(database: Database, holder: str) -> bool:
    with database.transaction() as session:
        return leases.hold(session, DUTY, holder=holder, lease=DUTY_LEASE)


def test_a_sweeper_frozen_while_it_takes_the_duty_loses_it_to_another(databases: tuple[Database, Database]) -> None:
    frozen, other = databases
    take_duty(frozen, "frozen")
    holders: list[str] = []

    def freeze_in_the_middle() -> None:
        with frozen.transaction() as session:
            leases.hold(session, DUTY, holder="frozen", lease=DUTY_LEASE)
            holders.append(_wait_for_another_holder(other))
            session.execute(text("SELECT 1"))

    with pytest.raises(StorageUnavailableError):
        freeze_in_the_middle()

    assert holders == ["other"]


def _wait_for_another_holder(other: Database) -> str:
    ends = time.monotonic() + 30
    while time.monotonic() < ends:
        with suppress(StorageUnavailableError):
            if take_duty(other, "other"):
                return "other"
        time.sleep(0.2)
    return "frozen"


def test_waiting_for_a_lock_ends_as_a_transient_error(databases: tuple[Database, Database]) -> None:
    holder, waiting = databases
    started = time.monotonic()

    with holder.transaction() as session:
        session.execute(text("LOCK TABLE reports IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(StorageUnavailableError), waiting.transaction() as second:
            second.execute(text("SELECT count(*) FROM reports"))

    assert time.monotonic() - started < 10
