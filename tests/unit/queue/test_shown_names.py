"""What a message is called: for workers its task, for people that and whose it is."""

from collections.abc import Iterator

import pytest
from celery import Celery
from celery.worker.request import Request
from kombu import Connection, Consumer, Queue
from kombu.message import Message

from worker.celery import Sender, create_app
from worker.domain.states import Step
from worker.settings import Settings
from worker.storage.outbox import WakeUp

WAKE_UP = WakeUp(Step.TURN, "agt_1", 2, "subagents", "sub:ticket_history")
SHOWN = "rca.turn:sub:ticket_history"


@pytest.fixture
def app() -> Iterator[Celery]:
    """Return the product's app on a queue in this process."""
    made = create_app(Settings())
    made.conf.update(broker_url="memory://", broker_transport_options={}, task_send_sent_event=False)
    yield made
    made.close()


def sent(app: Celery, wake_up: WakeUp) -> Message:
    """Send it, and return the message as a worker gets it."""
    got: list[Message] = []
    with Connection("memory://") as connection:
        consumer = Consumer(connection, [Queue(wake_up.queue)], on_message=got.append, accept=["json"])
        consumer.consume()
        Sender(app)([wake_up])
        connection.drain_events(timeout=5)
    return got[0]


def test_a_worker_runs_the_task_and_tells_people_whose_it_is(app: Celery) -> None:
    message = sent(app, WAKE_UP)

    request = Request(message, app=app, task=app.tasks["celery.accumulate"])

    assert (request.type, request.name) == ("rca.turn", SHOWN)
    assert message.payload[0] == ["agt_1", 2]


def test_it_is_shown_so_from_the_moment_it_is_sent(app: Celery) -> None:
    created = app.amqp.create_task_message("id", "rca.turn", ("agt_1", 2), {}, shadow=SHOWN, create_sent_event=True)

    assert (created.headers["task"], created.sent_event["name"]) == ("rca.turn", SHOWN)


def test_a_message_without_such_a_name_is_shown_as_its_task(app: Celery) -> None:
    created = app.amqp.create_task_message("id", "rca.turn", ("agt_1", 2), {}, create_sent_event=True)

    assert created.sent_event["name"] == "rca.turn"
