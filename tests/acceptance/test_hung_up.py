"""SIGHUP: `rca up` passes it to web and intake, which have the models' file read again; nobody else notices (5.8)."""

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.servers import free_port
from worker.cli.processes import ProcessSpec
from worker.cli.stack import Stack, running_stack
from worker.cli.supervisor import Supervisor
from worker.cli.upfile import read_up_file
from worker.settings import Settings

GOOD = "llm:\n  providers:\n    - {name: own, type: ollama, model: m}\n  aliases:\n    regular: own\n"
MASTER = "master-key-of-the-admin-api"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("config") / "llm.yaml"
    file.write_text(GOOD)
    return file


@pytest.fixture(scope="module")
def stack(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    ports = Settings(rca_http_port=free_port(), rca_flower_port=free_port(), redis_url=None, database_url=None)
    given = {"RCA_LLM_CONFIG": str(file), "AURORA_MASTER_KEY": MASTER, "RCA_GRACE_S": "3"}
    with running_stack(ports, tmp_path_factory.mktemp("home"), **given, RCA_MODEL="offline/analyst") as stack:
        yield stack


def eventually(look: Callable[[], object], *, otherwise: Callable[[], object], within_s: float = 20) -> None:
    ends = time.monotonic() + within_s
    while not look():
        assert time.monotonic() < ends, otherwise()
        time.sleep(0.05)


def said(stack: Stack, event: str) -> list[str]:
    return [line for line in stack.log.read_text(errors="replace").splitlines() if f'"{event}"' in line]


def names(stack: Stack) -> list[str]:
    headers = {"Authorization": f"Bearer {MASTER}"}
    answer = httpx.get(f"{stack.up.local_url}/v1/models", headers=headers, timeout=10, trust_env=False)
    return [model["id"] for model in answer.json()["data"]]


def pids(stack: Stack) -> dict[str, int | None]:
    up = read_up_file(stack.home)
    return up.processes if up else {}


def test_5_8_a_hangup_has_the_file_read_again_and_ends_nobody(stack: Stack, file: Path) -> None:
    before = pids(stack)
    file.write_text(GOOD + "    quick: own\n")

    stack.child.send_signal(signal.SIGHUP)
    eventually(lambda: len(said(stack, "models_reloaded")) == 2, otherwise=stack.log.read_text)

    lines = said(stack, "models_reloaded")
    assert sorted(line.split("|")[0].strip() for line in lines) == ["intake", "web"]
    assert {"quick", "regular"} <= set(names(stack))
    assert pids(stack) == before


def test_5_8_a_file_that_cannot_work_is_named_with_its_line_and_the_one_before_serves_on(
    stack: Stack, file: Path
) -> None:
    before, known = pids(stack), names(stack)
    file.write_text(GOOD + "    lost: nobody\n")

    for process in ("web", "intake"):
        os.kill(before[process] or 0, signal.SIGHUP)
    eventually(lambda: len(said(stack, "models_not_reloaded")) == 2, otherwise=stack.log.read_text)

    for line in said(stack, "models_not_reloaded"):
        assert f"{file}: line 6: RCA_LLM_CONFIG llm.aliases.lost: nobody is no profile" in line
        assert '"level": "error"' in line
    assert names(stack) == known
    assert pids(stack) == before


def test_a_hangup_that_comes_before_a_process_takes_them_is_held_back_for_it() -> None:
    lines: list[tuple[str, str]] = []
    takes = (
        "import signal, time; time.sleep(0.5); signal.signal(signal.SIGHUP, lambda *_: print('heard', flush=True));"
        "signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP}); time.sleep(60)"
    )
    others = "import signal, time; signal.signal(signal.SIGHUP, lambda *_: print('heard', flush=True)); time.sleep(60)"
    supervisor = Supervisor(say=lambda name, line: lines.append((name, line)))
    try:
        programs = {"web": (takes, True), "worker": (others, False)}
        supervisor.start(
            [
                ProcessSpec(name, (sys.executable, "-c", code), {}, takes_hangup=takes)
                for name, (code, takes) in programs.items()
            ]
        )
        supervisor.hang_up()
        eventually(lambda: lines, otherwise=lambda: "nobody heard it")
        supervisor.hang_up()
        eventually(lambda: len(lines) > 1, otherwise=lambda: "it was heard once")
    finally:
        supervisor.stop(grace_s=0)

    assert [line for line in lines if line[1] == "heard"] == [("web", "heard")] * 2


LOST_TERMINAL = """
import signal, sys, time
from worker.cli.up import stop_signals
with stop_signals(after_s=20) as stop:
    open(sys.argv[1], "w").write("ready")
    while not stop.is_asked():
        time.sleep(0.02)
    open(sys.argv[1], "w").write("stopped by a signal" if stop._signals else "stopped by time")
"""


def test_a_hangup_because_the_terminal_has_gone_ends_it_as_before(tmp_path: Path) -> None:
    told = tmp_path / "told"
    ours, theirs = pty.openpty()
    command = ["setsid", "--ctty", sys.executable, "-c", LOST_TERMINAL, str(told)]
    with subprocess.Popen(command, stdin=theirs) as process:
        os.close(theirs)
        eventually(lambda: told.exists() and told.read_text() == "ready", otherwise=lambda: "it did not start")
        os.close(ours)
        process.wait(timeout=30)

    assert told.read_text() == "stopped by a signal"
