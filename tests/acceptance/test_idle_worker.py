"""A worker with nothing to do: quiet, and on duty."""

import json
import time
from collections.abc import Callable
from datetime import timedelta

from tests.acceptance.system import System
from worker.storage.database import database_now
from worker.storage.tables import LeaseRow

Install = Callable[..., System]
QUIET_S = 5


def test_an_idle_worker_logs_no_error_and_sweeps(install: Install) -> None:
    system = install()
    worker = system.start_worker()

    time.sleep(QUIET_S)

    lines = [json.loads(line) for line in worker.log().splitlines() if line.startswith("{")]
    assert [line for line in lines if line["level"] in {"warning", "error", "critical"}] == []
    assert "Traceback" not in worker.log()
    with system.services.database.transaction() as session:
        duty = session.get_one(LeaseRow, "sweeper")
        assert duty.until > database_now(session) - timedelta(seconds=1)
