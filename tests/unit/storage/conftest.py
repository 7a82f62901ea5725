"""A SQLite database of the test's own; the schema is made once and copied."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders import sqlite_url
from worker.storage.database import Database
from worker.storage.migrate import migrate


@pytest.fixture(scope="session")
def empty_storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("storage")
    migrate(sqlite_url(folder))
    return folder / "test.db"


@pytest.fixture
def storage(tmp_path: Path, empty_storage: Path) -> Iterator[Database]:
    shutil.copy(empty_storage, tmp_path / "test.db")
    found = Database(sqlite_url(tmp_path))
    yield found
    found.close()
