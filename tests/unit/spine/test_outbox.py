"""When what is owed to the queue is sent: at once, again ever more rarely, and never before it is due."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from tests.fakes import ScriptedModel
from tests.unit.spine.claims import claim_of, first_step, seconds_from_now
from worker.domain.states import Queue, Step
from worker.services import Services
from worker.storage import agents, outbox
from worker.storage.outbox import REPUBLISH_AFTER, REPUBLISH_AT_MOST, WakeUp
from worker.storage.tables import AgentRow, OutboxRow

Open = Callable[..., Services]


@pytest.fixture
def services(open_services: Open) -> Services:
    return open_services(ScriptedModel([]))


def take_due(services: Services, now: datetime) -> list[WakeUp]:
    with services.database.transaction() as session:
        return outbox.take_due(session, now)


def owed(services: Services) -> OutboxRow:
    with services.database.transaction() as session:
        return session.query(OutboxRow).one()


def put_back(services: Services, wake_up: WakeUp, *, delay_s: float) -> WakeUp | None:
    claim = claim_of(services, wake_up)
    with services.database.transaction() as session:
        return agents.put_back(session, claim, delay_s=delay_s)


def test_a_due_step_is_sent_at_once_and_again_after_five_seconds(services: Services) -> None:
    wake_up = first_step(services)
    at = owed(services).publish_at

    assert take_due(services, at - timedelta(seconds=1)) == []
    assert take_due(services, at) == [wake_up]
    assert timedelta(seconds=3) < at - seconds_from_now(0) <= REPUBLISH_AFTER


def test_the_wait_doubles_up_to_five_minutes(services: Services) -> None:
    first_step(services)
    waits = []

    for _ in range(12):
        at = owed(services).publish_at
        take_due(services, at)
        waits.append((owed(services).publish_at - at).total_seconds())

    assert waits[:5] == [10, 20, 40, 80, 160]
    assert set(waits[5:]) == {REPUBLISH_AT_MOST.total_seconds()}


def test_a_step_that_waits_is_owed_for_its_time_and_sent_then(services: Services) -> None:
    wake_up = first_step(services)

    assert put_back(services, wake_up, delay_s=30) is None

    at = owed(services).publish_at
    assert timedelta(seconds=28) < at - seconds_from_now(0) <= timedelta(seconds=30)
    assert take_due(services, at) == [wake_up]
    assert owed(services).publish_at - at == REPUBLISH_AFTER


def test_a_claimed_step_is_owed_nothing(services: Services) -> None:
    claim_of(services, first_step(services))

    with services.database.transaction() as session:
        assert session.query(OutboxRow).all() == []


def test_a_queue_that_forgot_is_sent_what_is_due_and_nothing_that_waits(services: Services) -> None:
    waiting, due = first_step(services), first_step(services, title="another", service="other")
    put_back(services, waiting, delay_s=600)

    with services.database.transaction() as session:
        count = outbox.make_all_due(session, seconds_from_now(0))

    assert count == 1
    assert take_due(services, seconds_from_now(0)) == [due]


@pytest.mark.parametrize(("losses", "queue"), [(0, Queue.RCA), (1, Queue.RCA), (2, Queue.QUARANTINE)])
def test_a_step_that_lost_two_workers_is_set_apart(services: Services, losses: int, queue: Queue) -> None:
    wake_up = first_step(services)
    with services.database.transaction() as session:
        session.get_one(AgentRow, wake_up.agent_id).losses = losses

    again = put_back(services, wake_up, delay_s=0)

    assert again is not None
    assert again.queue == queue


def test_a_message_is_shown_with_whose_it_is_also_when_it_is_sent_again(services: Services) -> None:
    wake_up = first_step(services)
    assert wake_up.shown_as == "rca.turn:single"
    with services.database.transaction() as session:
        row = session.get_one(AgentRow, wake_up.agent_id)
        row.kind, row.role = "sub", "ticket_history"
        outbox.make_all_due(session, seconds_from_now(0))

    (again,) = take_due(services, seconds_from_now(1))

    assert (again.shown_as, again.task) == ("rca.turn:sub:ticket_history", "rca.turn")


def test_a_message_holds_ids_only() -> None:
    turn = WakeUp(Step.TURN, "agt_1", 3, "rca", "lead")

    assert (turn.task, turn.arguments) == ("rca.turn", ("agt_1", 3))
    assert WakeUp(Step.PUBLISH, "agt_1", 3, "reports").arguments == ("agt_1",)
