"""Redis has lost its memory: what is owed is sent again, even if the first try to say so fails."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from fakeredis import FakeRedis

from tests.builders import incident, queue_of, submits_report
from tests.databases import FailingDatabase
from tests.fakes import ScriptedModel
from worker import pipeline
from worker.errors import StorageUnavailableError
from worker.services import Services
from worker.sweeper import EPOCH_KEY, Sweeper

Open = Callable[..., Services]


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
