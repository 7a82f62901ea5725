"""The heartbeat: a thread with a connection of its own that renews the leases of the steps this process runs."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import structlog

from worker.errors import StorageUnavailableError
from worker.storage import agents
from worker.storage.database import Database

log = structlog.get_logger()


class Heartbeat:
    """Knows which claims this process runs and keeps exactly those alive, each until its deadline."""

    def __init__(self, url: str, *, lease: timedelta, every_s: float) -> None:
        self._database = Database(url, pool_size=1)
        self._lease = lease
        self._every_s = every_s
        self._claims: dict[str, float] = {}
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
    def holding(self, token: str, *, deadline: float) -> Iterator[None]:
        """Renew this claim while the block runs, but not past the deadline (`time.monotonic()` seconds)."""
        with self._mutex:
            self._claims[token] = deadline
        try:
            yield
        finally:
            with self._mutex:
                self._claims.pop(token, None)

    def running(self) -> list[str]:
        """Return the tokens of the steps that run in this process."""
        with self._mutex:
            return list(self._claims)

    def beat(self) -> None:
        """Renew once. Claims past their deadline are left to run out."""
        now = time.monotonic()
        with self._mutex:
            live = [token for token, deadline in self._claims.items() if deadline > now]
        if live:
            with self._database.transaction() as session:
                agents.renew(session, live, self._lease)

    def _run(self) -> None:
        is_down = False
        while not self._stop.wait(self._every_s):
            try:
                self.beat()
            except StorageUnavailableError as error:
                if not is_down:
                    log.warning("heartbeat_interrupted", error=error.reason)
                is_down = True
            else:
                is_down = False
