"""Services on a SQLite database of the test's own; the schema is made once and copied."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.builders import build_services, close_services, sqlite_url
from worker.services import Model, Services
from worker.storage.migrate import migrate

Open = Callable[..., Services]


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("schema")
    migrate(sqlite_url(folder))
    return folder / "test.db"


@pytest.fixture
def open_services(tmp_path: Path, empty_database: Path) -> Iterator[Open]:
    """Return a function that builds services on the test's database, closed at its end."""
    shutil.copy(empty_database, tmp_path / "test.db")
    made: list[Services] = []

    def build(model: Model, **fields: Any) -> Services:
        made.append(build_services(sqlite_url(tmp_path), model, **fields))
        return made[-1]

    yield build
    for services in made:
        close_services(services)
