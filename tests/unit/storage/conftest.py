"""A SQLite database of the test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import migrated_sqlite
from worker.storage.database import Database


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Database]:
    found = Database(migrated_sqlite(tmp_path))
    yield found
    found.close()
