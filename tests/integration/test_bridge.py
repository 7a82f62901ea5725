"""The bridge takes a batch in one transaction, and no event in it can hold the others back."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.servers import RedisServer
from worker.errors import EventError, StorageUnavailableError
from worker.intake.bridge import BATCH, GROUP, Bridge, Names
from worker.intake.events import Offer
from worker.intake.rejected import all_rejected

pytestmark = pytest.mark.services


class Shelf:
    """Takes events in, a batch or nothing; what is named in `bad` cannot be taken."""

    def __init__(self, **bad: Exception) -> None:
        self.bad = bad
        self.taken: list[str] = []
        self.calls = 0

    def __call__(self, offers: Sequence[Offer]) -> None:
        self.calls += 1
        titles = [offer.event.title for offer in offers]
        for title in titles:
            if title in self.bad:
                raise self.bad[title]
        self.taken += titles


@pytest.fixture
def redis(redis_server: RedisServer) -> Iterator[Redis]:
    with Redis.from_url(redis_server.url) as client:
        yield client


@pytest.fixture
def names(tmp_path: Path) -> Names:
    return Names(f"rca:{tmp_path.name}", f"rca:{tmp_path.name}:list")


def work(redis: Redis, names: Names, shelf: Shelf, titles: Sequence[str]) -> Bridge:
    bridge = Bridge(redis, names, accept=shelf, scrub=lambda text: text)
    bridge.prepare()
    for title in titles:
        redis.xadd(names.stream, {"event": json.dumps({"title": title})})
    bridge.work()
    return bridge


def pending(redis: Redis, names: Names) -> int:
    found: Any = redis.xpending(names.stream, GROUP)
    return int(found["pending"])


def test_a_batch_is_one_call_and_all_of_it_is_acknowledged(redis: Redis, names: Names) -> None:
    shelf, titles = Shelf(), [f"a{n}" for n in range(BATCH)]

    work(redis, names, shelf, titles)

    assert (shelf.calls, shelf.taken, pending(redis, names)) == (1, titles, 0)


@pytest.mark.parametrize("error", [EventError("title: too long"), ValueError("not foreseen"), RecursionError()])
def test_one_that_cannot_be_taken_is_set_aside_and_harms_no_other(redis: Redis, names: Names, error: Exception) -> None:
    shelf = Shelf(a2=error)

    work(redis, names, shelf, ["a0", "a1", "a2", "a3"])

    (rejected,) = all_rejected(redis, names)
    assert (shelf.taken, pending(redis, names)) == (["a0", "a1", "a3"], 0)
    assert "a2" in rejected.fields["event"]


def test_without_a_database_all_wait_and_none_is_set_aside(redis: Redis, names: Names) -> None:
    shelf = Shelf(a1=StorageUnavailableError("away"))

    with pytest.raises(StorageUnavailableError):
        work(redis, names, shelf, ["a0", "a1", "a2"])

    assert (shelf.taken, pending(redis, names), all_rejected(redis, names)) == ([], 3, [])


def test_what_cannot_be_read_is_set_aside_and_the_rest_is_still_one_batch(redis: Redis, names: Names) -> None:
    shelf = Shelf()
    redis.xadd(names.stream, {"event": "not JSON"})

    work(redis, names, shelf, ["a0", "a1"])

    assert (shelf.calls, shelf.taken, pending(redis, names)) == (1, ["a0", "a1"], 0)
    assert len(all_rejected(redis, names)) == 1
