"""Services on an empty SQLite database, and a client on this machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web_client import AppClient, client_of, sqlite_services
from worker.services import Services


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    with sqlite_services(tmp_path) as found:
        yield found


@pytest.fixture
def client(services: Services) -> Iterator[AppClient]:
    """The local operator: no token is configured."""
    with client_of(services) as found:
        yield found
