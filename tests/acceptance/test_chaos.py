"""A short run of the chaos harness, judged by its checker; and two builds with a bug, which the checker must see."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.chaos.fleet import ROOT
from tests.benchmarks.chaos.schedule import FaultKind

pytestmark = pytest.mark.usefixtures("redis_server", "postgres_server")  # they say whether there are servers at all

NO_FAULTS = [word for kind in FaultKind for word in (f"--{kind.replace('_', '-')}", "0")]


def run_chaos(folder: Path, *arguments: str) -> None:
    argv = [sys.executable, "-m", "tests.benchmarks.chaos.run", "--folder", str(folder), *NO_FAULTS, *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def check(folder: Path) -> tuple[int, str]:
    argv = [sys.executable, "-m", "tests.benchmarks.chaos.check", str(folder)]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, timeout=30, check=False)
    return done.returncode, done.stdout + done.stderr


def test_nothing_is_lost_and_nothing_done_twice_under_faults(tmp_path: Path) -> None:
    run_chaos(
        tmp_path / "run", *("--seed", "21", "--investigations", "20", "--turns", "4"),
        *("--span-s", "16", "--quiet-s", "2"),
        *("--worker-kill", "2", "--bridge-kill", "1", "--deploy", "1", "--freeze", "1", "--stall", "1"),
        *("--redis-kill", "1", "--redis-flush", "1", "--postgres-restart", "1", "--network-pause", "1"),
    )  # fmt: skip

    code, told = check(tmp_path / "run")

    assert code == 0, told
    assert len((tmp_path / "run" / "faults.jsonl").read_text().splitlines()) == 10


def test_the_checker_sees_a_worker_that_does_not_look_at_its_token(tmp_path: Path) -> None:
    run_chaos(
        tmp_path / "run", *("--seed", "8", "--investigations", "16", "--turns", "4", "--span-s", "8", "--quiet-s", "2"),
        *("--freeze", "2", "--lease-s", "2", "--stall-limit-s", "10"),
        *("--program", "tests.benchmarks.chaos.broken_token"),
    )  # fmt: skip

    code, told = check(tmp_path / "run")

    assert code == 1, told
    assert count(told, "stale writes") + count(told, "unexplained repeats") + count(told, "repeated finished") > 0, told


def test_the_checker_sees_a_worker_that_sends_nothing_twice(tmp_path: Path) -> None:
    run_chaos(
        tmp_path / "run", *("--seed", "3", "--investigations", "8", "--turns", "4", "--span-s", "4", "--quiet-s", "2"),
        *("--redis-kill", "1", "--stall-limit-s", "7"),
        *("--program", "tests.benchmarks.chaos.broken_outbox"),
    )  # fmt: skip

    code, told = check(tmp_path / "run")

    assert code == 1, told
    assert count(told, "lost") > 0, told


def count(told: str, row: str) -> int:
    """Add up the numbers of the table's rows whose names begin so."""
    return sum(int(line[33:].split()[0]) for line in told.splitlines() if line.startswith(row))
