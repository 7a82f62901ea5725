"""The database away: what was done is stored when it is back, and nobody is judged for having waited."""

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql
from redis import Redis
from sqlalchemy import delete, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from tests.builders import drain, incident, submits_report
from tests.fakes import ScriptedModel
from tests.servers import PostgresServer
from worker import pipeline
from worker.domain.conversation import ModelAnswer, ModelRequest
from worker.domain.states import Step
from worker.errors import StorageUnavailableError
from worker.services import Services
from worker.storage import agents
from worker.storage.database import Database
from worker.storage.tables import AgentRow, InvestigationRow
from worker.sweeper import Sweeper

Open = Callable[..., Services]


class Outage:
    """Makes every new transaction of one database fail for a while."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sessions = database._sessions
        self.refused = 0

    def begin(self, *, refusals: int) -> None:
        outage = self

        class Refusing:
            @contextmanager
            def begin(self) -> Iterator[Session]:
                if outage.refused >= refusals:
                    outage.end()
                    with outage._sessions.begin() as session:
                        yield session
                    return
                outage.refused += 1
                raise OperationalError("SELECT 1", {}, Exception("the server closed the connection"))

        self._database._sessions = Refusing()  # type: ignore[assignment]  # a stand-in with the one method used

    def end(self) -> None:
        self._database._sessions = self._sessions


def test_an_answer_is_stored_once_the_database_is_back(open_services: Open) -> None:
    def answer_in_an_outage(_: ModelRequest) -> ModelAnswer:
        outage.begin(refusals=4)
        return submits_report()

    model = ScriptedModel([answer_in_an_outage])
    services = open_services(model)
    outage = Outage(services.database)
    accepted = pipeline.accept(services, incident(), via="test")

    drain(services)

    with services.database.transaction() as session:
        row = session.get_one(InvestigationRow, accepted.investigation_id)
    assert row.status == "completed"
    assert model.calls_per_turn == {1: 1}
    assert outage.refused == 4


def test_insisting_ends_with_the_time_it_was_given(open_services: Open) -> None:
    services = open_services(ScriptedModel([]))
    Outage(services.database).begin(refusals=10_000)
    started = time.monotonic()

    with pytest.raises(StorageUnavailableError):
        services.database.insist(lambda session: session.scalar(select(1)), for_s=0.5)

    assert 0.4 < time.monotonic() - started < 5


def test_a_server_that_only_reads_is_one_that_is_away(postgres_server: PostgresServer) -> None:
    url = postgres_server.create_migrated()
    database = Database(url)
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as operator:
        name = sql.Identifier(url.rsplit("/", 1)[1])
        operator.execute(sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(name))

        with pytest.raises(StorageUnavailableError), database.transaction() as session:
            session.execute(delete(AgentRow))  # as after a failover, when the old primary is a standby

        operator.execute(sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = off").format(name))
    with database.transaction() as session:
        session.execute(delete(AgentRow))  # on a new connection
    database.close()


def test_a_server_whose_host_is_gone_is_not_waited_for(postgres_server: PostgresServer) -> None:
    database = Database(postgres_server.create_database())

    with database.transaction() as session:
        raw: Any = session.connection().connection.driver_connection
        with socket.socket(fileno=os.dup(raw.fileno())) as wire:
            unacknowledged_ms = wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
            idle_s = wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
    database.close()

    assert (unacknowledged_ms, idle_s) == (10_000, 5)


@pytest.fixture
def sweeper_of(redis_server: Any) -> Iterator[Callable[[Services], Sweeper]]:
    with Redis.from_url(redis_server.url) as redis:
        yield lambda services: Sweeper(services, redis)


def lost_lease(services: Services) -> None:
    with services.database.transaction() as session:
        agent_id = session.scalars(select(AgentRow.id)).one()
        assert agents.claim(session, agent_id, Step.TURN, turn_no=1, lease=timedelta(seconds=1))
        session.execute(update(AgentRow).values(lease_until=datetime(2000, 1, 1, tzinfo=UTC)))


def test_a_sweeper_takes_back_what_ran_out(open_services: Open, sweeper_of: Callable[[Services], Sweeper]) -> None:
    services = open_services(ScriptedModel([submits_report()]))
    pipeline.accept(services, incident(), via="test")
    lost_lease(services)

    sweeper_of(services).sweep()

    with services.database.transaction() as session:
        assert session.scalar(select(AgentRow.status)) == "ready"


def test_a_sweeper_that_is_only_busy_takes_back_what_ran_out(
    open_services: Open, sweeper_of: Callable[[Services], Sweeper]
) -> None:
    services = open_services(ScriptedModel([submits_report()]))
    pipeline.accept(services, incident(), via="test")
    lost_lease(services)
    sweeper = sweeper_of(services)

    time.sleep(1.8)  # a round that takes long, but not so long that a lease could have run out meanwhile
    sweeper.sweep()

    with services.database.transaction() as session:
        assert session.scalar(select(AgentRow.status)) == "ready"


def test_a_sweeper_that_was_stalled_itself_gives_others_a_lease_to_catch_up(
    open_services: Open, sweeper_of: Callable[[Services], Sweeper]
) -> None:
    services = open_services(ScriptedModel([submits_report()]), rca_lease_s=1.0)
    pipeline.accept(services, incident(), via="test")
    lost_lease(services)
    sweeper = sweeper_of(services)

    time.sleep(2.2)  # longer than a round ever takes: this process, and so perhaps every other, stood still
    sweeper.sweep()
    with services.database.transaction() as session:
        just_after = session.scalar(select(AgentRow.status))
    ends, a_lease_later = time.monotonic() + 10, just_after
    while a_lease_later == just_after and time.monotonic() < ends:
        time.sleep(0.2)
        sweeper.sweep()
        with services.database.transaction() as session:
            a_lease_later = session.scalar(select(AgentRow.status))

    assert (just_after, a_lease_later) == ("asking", "ready")
