"""Processes are kept running with patience, and every one of them is gone at the end."""

import os
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from worker.cli.processes import ProcessSpec
from worker.cli.supervisor import Child, Supervisor

Lines = list[tuple[str, str]]

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
)
POLITE = "import time; print('here', flush=True); time.sleep(60)"


def python(name: str, code: str) -> ProcessSpec:
    return ProcessSpec(name, (sys.executable, "-c", code), {"PYTHONUNBUFFERED": "1"})


def eventually(is_so: Callable[[], bool], timeout_s: float = 10) -> bool:
    deadline_s = time.monotonic() + timeout_s
    while not is_so() and time.monotonic() < deadline_s:
        time.sleep(0.02)
    return is_so()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def lines() -> Lines:
    return []


@pytest.fixture
def supervisor(lines: Lines) -> Iterator[Supervisor]:
    supervisor = Supervisor(say=lambda name, line: lines.append((name, line)))
    yield supervisor
    supervisor.stop(grace_s=0)


def test_output_carries_the_name_of_its_process(supervisor: Supervisor, lines: Lines) -> None:
    code = "import sys; print('out'); print('err', file=sys.stderr); import time; time.sleep(60)"

    supervisor.start([python("web", code)])

    assert eventually(lambda: {("web", "out"), ("web", "err")} <= set(lines))


def test_a_process_that_ends_is_started_again(supervisor: Supervisor, lines: Lines) -> None:
    supervisor.start([python("intake", "raise SystemExit(3)")])
    [child] = supervisor.children

    def is_restarted() -> bool:
        supervisor.tend()
        return child.restarts == 1

    assert eventually(is_restarted)
    assert ("intake", "exited with code 3; starting again in 0.5 s") in lines


def test_each_bad_start_doubles_the_wait(lines: Lines) -> None:
    child = Child(python("web", "raise SystemExit(1)"), say=lambda name, line: lines.append((name, line)))
    for _ in range(3):
        child.start()
        assert eventually(lambda: not child.is_running)
        child.tend()
    child.finish()

    assert [line.rpartition("in ")[2] for _, line in lines] == ["0.5 s", "1 s", "2 s"]


def test_a_signal_is_called_by_its_name(supervisor: Supervisor, lines: Lines) -> None:
    supervisor.start([python("worker-1", "import os; os.kill(os.getpid(), 9)")])
    [child] = supervisor.children
    assert eventually(lambda: not child.is_running)

    supervisor.tend()

    assert lines[-1] == ("worker-1", "ended by SIGKILL; starting again in 0.5 s")


def test_a_running_process_is_left_alone(supervisor: Supervisor) -> None:
    supervisor.start([python("web", POLITE)])
    [child] = supervisor.children
    pid = child.pid

    supervisor.tend()

    assert child.pid == pid
    assert child.restarts == 0


def test_all_stop_in_order_and_nothing_is_left(supervisor: Supervisor, lines: Lines) -> None:
    supervisor.start([python("web", POLITE), python("worker-1", POLITE)])
    assert eventually(lambda: len(lines) == 2)
    pids = [child.pid for child in supervisor.children]

    supervisor.stop(grace_s=10)

    assert not any(is_alive(pid) for pid in pids if pid)
    assert not any("killed" in line for _, line in lines)


def test_what_does_not_stop_in_its_grace_is_killed(supervisor: Supervisor, lines: Lines) -> None:
    supervisor.start([python("web", STUBBORN)])
    assert eventually(lambda: ("web", "deaf") in lines)
    [child] = supervisor.children
    pid = child.pid

    supervisor.stop(grace_s=0.2)

    assert pid
    assert not is_alive(pid)
    assert ("web", "did not stop in time: killed") in lines


def test_a_second_signal_cuts_the_grace_short(supervisor: Supervisor, lines: Lines) -> None:
    supervisor.start([python("web", STUBBORN)])
    assert eventually(lambda: ("web", "deaf") in lines)
    began_s = time.monotonic()

    supervisor.stop(grace_s=60, is_hurried=lambda: True)

    assert time.monotonic() - began_s < 10


def test_the_first_stage_stops_last(supervisor: Supervisor, lines: Lines) -> None:
    code = "import signal, sys, time; signal.signal(15, lambda *_: (print('bye', flush=True), sys.exit())); print('up', flush=True); time.sleep(60)"  # noqa: E501 - one line of a program
    supervisor.start([python("redis", code)])
    supervisor.start([python("worker-1", code)])
    assert eventually(lambda: len(lines) == 2)

    supervisor.stop(grace_s=10)

    assert [name for name, line in lines if line == "bye"] == ["worker-1", "redis"]
