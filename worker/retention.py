"""Deletes what has ended long ago: at once when somebody asks, slowly when the sweeper does."""

import time
from datetime import timedelta

import structlog

from worker.services import Services
from worker.storage import purging, sessions
from worker.storage.database import Database, database_now
from worker.storage.purging import Purged

log = structlog.get_logger()

LEAST = timedelta(days=1)
"""Younger ones stay: the budgets of a day are checked against what its calls have cost."""
BATCH = 100
PAUSE_S = 600.0
"""How long the sweeper waits after it has found nothing more to delete."""


def purge(database: Database, older_than: timedelta, *, at_most: int | None = None) -> Purged:
    """Delete what ended longer ago, one investigation in a transaction; raises `StorageUnavailableError` in between."""
    done, looked = Purged({}), 0
    while at_most is None or looked < at_most:
        with database.transaction() as session:
            before = database_now(session) - older_than
            wanted = BATCH if at_most is None else min(BATCH, at_most - looked)
            found = purging.find_expired(session, before, limit=wanted)
        gone = [_purge_one(database, investigation_id, older_than) for investigation_id in found]
        done = sum((g for g in gone if g), done)
        looked += len(found)
        if not any(gone):
            break
    with database.transaction() as session:
        return done + purging.purge_unmatched(session, database_now(session) - older_than, limit=BATCH)


def count(database: Database, older_than: timedelta) -> int:
    """Return how many investigations `purge` would delete."""
    with database.transaction() as session:
        return purging.count_expired(session, database_now(session) - older_than)


def _purge_one(database: Database, investigation_id: str, older_than: timedelta) -> Purged | None:
    with database.transaction() as session:
        return purging.purge(session, investigation_id, database_now(session) - older_than)


class Retention:
    """Does it in the background: one investigation a round; once none is left, expired sessions, and then a rest."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._rests_until_s = 0.0

    def work(self) -> None:
        """Delete one more, if any may go and the settings say so."""
        if time.monotonic() < self._rests_until_s or self._purge_next():
            return
        with self._services.database.transaction() as session:
            sessions.delete_expired(session)
        self._rests_until_s = time.monotonic() + PAUSE_S

    def _purge_next(self) -> bool:
        """Say whether an investigation went."""
        days = self._services.settings.rca_retention_days
        if not days:
            return False
        gone = purge(self._services.database, max(timedelta(days=days), LEAST), at_most=1)
        if not gone.rows.get("investigations"):
            return False
        log.info("investigation_purged", rows=sum(gone.rows.values()))
        return True
