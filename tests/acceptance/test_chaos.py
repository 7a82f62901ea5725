"""Short runs of the chaos harness, judged by its checker; and one of a build with two bugs, both of which it must see.

They run side by side, each with servers and processes of its own: most of what they do is wait.
"""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.benchmarks.chaos.fleet import ROOT
from tests.benchmarks.chaos.schedule import FaultKind
from worker.ops.children import tied_to_parent

pytestmark = pytest.mark.usefixtures("redis_server", "postgres_server")  # they say whether there are servers at all

WITHIN_S = 150
FAULTS = {
    "product": {kind: 1 for kind in FaultKind if kind is not FaultKind.POOL_FULL},
    "broken": {FaultKind.FREEZE: 1, FaultKind.REDIS_KILL: 1},
}
OPTIONS = {
    "product": "--seed 14978 --investigations 12 --turns 4 --span-s 13 --orchestrated",
    "broken": "--seed 18345 --investigations 12 --turns 3 --span-s 12 --slowness 2.5 --stall-limit-s 8"
    " --program tests.benchmarks.chaos.broken",
}
"""The seeds: what is restarted goes early; the broken build is frozen for long, and loses Redis after that."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the folder that holds what each run left behind, by its name."""
    folder = tmp_path_factory.mktemp("chaos")
    with ExitStack() as stack:
        under_way = [stack.enter_context(started(name, folder / name)) for name in FAULTS]
        assert [run.wait(timeout=WITHIN_S) for run in under_way] == [0] * len(FAULTS), errors_below(folder)
        yield folder


@contextmanager
def started(name: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start a run; end it, and with it all that it has started, where the test does not see its end."""
    faults = [f"--{kind.replace('_', '-')}={FAULTS[name].get(kind, 0)}" for kind in FaultKind]
    options = f"--folder {folder} --quiet-s 1 --no-quarantine {OPTIONS[name]}".split()
    argv = [*tied_to_parent(), sys.executable, "-m", "tests.benchmarks.chaos.run", *options, *faults]
    with folder.with_suffix(".err").open("wb") as errors:
        process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=errors, cwd=ROOT)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)


def errors_below(folder: Path) -> str:
    return "\n".join(file.read_text() for file in folder.glob("*.err"))


def check(folder: Path) -> tuple[int, str]:
    argv = [sys.executable, "-m", "tests.benchmarks.chaos.check", str(folder)]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, timeout=30, check=False)
    return done.returncode, done.stdout + done.stderr


def test_nothing_is_lost_and_nothing_done_twice_under_faults(runs: Path) -> None:
    code, told = check(runs / "product")

    assert code == 0, told
    assert count(told, "sub-agents") == 9, told  # of three grave incidents; one agent looks into each of the others
    log = (runs / "product" / "faults.jsonl").read_text()
    assert Counter(json.loads(line)["kind"] for line in log.splitlines()) == FAULTS["product"]


def test_the_checker_sees_that_a_worker_does_not_look_at_its_token(runs: Path) -> None:
    code, told = check(runs / "broken")

    assert code == 1, told
    assert sum(count(told, row) for row in ("stale writes", "unexplained repeats", "repeated finished", "crashes")), (
        told
    )


def test_the_checker_sees_that_a_worker_sends_nothing_twice(runs: Path) -> None:
    code, told = check(runs / "broken")

    assert code == 1, told
    (lost,) = (line for line in told.splitlines() if line.startswith("lost"))
    assert "running" in lost, told  # they were begun, and nobody was told to go on


def count(told: str, row: str) -> int:
    """Add up the numbers of the table's rows whose names begin so."""
    return sum(int(line[33:].split()[0]) for line in told.splitlines() if line.startswith(row))
