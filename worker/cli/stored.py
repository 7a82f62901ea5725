"""How a command opens the database: only one that is there, and whose tables are those of this version."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from worker import spans
from worker.cli.system import find_settings
from worker.errors import NotFoundError, StorageUnavailableError, UserError
from worker.ops.tracing import FLUSH_S, open_tracer
from worker.settings import Settings
from worker.storage import investigations
from worker.storage.database import Database
from worker.storage.investigations import Filter
from worker.storage.migrate import schema_state

POOL_SIZE = 2
LATEST = "latest"
"""Stands for the newest investigation wherever a command takes an id."""


@contextmanager
def open_database(settings: Settings | None = None) -> Iterator[Database]:
    """Hand out the database, closed afterwards. Raises `UserError` where there is none, or not of this version."""
    settings = settings or find_settings()
    require_file(settings)
    tracer = open_tracer(settings.otel_exporter_otlp_endpoint)
    database = Database(settings.database, pool_size=POOL_SIZE, on_ended=spans.telling(tracer))
    try:
        require_schema(database)
        yield database
    finally:
        database.close()
        tracer.flush(FLUSH_S)


def require_file(settings: Settings) -> None:
    """Raise `UserError` where SQLite would make an empty database in a place where none was wanted."""
    scheme = "sqlite:///"
    path = Path(settings.database.removeprefix(scheme))
    if settings.database.startswith(scheme) and not path.exists():
        fix = "start the system with `rca up`, or set RCA_HOME or DATABASE_URL to where it runs"
        raise UserError(f"there is no database at {path}: {fix}")


def require_schema(database: Database) -> None:
    """Raise `UserError` unless the tables are those of this version, `StorageUnavailableError` without a database."""
    have, wanted = read_schema(database)
    if have != wanted:
        state = f"is at {have} and this version wants {wanted}" if have else "has no tables"
        raise UserError(f"the database {state}: run `rca migrate`")


def read_schema(database: Database) -> tuple[str | None, str | None]:
    """Return the revision the database has and the one wanted."""
    try:
        with database.engine.connect() as connection:
            return schema_state(connection)
    except SQLAlchemyError as error:
        problem = f"the database does not answer ({type(error).__name__}): is it running, is DATABASE_URL right?"
        raise StorageUnavailableError(problem) from error


def find_id(session: Session, given: str) -> str:
    """Return the id of an investigation as it was given, or of the newest for `latest`. Raises `NotFoundError`."""
    if given != LATEST:
        return investigations.get(session, given).id
    newest = investigations.page(session, Filter(limit=1))
    if not newest:
        raise NotFoundError("there is no investigation yet: send an incident with `rca enqueue FILE`")
    return newest[0].id
