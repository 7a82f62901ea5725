"""Fixtures of tests that run the pipeline in this process."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.builders import build_services, close_services
from worker.services import Model, Services

Open = Callable[..., Services]


@pytest.fixture
def open_services(database_url: str) -> Iterator[Open]:
    """Return a function that builds services on the test's database, closed at its end."""
    made: list[Services] = []

    def build(model: Model, **fields: Any) -> Services:
        made.append(build_services(database_url, model, **fields))
        return made[-1]

    yield build
    for services in made:
        close_services(services)
