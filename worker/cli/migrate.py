"""`rca migrate`: bring the database up to date, for deployments that do not use `rca up`."""

import click
from sqlalchemy.exc import SQLAlchemyError

from worker.errors import UserError
from worker.settings import Settings, load_settings
from worker.storage import migrate as schema


@click.command()
def migrate() -> None:
    """Bring the database to the newest schema; safe to run from many places at once."""
    settings = load_settings()
    migrate_database(settings)
    click.echo("the database is up to date")


def migrate_database(settings: Settings) -> None:
    """Migrate, and turn what the driver says into one line that holds no address."""
    if settings.database.startswith("sqlite"):
        settings.rca_home.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        schema.migrate(settings.database)
    except SQLAlchemyError as error:
        raise UserError(f"DATABASE_URL: the database cannot be brought up to date: {type(error).__name__}") from error
