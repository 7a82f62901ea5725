"""Requests that come while one works share the next transaction, and none answers for another."""

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.builders import incident
from worker.errors import EventError, StorageUnavailableError
from worker.intake.events import Offer
from worker.storage.incidents import Accepted
from worker.web.gathering import BATCH, Gathering

CALLERS = 12


class Shelf:
    """Takes batches in; the first waits until it is let go. What is named in `bad` fails its whole batch."""

    def __init__(self, **bad: Exception) -> None:
        self.batches: list[list[str]] = []
        self.bad = bad
        self.is_entered = threading.Event()
        self.is_let_go = threading.Event()

    def accept_many(self, offers: Sequence[Offer]) -> list[Accepted]:
        titles = [offer.event.title for offer in offers]
        self.batches.append(titles)
        self.is_entered.set()
        assert self.is_let_go.wait(10)
        for title in titles:
            if title in self.bad:
                raise self.bad[title]
        return [Accepted(title, title, is_new=True, is_folded=False, status="queued") for title in titles]


def send_all(shelf: Shelf, titles: Sequence[str]) -> list[Future[Accepted]]:
    """Send the first, and the others while it is being taken; return when all have been answered."""
    gathering = Gathering(shelf.accept_many)

    def send(title: str) -> Accepted:
        return gathering.accept(Offer(incident(title), "test"))

    with ThreadPoolExecutor(len(titles)) as pool:
        first = pool.submit(send, titles[0])
        assert shelf.is_entered.wait(10)
        others = [pool.submit(send, title) for title in titles[1:]]
        while len(gathering._waiting) < len(others):
            assert not first.done()
        shelf.is_let_go.set()
    return [first, *others]


def test_who_comes_meanwhile_shares_the_next_batch_and_gets_the_own_answer() -> None:
    shelf, titles = Shelf(), [f"a{n}" for n in range(CALLERS)]

    answers = send_all(shelf, titles)

    assert [a.result().incident_id for a in answers] == titles
    assert [len(batch) for batch in shelf.batches] == [1, CALLERS - 1]


def test_a_batch_has_an_end_and_the_rest_is_taken_next() -> None:
    shelf, titles = Shelf(), [f"a{n}" for n in range(BATCH + 6)]

    answers = send_all(shelf, titles)

    assert [a.result().incident_id for a in answers] == titles
    assert [len(batch) for batch in shelf.batches] == [1, BATCH, 5]


@pytest.mark.parametrize("error", [EventError("title: too long"), ValueError("not foreseen")])
def test_a_bad_event_harms_no_other(error: Exception) -> None:
    shelf = Shelf(a3=error)

    answers = send_all(shelf, [f"a{n}" for n in range(6)])

    assert [type(a.exception()) for a in answers] == [type(None)] * 3 + [type(error)] + [type(None)] * 2


def test_without_a_database_all_of_the_batch_are_refused_at_once() -> None:
    shelf = Shelf(a2=StorageUnavailableError("away"))

    answers = send_all(shelf, [f"a{n}" for n in range(5)])

    assert [type(a.exception()) for a in answers] == [type(None)] + [StorageUnavailableError] * 4
    assert len(shelf.batches) == 2


def test_a_defect_leaves_nobody_waiting() -> None:
    shelf = Shelf(a1=AssertionError("a defect"))

    answers = send_all(shelf, ["a0", "a1", "a2"])

    assert answers[0].exception() is None
    assert sorted(type(a.exception()).__name__ for a in answers[1:]) == ["AssertionError", "CancelledError"]
