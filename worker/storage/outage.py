"""Tells of an outage of the database: one line when it begins and one when it has ended, whoever meets it how often."""

import threading
import time

import structlog

from worker.errors import StorageUnavailableError

log = structlog.get_logger()

CALM_S = 0.2
"""An outage has ended when a transaction succeeds that began this long after the last failure: while a server goes
down some still succeed beside those that fail."""


class OutageLog:
    """Hears how each transaction of one pool of connections went, from any thread."""

    def __init__(self, pool: str) -> None:
        self._pool = pool
        self._mutex = threading.Lock()
        self._began_s: float | None = None
        self._failed_s = 0.0

    @property
    def is_on(self) -> bool:
        return self._began_s is not None

    def failed(self, error: StorageUnavailableError) -> None:
        with self._mutex:
            self._failed_s = time.monotonic()
            if self._began_s is not None:
                return
            self._began_s = self._failed_s
        log.warning("database_interrupted", pool=self._pool, error=str(error))

    def succeeded(self, *, began_s: float) -> None:
        """Note a success that began at `began_s` (`time.monotonic()`)."""
        with self._mutex:
            if self._began_s is None or began_s < self._failed_s + CALM_S:
                return
            away_s, self._began_s = time.monotonic() - self._began_s, None
        log.info("database_resumed", pool=self._pool, away_s=round(away_s, 1))
