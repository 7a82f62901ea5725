"""The heartbeat: a thread with a connection of its own that renews the leases of the steps this process runs."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

from worker.errors import LeaseLostError, StorageUnavailableError
from worker.ops import metrics
from worker.storage import agents
from worker.storage.database import Database


@dataclass
class _Held:
    """A running step's claim: kept until its deadline; its lease was ours at `confirmed` (`time.monotonic()`)."""

    deadline: float
    confirmed: float


class Heartbeat:
    """Knows which claims this process runs and keeps exactly those alive, each until its deadline."""

    def __init__(self, url: str, *, lease: timedelta, every_s: float) -> None:
        self._database = Database(url, pool_size=1, pool="heartbeat")
        self._lease = lease
        self._every_s = every_s
        self._claims: dict[str, _Held] = {}
        self._busy = 0
        self._mutex = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=self._every_s + 1)
        self._database.close()

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Count a step as under way, from before its claim to after its end."""
        with self._mutex:
            self._busy += 1
        try:
            yield
        finally:
            with self._mutex:
                self._busy -= 1

    @property
    def is_idle(self) -> bool:
        """Say whether no step is under way in this process."""
        with self._mutex:
            return not self._busy

    @contextmanager
    def holding(self, token: str, *, since: float, deadline: float) -> Iterator[None]:
        """Renew this claim while the block runs, but not past the deadline; both times are `time.monotonic()`."""
        with self._mutex:
            self._claims[token] = _Held(deadline, since)
        try:
            yield
        finally:
            with self._mutex:
                self._claims.pop(token, None)

    def running(self) -> list[str]:
        """Return the tokens of the steps that run in this process."""
        with self._mutex:
            return list(self._claims)

    def confirm(self, token: str) -> None:
        """Make sure, before what cannot be undone, that the step is still ours. Raises `LeaseLostError` if not.

        While the lease cannot have run out this costs a look at the clock. A process that stood still past its
        lease asks the database: another may have taken the step over, and done it, meanwhile.
        """
        with self._mutex:
            held = self._claims.get(token)
            is_fresh = held is not None and time.monotonic() - held.confirmed < self._lease.total_seconds()
        if not is_fresh and token not in self._renew([token]):
            raise LeaseLostError("the step was taken over while this process stood still")

    def beat(self) -> None:
        """Renew once. Claims past their deadline are left to run out."""
        now = time.monotonic()
        with self._mutex:
            live = [token for token, held in self._claims.items() if held.deadline > now]
        if live or self._database.is_interrupted:  # an idle process, too, tells of the end of an outage
            self._renew(live)

    def _renew(self, tokens: list[str]) -> set[str]:
        """Renew these leases; return those that are still ours. Their time counts from before the renewal."""
        now = time.monotonic()
        with self._database.transaction() as session:
            ours = agents.renew(session, tokens, self._lease)
        with self._mutex:
            for token in ours & self._claims.keys():
                self._claims[token].confirmed = now
        return ours

    def _run(self) -> None:
        beaten_at = time.monotonic()
        while not self._stop.wait(self._every_s):
            metrics.HEARTBEAT_LAG_SECONDS.set(max(time.monotonic() - beaten_at - self._every_s, 0.0))
            beaten_at = time.monotonic()
            with suppress(StorageUnavailableError):  # the next beat tries again
                self.beat()
