"""Services on a SQLite database of the test's own."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.builders import build_services, close_services
from tests.databases import migrated_sqlite
from worker.services import Model, Services

Open = Callable[..., Services]


@pytest.fixture
def open_services(tmp_path: Path) -> Iterator[Open]:
    """Return a function that builds services on the test's database, closed at its end."""
    url = migrated_sqlite(tmp_path)
    made: list[Services] = []

    def build(model: Model, **fields: Any) -> Services:
        made.append(build_services(url, model, **fields))
        return made[-1]

    yield build
    for services in made:
        close_services(services)
