"""`rca up` from its start to its end, with small programs in the place of the product's."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from sqlalchemy import create_engine, inspect

from tests.servers import free_port
from worker.cli.processes import ProcessSpec
from worker.cli.up import Stop, run
from worker.cli.upfile import UpFile, read_up_file
from worker.ops.children import tied_to_parent
from worker.settings import Settings

WEB = """
import http.server, sys
class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Healthy).serve_forever()
"""
WORKER = "import os, time; print('worker sees', os.environ['REDIS_URL'] != '', flush=True); time.sleep(120)"


@dataclass
class Up:
    """A running `rca up` in a thread of the test."""

    settings: Settings
    stop: Stop
    thread: threading.Thread

    @property
    def file(self) -> UpFile | None:
        return read_up_file(self.settings.rca_home)

    def end(self) -> None:
        self.stop.note(signal.SIGTERM, None)
        self.thread.join(timeout=30)


def small_processes(settings: Settings, *, redis_url: str) -> list[ProcessSpec]:
    environment = {"REDIS_URL": redis_url}
    return [
        ProcessSpec("web", (sys.executable, "-c", WEB, str(settings.rca_http_port)), environment),
        ProcessSpec("worker-1", (sys.executable, "-c", WORKER), environment),
    ]


def eventually(is_so: Callable[[], object], timeout_s: float = 20) -> bool:
    deadline_s = time.monotonic() + timeout_s
    while not is_so() and time.monotonic() < deadline_s:
        time.sleep(0.05)
    return bool(is_so())


def is_alive(pid: int | None) -> bool:
    try:
        os.kill(pid or 0, 0)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def started(tmp_path: Path) -> Iterator[Up]:
    settings = Settings(rca_home=tmp_path, rca_http_port=free_port(), rca_grace_s=5, redis_url=None, database_url=None)
    stop = Stop(after_s=None)
    thread = threading.Thread(target=lambda: run(settings, stop, list_processes=small_processes))
    thread.start()
    system = Up(settings, stop, thread)
    try:
        assert eventually(lambda: system.file)
        yield system
    finally:
        system.end()


@pytest.fixture
def system(tmp_path: Path) -> Iterator[Up]:
    with started(tmp_path) as up:
        yield up


def test_redis_and_tables_are_there_when_it_is_ready(system: Up) -> None:
    assert system.file
    with redis.Redis.from_url(system.file.redis_url) as client:
        assert client.ping()
    engine = create_engine(system.settings.database)
    tables = inspect(engine).get_table_names()
    engine.dispose()

    assert "investigations" in tables


def test_the_summary_comes_once_and_children_know_redis(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """What is said between a fixture and its test is heard by nobody: so it is started in the test itself."""
    said = ""

    def is_announced() -> bool:
        nonlocal said
        said += capfd.readouterr().out
        return "| processes" in said and "worker sees" in said

    with started(tmp_path) as system:
        assert eventually(is_announced)
    said += capfd.readouterr().out

    assert said.count("| ready") == 1
    assert f"http://127.0.0.1:{system.settings.rca_http_port}" in said
    assert "worker-1   | worker sees True" in said


def test_a_killed_process_comes_back_under_a_new_number(system: Up) -> None:
    assert system.file
    before = system.file.processes["worker-1"]
    assert before
    os.kill(before, signal.SIGKILL)

    assert eventually(lambda: system.file and system.file.processes["worker-1"] not in {before, None})


def test_at_the_end_nothing_is_left(system: Up) -> None:
    assert system.file
    pids = system.file.processes.values()

    system.end()

    assert set(system.settings.rca_home.glob("up.json")) == set()
    assert not any(is_alive(pid) for pid in pids)


@pytest.mark.skipif(not tied_to_parent(), reason="no setpriv on PATH")
def test_a_killed_supervisor_takes_its_processes_along() -> None:
    tied = [*tied_to_parent(), sys.executable, "-c", "import time; time.sleep(60)"]
    code = f"import subprocess, time; print(subprocess.Popen({tied!r}).pid, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        time.sleep(0.5)  # the child has to have tied itself
        parent.kill()

    assert eventually(lambda: not is_running(pid))


def is_running(pid: int) -> bool:
    """An ended orphan may stay listed until somebody reaps it."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
