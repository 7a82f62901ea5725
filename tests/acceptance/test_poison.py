"""A step that kills its process: it ends up alone in quarantine and fails there; the others go on."""

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.acceptance.poisoned_worker import MARKER
from tests.acceptance.system import Process, System, reports, runs
from worker.cli.processes import MAIN_QUEUES
from worker.domain.states import InvestigationStatus

Install = Callable[..., System]
ROOT = Path(__file__).parents[2]


class Supervised:
    """A worker that is started again whenever it dies, as a supervisor would."""

    def __init__(self, system: System, queues: Sequence[str]) -> None:
        self.system = system
        self.queues = queues
        self.deaths = 0
        self._process = self._start()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join(timeout=10)

    def _watch(self) -> None:
        while not self._ended.wait(0.1):
            if not self._process.is_alive:
                self.deaths += 1
                self._process = self._start()

    def _start(self) -> Process:
        name = f"{self.queues[0]}-{self.deaths + 1}"
        argv = (
            *(sys.executable, "-m", "tests.acceptance.poisoned_worker", "-A", "worker.celery", "worker"),
            *("-P", "threads", "-c", "4", "-Q", ",".join(self.queues), "-n", f"{name}@%h"),
            *("--without-gossip", "--without-mingle", "--prefetch-multiplier=1"),
        )
        return self.system.start(name, argv, PYTHONPATH=str(ROOT))


@contextmanager
def supervised(system: System, queues: Sequence[str]) -> Iterator[Supervised]:
    worker = Supervised(system, queues)
    try:
        yield worker
    finally:
        worker.end()


def test_a_step_that_kills_its_process_fails_alone_and_its_neighbours_complete(install: Install) -> None:
    system, poison = install(RCA_LEASE_S="2", RCA_HEARTBEAT_S="0.5"), f"a step that {MARKER}"
    for marker in ("a neighbour from before", "a neighbour from after"):
        system.provider.play(marker, [runs("uptime"), runs("uname -r"), reports()])

    with supervised(system, MAIN_QUEUES) as main, supervised(system, ["quarantine"]) as quarantine:
        before = system.open("a neighbour from before")
        deadly = system.open(poison)
        failed = system.wait_for_status(deadly, InvestigationStatus.FAILED, within_s=120)
        deaths = main.deaths
        after = system.open("a neighbour from after")
        for neighbour in (before, after):
            system.wait_until_completed(neighbour, within_s=60)
        time.sleep(1)

        assert failed.failure_class == "worker_lost"
        assert "in quarantine too" in str(failed.failure_reason)
        assert (deaths, main.deaths, quarantine.deaths) == (2, 2, 2)
    assert system.provider.turns("a neighbour from after") == {1: 1, 2: 1, 3: 1}
    assert all(asked <= 3 for asked in system.provider.turns("a neighbour from before").values())
