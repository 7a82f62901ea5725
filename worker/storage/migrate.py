"""Migrations: the schema is brought up to date by one process at a time."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from worker.storage.database import create_database_engine

MIGRATIONS = Path(__file__).parent / "migrations"
MIGRATION_KEY = 727_001
"""The PostgreSQL advisory key under which one process migrates and the others wait."""


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def migrate(url: str) -> None:
    """Bring the database to the newest schema. Safe to call from several processes at once."""
    engine = create_database_engine(url, pool_size=1)
    try:
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_KEY})
            command.upgrade(_config(connection), "head")
    finally:
        engine.dispose()


def schema_state(connection: Connection) -> tuple[str | None, str | None]:
    """Return the revision the database has and the one this code wants."""
    have = MigrationContext.configure(connection).get_current_revision()
    return have, ScriptDirectory.from_config(_config()).get_current_head()
