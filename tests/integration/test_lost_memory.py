"""Redis has lost its memory: what is owed is sent again, even if the first try to say so fails."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from fakeredis import FakeRedis
from sqlalchemy.orm import Session

from tests.builders import incident, queue_of, submits_report
from tests.fakes import ScriptedModel
from worker import pipeline
from worker.errors import StorageUnavailableError
from worker.services import Services
from worker.storage.database import Database
from worker.sweeper import EPOCH_KEY, Sweeper

Open = Callable[..., Services]


class FailingDatabase(Database):
    """Fails at the transactions whose numbers are given, counted from 1."""

    def __init__(self, url: str, *, fails_at: set[int]) -> None:
        super().__init__(url)
        self._fails_at = fails_at
        self._count = 0

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        self._count += 1
        if self._count in self._fails_at:
            raise StorageUnavailableError("the database does not answer")
        with super().transaction() as session:
            yield session


def owing(services: Services) -> Services:
    """Owe one message that was sent, and lose it."""
    pipeline.accept(services, incident(), via="test")
    queue_of(services).take()
    return services


def test_what_is_owed_is_sent_again_once(open_services: Open) -> None:
    services, redis = owing(open_services(ScriptedModel([submits_report()]))), FakeRedis()
    sweeper = Sweeper(services, redis)

    sweeper.sweep()
    first = queue_of(services).take()
    sweeper.sweep()

    assert [w.step for w in first] == ["turn"]
    assert queue_of(services).take() == []
    assert redis.exists(EPOCH_KEY)


def test_a_database_that_fails_in_between_does_not_make_it_forget(open_services: Open, database_url: str) -> None:
    services, redis = owing(open_services(ScriptedModel([submits_report()]))), FakeRedis()
    failing = FailingDatabase(database_url, fails_at={2})
    sweeper = Sweeper(replace(services, database=failing), redis)

    with pytest.raises(StorageUnavailableError):
        sweeper.sweep()
    sweeper.sweep()
    failing.close()

    assert [w.step for w in queue_of(services).take()] == ["turn"]
