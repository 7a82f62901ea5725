"""The door: a bad event harms no other, an absent database refuses all, and in a storm taking in comes first."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from tests.builders import incident
from worker import pipeline
from worker.domain.incident import IncidentEvent
from worker.errors import EventError, StorageUnavailableError
from worker.intake.events import Offer
from worker.ops.redaction import Redactor
from worker.services import Services
from worker.storage import investigations
from worker.storage.incidents import Accepted
from worker.web.door import Door

GROWS_WHEN_REDACTED = "x" * 480 + " password=abcdef"
"""Fits as it is; what stands for the secret is longer than it."""


class Away:
    """A database nobody reaches; it counts who tried."""

    def __init__(self) -> None:
        self.tries = 0

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        self.tries += 1
        raise StorageUnavailableError("away")
        yield


class Stumbling(Redactor):
    """Fails on one word as no event is foreseen to fail."""

    def scrub(self, text: str) -> str:
        if text == "stumble":
            raise ValueError(text)
        return super().scrub(text)


def take_all(services: Services, events: Sequence[IncidentEvent]) -> list[Any]:
    """Take events in at one moment."""
    door = Door(services)

    async def work() -> list[Any]:
        taken = (door.take(Offer(event, "test")) for event in events)
        return await asyncio.wait_for(asyncio.gather(*taken, return_exceptions=True), 30)

    with asyncio.Runner() as runner:
        return runner.run(work())


def distinct(number: int) -> list[IncidentEvent]:
    return [incident(f"service {letter} fails") for letter in "abcdefghij"[:number]]


def statuses(services: Services, taken: Sequence[Accepted]) -> Counter[str]:
    with services.database.transaction() as session:
        return Counter(investigations.statuses_of(session, [one.investigation_id for one in taken]).values())


@pytest.mark.parametrize(
    ("bad", "error"),
    [(incident("a", service=GROWS_WHEN_REDACTED), EventError), (incident("stumble"), ValueError)],
)
def test_a_bad_event_harms_no_other(services: Services, bad: IncidentEvent, error: type[Exception]) -> None:
    good = distinct(4)

    taken = take_all(replace(services, redactor=Stumbling()), [*good[:2], bad, *good[2:]])

    assert [type(one) for one in taken] == [Accepted, Accepted, error, Accepted, Accepted]


def test_without_a_database_all_are_refused_at_once(services: Services) -> None:
    away = Away()

    taken = take_all(replace(services, database=away), distinct(5))  # type: ignore[arg-type]  # a double

    assert [type(one) for one in taken] == [StorageUnavailableError] * 5
    assert away.tries == 1


def test_what_comes_alone_is_started_before_it_is_answered(services: Services) -> None:
    taken = take_all(services, distinct(1))

    assert [one.status for one in taken] == ["running"]


def test_in_a_storm_taking_in_comes_first_and_the_sweeper_starts_what_was_opened(services: Services) -> None:
    taken = take_all(services, distinct(6))

    answered = [one.status for one in taken]
    assert answered.count("queued") >= 5, "one start was asked for, and it may have gone to another one of the six"
    assert statuses(services, taken) == {"running": 1, "queued": 5}
    pipeline.admit_waiting(services)
    assert statuses(services, taken) == {"running": 6}


def test_what_is_on_disk_is_answered_though_the_database_goes_before_it_starts(services: Services) -> None:
    door = Door(replace(services, database=Away()))  # type: ignore[arg-type]  # a double

    assert door._start_all(["inv_1", "inv_2"]) == ["queued", "queued"]
