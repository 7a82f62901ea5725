"""`rca eval run` waits for its investigations, and no longer than there is a system that works on them."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.builders import build_services, close_services, drain, incident, settings_for, sqlite_url, submits_report
from tests.databases import FailingDatabase, migrated_sqlite
from tests.fakes import ScriptedModel
from worker import pipeline
from worker.cli import evaluate
from worker.cli.stack import Stack
from worker.cli.upfile import UpFile
from worker.errors import WorkerError
from worker.storage.database import Database

HOUR_S = 3600.0
UP = UpFile(pid=1, redis_url="", redis_kind="", web_url="", local_url="", database="sqlite")


def stack_of(folder: Path, code: str) -> Stack:
    """Return a system whose one process runs this code."""
    log = folder / "up.log"
    with log.open("wb") as output:
        child = subprocess.Popen([sys.executable, "-S", "-c", code], stdout=output, stderr=subprocess.STDOUT)
    return Stack(folder, UP, log, settings_for(sqlite_url(folder)), child)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(migrated_sqlite(tmp_path))
    yield opened
    opened.close()


def test_a_system_that_has_died_is_not_waited_for_and_shows_the_end_of_its_output(
    database: Database, tmp_path: Path
) -> None:
    stack = stack_of(tmp_path, "print('no space left on device'); raise SystemExit(7)")
    began = time.monotonic()

    with pytest.raises(WorkerError, match=r"(?s)ended with code 7;.*no space left on device"):
        evaluate._wait(stack, database, run_id="run", count=1, timeout_s=HOUR_S)

    assert time.monotonic() - began < 30


def test_a_system_that_runs_is_waited_for_until_the_time_is_over(database: Database, tmp_path: Path) -> None:
    stack = stack_of(tmp_path, "import time; time.sleep(60)")

    ended = evaluate._wait(stack, database, run_id="run", count=1, timeout_s=1.5)
    stack.child.kill()
    stack.child.wait()

    assert ended == {}


def test_a_database_that_is_busy_for_a_moment_is_asked_again(tmp_path: Path) -> None:
    database = FailingDatabase(migrated_sqlite(tmp_path), fails_at={1, 2})
    stack = stack_of(tmp_path, "import time; time.sleep(60)")

    ended = evaluate._wait(stack, database, run_id="run", count=1, timeout_s=1.5)
    stack.child.kill()
    stack.child.wait()
    database.close()

    assert ended == {}


def test_an_investigation_that_has_ended_counts_although_the_system_has_too(database: Database, tmp_path: Path) -> None:
    services = build_services(sqlite_url(tmp_path), ScriptedModel([submits_report()]))
    pipeline.accept(services, incident(user_path="/evaluation/run/one"), via="test")
    drain(services)
    close_services(services)
    stack = stack_of(tmp_path, "")
    stack.child.wait()

    ended = evaluate._wait(stack, database, run_id="run", count=1, timeout_s=HOUR_S)

    assert list(ended) == ["/evaluation/run/one"]
