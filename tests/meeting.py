"""A database whose transactions overlap: each waits for the other just before it commits."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy.orm import Session

from worker.storage.database import Database

MEET_S = 0.25
"""How long one that has done its work waits for the other, which may be waiting for its lock."""


class MeetingDatabase(Database):
    """Its transactions wait before their commit until another is as far, or cannot come."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._barrier: threading.Barrier | None = None

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        with super().transaction() as session:
            yield session
            if self._barrier is not None:
                with suppress(threading.BrokenBarrierError):
                    self._barrier.wait(MEET_S)

    @contextmanager
    def meeting(self, parties: int) -> Iterator[None]:
        self._barrier = threading.Barrier(parties)
        try:
            yield
        finally:
            self._barrier = None
