"""The product's processes under chaos: each place is filled again a moment after its process has ended."""

import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.chaos.proxy import Link
from worker.domain.states import Queue
from worker.ops.children import tied_to_parent

RESTART_AFTER_S = 1.0
ROOT = Path(__file__).parents[3]
POLL_S = 0.05


@dataclass
class Place:
    """One place of the fleet and the process that holds it now; its links to the servers are its own."""

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str]
    links: Mapping[str, Link]
    ready_line: str
    folder: Path
    process: subprocess.Popen[bytes] | None = None
    is_leaving: bool = False
    """It was told to end and may not have got to it: another fault that hit it would be told of by its exit code."""
    _starts: int = 0
    _gone_since: float | None = None
    _is_ready: bool = field(default=False)

    def start(self) -> None:
        self._starts += 1
        self._gone_since, self._is_ready, self.is_leaving = None, False, False
        with self._log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [*tied_to_parent(), *self.argv], stdout=log, stderr=log, cwd=self.folder, env=dict(self.environment)
            )

    @property
    def _log_file(self) -> Path:
        return self.folder / f"{self.name}.{self._starts}.log"

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def is_ready(self) -> bool:
        """Say whether its process has said that it works, still lives, and is to live on."""
        if not self.is_alive or self.is_leaving:
            return False
        self._is_ready = self._is_ready or self.ready_line in self._log_file.read_text(errors="replace")
        return self._is_ready

    def supervise(self) -> None:
        """Start a new process a moment after the old one has ended."""
        if self.is_alive:
            return
        self._gone_since = self._gone_since or time.monotonic()
        if time.monotonic() - self._gone_since >= RESTART_AFTER_S:
            self.start()


class Fleet:
    """Main workers, perhaps one for quarantine, and the bridge."""

    def __init__(self, workers: Sequence[Place], quarantine: Place | None, bridge: Place) -> None:
        self.workers = workers
        self.bridge = bridge
        self.places = [*workers, *([quarantine] if quarantine else []), bridge]

    def start(self, *, within_s: float) -> None:
        for place in self.places:
            place.start()
        ends = time.monotonic() + within_s
        while not all(place.is_ready() for place in self.places):
            if time.monotonic() > ends:
                raise TimeoutError([p.name for p in self.places if not p.is_ready()])
            time.sleep(POLL_S)

    def supervise(self) -> None:
        """Call often, always from the thread that started the fleet: children end with the thread that made them."""
        for place in self.places:
            place.supervise()

    def close(self) -> None:
        """End all, frozen ones too."""
        for place in self.places:
            if place.process is not None:
                place.process.kill()
                place.process.wait(timeout=10)
            for link in place.links.values():
                link.close()


@dataclass(frozen=True)
class Site:
    """Where places are: the folder of their logs, their environment, the servers' ports."""

    folder: Path
    environment: Mapping[str, str]
    ports: Mapping[str, int]


def worker_place(site: Site, name: str, *, queues: Sequence[Queue], program: str, slots: int) -> Place:
    """Return the place of a worker. `program` is a module to run."""
    argv = (
        *(sys.executable, "-m", program, "-A", "worker.celery", "worker", "-P", "threads", "-c", str(slots)),
        *("-Q", ",".join(queues), "-E", "-n", f"{name}@%h"),
        *("--without-gossip", "--without-mingle", "--prefetch-multiplier=1"),
    )
    return _place(site, name, argv, ready_line='"worker_started"')


def bridge_place(site: Site) -> Place:
    return _place(site, "bridge", (sys.executable, "-m", "worker.cli.main", "intake"), ready_line='"intake_started"')


def _place(site: Site, name: str, argv: Sequence[str], *, ready_line: str) -> Place:
    """Put links of its own between the process and the servers: `{postgres}` and `{redis}` stand for their ports."""
    links = {server: Link(port) for server, port in site.ports.items()}
    here = {server: str(link.port) for server, link in links.items()}
    urls = {n: site.environment[n].format(**here) for n in ("DATABASE_URL", "REDIS_URL")}
    own = {**site.environment, **urls, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    return Place(name, argv, own, links, ready_line, site.folder)


def send(place: Place, number: signal.Signals) -> None:
    """Signal the place's process; one that has ended is left alone."""
    place.is_leaving = place.is_leaving or number in {signal.SIGKILL, signal.SIGTERM}
    if place.process is not None:
        place.process.send_signal(number)
