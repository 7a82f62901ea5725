"""How a command comes by the models as they are configured now, with what was stored, and changes it."""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager

from worker.cli.stored import open_database
from worker.cli.system import find_settings
from worker.current_models import CurrentModels
from worker.errors import ConfigError, StorageUnavailableError, UserError
from worker.llm.routing import Router
from worker.llm.standing import Standing, read_standing
from worker.services import Services
from worker.settings import Settings


def find_standing(settings: Settings) -> Standing:
    """Return what holds in the workers; without a database of this version, what the environment alone says.

    Raises ConfigError where that cannot be read.
    """
    try:
        with open_database(settings) as database:
            return CurrentModels(settings, database).get()
    except ConfigError:
        raise
    except (UserError, StorageUnavailableError):
        return read_standing(settings)


def find_router(settings: Settings) -> Router:
    """Return the router as it is in the workers. Raises ConfigError where that cannot work."""
    standing = find_standing(settings)
    return Router(standing.settings, source=lambda: standing)


@contextmanager
def open_services() -> Iterator[Services]:
    """Hand out what changes are made with. Raises UserError where there is no database of this version."""
    from worker.bootstrap import build_services  # noqa: PLC0415  # Celery takes a moment, and only changes need it

    settings = find_settings()
    with open_database(settings):
        services = build_services(settings)
    try:
        yield services
    finally:
        services.database.close()


def actor() -> str:
    """Say who makes a change on this machine."""
    return f"cli:{getpass.getuser()}"
