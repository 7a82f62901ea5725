"""The log tells of an outage when it begins and when it has ended, not of every attempt in it."""

import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.builders import sqlite_url
from worker.errors import StorageUnavailableError
from worker.storage.database import Database
from worker.storage.outage import CALM_S, OutageLog

AWAY = StorageUnavailableError("the database does not answer")


def calm() -> float:
    """Return a time so late that whatever failed was before."""
    return time.monotonic() + CALM_S


def test_an_outage_of_many_attempts_is_told_once_and_so_is_its_end() -> None:
    outages = OutageLog("main")

    with capture_logs() as lines:
        for _ in range(3):
            outages.failed(AWAY)
        for _ in range(3):
            outages.succeeded(began_s=calm())

    assert [(line["event"], line["pool"], line["log_level"]) for line in lines] == [
        ("database_interrupted", "main", "warning"),
        ("database_resumed", "main", "info"),
    ]


def test_a_second_outage_is_told_of_too() -> None:
    outages = OutageLog("main")

    with capture_logs() as lines:
        for _ in range(2):
            outages.failed(AWAY)
            outages.succeeded(began_s=calm())

    assert [line["event"] for line in lines] == ["database_interrupted", "database_resumed"] * 2


def test_what_still_succeeds_beside_failures_does_not_end_an_outage() -> None:
    outages = OutageLog("main")
    began = time.monotonic()

    with capture_logs() as lines:
        outages.failed(AWAY)
        outages.succeeded(began_s=began)
        outages.failed(AWAY)

    assert [line["event"] for line in lines] == ["database_interrupted"]
    assert outages.is_on


@pytest.mark.parametrize(("pool", "told"), [("main", ["database_interrupted"]), (None, [])])
def test_a_database_tells_under_its_pools_name_or_not_at_all(tmp_path: Path, pool: str | None, told: list[str]) -> None:
    (tmp_path / "test.db").mkdir()  # no file can be opened there
    database = Database(sqlite_url(tmp_path), pool=pool)

    with capture_logs() as lines:
        for _ in range(2):
            with pytest.raises(StorageUnavailableError), database.transaction() as session:
                session.connection()
    database.close()

    assert [line["event"] for line in lines] == told
