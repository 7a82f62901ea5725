"""A process asked to end leaves with 0 once its steps are done, whatever becomes of Celery's own way out."""

import os
import subprocess
import sys
from pathlib import Path

from tests.databases import migrated_sqlite, sqlite_url

ROOT = Path(__file__).parents[2]
BROKEN_WAY_OUT = """
import sys, threading, time
from celery.signals import worker_shutting_down
from worker import lifecycle
from worker.bootstrap import get_services

def step():
    with get_services().heartbeat.busy():
        time.sleep(0.5)
    print("the step is done", flush=True)

get_services()
threading.Thread(target=step).start()
time.sleep(0.1)
worker_shutting_down.send(sender=None)
sys.exit(1)
"""
"""As when the connection to Redis breaks while Celery says goodbye: its main thread ends at once, with 1."""


def test_a_broken_goodbye_neither_cuts_steps_short_nor_looks_like_a_crash(tmp_path: Path) -> None:
    migrated_sqlite(tmp_path)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": sqlite_url(tmp_path),
        "RCA_HOME": str(tmp_path),
    }

    done = subprocess.run(
        [sys.executable, "-c", BROKEN_WAY_OUT],
        capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=60, check=False,
    )  # fmt: skip

    said = [line for line in done.stdout.splitlines() if "the step is done" in line]
    assert (done.returncode, said) == (0, ["the step is done"]), done.stderr
