"""Two versions on one schema: rows of the first revision go on, and code that knows only its columns can write."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Connection, MetaData, insert, select

from tests.builders import build_services, close_services, drain, incident, queue_of, submits_report
from tests.fakes import ScriptedModel
from worker import pipeline
from worker.services import Services
from worker.storage import outbox
from worker.storage.database import create_database_engine, database_now
from worker.storage.migrate import _config, migrate
from worker.storage.tables import InvestigationRow

FIRST = "0001"
CARRIED = ("incidents", "alerts", "investigations", "agents", "outbox")


@pytest.fixture(params=["sqlite", "postgresql"])
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """Return a function that makes an empty database without any table."""

    def make(name: str) -> str:
        if request.param == "postgresql":
            return str(request.getfixturevalue("postgres_server").create_database())
        return f"sqlite:///{tmp_path / name}.db"

    return make


def upgrade(url: str, revision: str) -> None:
    engine = create_database_engine(url, pool_size=1)
    with engine.begin() as connection:
        command.upgrade(_config(connection), revision)
    engine.dispose()


def rows_of_a_waiting_investigation(url: str) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of an investigation whose first turn is due."""
    migrate(url)
    services = build_services(url, ScriptedModel([]))
    pipeline.accept(services, incident(), via="test")
    with services.database.transaction() as session:
        tables = reflected(session.connection())
        found = {name: [dict(row._mapping) for row in session.execute(select(tables[name]))] for name in CARRIED}
    close_services(services)
    return found


def reflected(connection: Connection) -> dict[str, Any]:
    metadata = MetaData()
    metadata.reflect(connection)
    return dict(metadata.tables)


def write_as_the_first_revision(url: str, known: dict[str, set[str]], rows: dict[str, list[dict[str, Any]]]) -> None:
    """Insert the rows with nothing but the columns that the first revision knew."""
    engine = create_database_engine(url, pool_size=1)
    with engine.begin() as connection:
        tables = reflected(connection)
        for name in CARRIED:
            for row in rows[name]:
                old = {column: value for column, value in row.items() if column in known[name]}
                connection.execute(insert(tables[name]).values(**old))
    engine.dispose()


def columns_of(url: str) -> dict[str, set[str]]:
    engine = create_database_engine(url, pool_size=1)
    with engine.begin() as connection:
        found = {name: {c.name for c in table.columns} for name, table in reflected(connection).items()}
    engine.dispose()
    return found


def finish(services: Services) -> list[str]:
    """Deliver what is owed until nothing is; return how the investigations stand."""
    with services.database.transaction() as session:
        outbox.make_all_due(session, database_now(session))
        wake_ups = outbox.take_due(session, database_now(session))
    services.send(wake_ups)
    assert queue_of(services).sent
    drain(services)
    with services.database.transaction() as session:
        return list(session.scalars(select(InvestigationRow.status)))


def test_an_investigation_begun_on_the_first_revision_is_finished_on_the_newest(
    new_database: Callable[[str], str],
) -> None:
    rows, url = rows_of_a_waiting_investigation(new_database("source")), new_database("old")
    upgrade(url, FIRST)
    write_as_the_first_revision(url, columns_of(url), rows)

    migrate(url)
    services = build_services(url, ScriptedModel([submits_report()]))
    statuses = finish(services)
    close_services(services)

    assert statuses == ["completed"]


def test_code_of_the_first_revision_can_write_into_the_newest_schema(new_database: Callable[[str], str]) -> None:
    rows, old, url = rows_of_a_waiting_investigation(new_database("source")), new_database("old"), new_database("new")
    upgrade(old, FIRST)
    known = columns_of(old)
    migrate(url)

    write_as_the_first_revision(url, known, rows)
    services = build_services(url, ScriptedModel([submits_report()]))
    statuses = finish(services)
    close_services(services)

    assert statuses == ["completed"]
