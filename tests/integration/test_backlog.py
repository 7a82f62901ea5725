"""The figures operators alert on."""

from collections.abc import Callable

from tests.builders import incident
from tests.fakes import ScriptedModel
from worker import pipeline
from worker.services import Services
from worker.storage import backlog, outbox
from worker.storage.backlog import Backlog, Waiting
from worker.storage.database import database_now

Open = Callable[..., Services]


def measured(services: Services) -> Backlog:
    with services.database.transaction() as session:
        return backlog.measure(session)


def test_an_idle_system_has_no_backlog(open_services: Open) -> None:
    found = measured(open_services(ScriptedModel([])))

    assert found.investigations == {}
    assert set(found.queues.values()) == {Waiting()}
    assert (found.outbox_due, found.sweeper_age_s) == (0, None)


def test_steps_that_may_run_are_counted_in_their_queue(open_services: Open) -> None:
    services = open_services(ScriptedModel([]), rca_max_running=2)
    for number in range(3):
        pipeline.accept(services, incident(f"alert {'abc'[number]}"), via="test")

    found = measured(services)

    assert found.investigations == {"running": 2, "queued": 1}
    assert found.queues["rca"].count == 2
    assert found.queues["rca"].oldest_s >= 0
    assert found.queues["tools"] == Waiting()


def test_messages_that_should_have_been_sent_are_due(open_services: Open) -> None:
    services = open_services(ScriptedModel([]))
    pipeline.accept(services, incident(), via="test")
    with services.database.transaction() as session:
        outbox.make_all_due(session, database_now(session))

    found = measured(services)

    assert found.outbox_due == 1
    assert found.outbox_lag_s >= 0
