"""Requests of one moment share a transaction: a storm costs the database one commit for many events, not one each.

Whoever comes while nobody works, works for all who wait; those who come meanwhile wait, and the first of them works
next. No request waits longer than for the work under way and then its own. Nobody is answered before the commit.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Annotated

from fastapi import Depends, Request

from worker import pipeline
from worker.errors import StorageUnavailableError, WorkerError
from worker.intake.bridge import POISON
from worker.intake.events import Offer
from worker.services import Services
from worker.storage.incidents import Accepted

BATCH = 50

AcceptMany = Callable[[Sequence[Offer]], list[Accepted]]


class _Waiting:
    """One request: its event, its answer, and the sign that it is its turn to work, or that all is done."""

    def __init__(self, offer: Offer) -> None:
        self.offer = offer
        self.answer: Future[Accepted] = Future()
        self.sign = threading.Event()


class Gathering:
    """Takes events in from many threads. `accept_many` takes all of a batch, on disk when it returns, or none."""

    def __init__(self, accept_many: AcceptMany) -> None:
        self._accept_many = accept_many
        self._mutex = threading.Lock()
        self._waiting: deque[_Waiting] = deque()
        self._is_working = False

    def accept(self, offer: Offer) -> Accepted:
        """Take an event in. Raises what taking in this one event raises."""
        mine = _Waiting(offer)
        with self._mutex:
            self._waiting.append(mine)
            works, self._is_working = not self._is_working, True
        if not works:
            mine.sign.wait()
        if not mine.answer.done():
            self._work()
        return mine.answer.result()

    def _work(self) -> None:
        """Take the next batch in, and hand on to the first who came meanwhile."""
        with self._mutex:
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
        try:
            _take(self._accept_many, batch)
        finally:
            for one in batch:
                one.answer.cancel()  # only where an error nobody foresaw left it without an answer
                one.sign.set()
            with self._mutex:
                self._is_working = bool(self._waiting)
                if self._waiting:
                    self._waiting[0].sign.set()


def _take(accept_many: AcceptMany, batch: Sequence[_Waiting]) -> None:
    """Take all in; if one is in the way, one by one, so that it harms no other."""
    try:
        accepted = accept_many([one.offer for one in batch])
    except StorageUnavailableError as error:
        for one in batch:
            one.answer.set_exception(error)
    except (WorkerError, *POISON):
        for one in batch:
            _take_alone(accept_many, one)
    else:
        for one, answer in zip(batch, accepted, strict=True):
            one.answer.set_result(answer)


def _take_alone(accept_many: AcceptMany, one: _Waiting) -> None:
    try:
        (accepted,) = accept_many([one.offer])
    except (WorkerError, *POISON) as error:
        one.answer.set_exception(error)
    else:
        one.answer.set_result(accepted)


def gathering_over(services: Services) -> Gathering:
    return Gathering(lambda offers: pipeline.accept_many(services, offers))


def _gathering_of(request: Request) -> Gathering:
    gathering: Gathering = request.app.state.gathering
    return gathering


Gathered = Annotated[Gathering, Depends(_gathering_of)]
