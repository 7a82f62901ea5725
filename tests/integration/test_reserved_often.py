"""A connection that has reserved many calls goes on doing so: PostgreSQL plans a statement anew once it is frequent."""

from collections.abc import Callable

from sqlalchemy import func, select

from tests.builders import incident, queue_of, submits_report
from tests.fakes import ScriptedModel
from worker import pipeline
from worker.domain.conversation import Route
from worker.domain.states import Purpose
from worker.domain.transcript import Amount
from worker.services import Services
from worker.storage import agents, reservations, usage
from worker.storage.tables import UsageRow

Open = Callable[..., Services]
OFTEN = 20
"""psycopg prepares a statement at its fifth use, PostgreSQL plans it without its values from five more."""


def test_the_same_connection_can_reserve_often(open_services: Open) -> None:
    services = open_services(ScriptedModel([submits_report()]))
    pipeline.accept(services, incident(), via="test")
    wake_up = queue_of(services).take()[0]
    route = Route(provider="house", model="m", wire="openai_chat")
    call = usage.Call(Purpose.RCA, route, usage.RESERVED, counted=Amount(10, 0.1))
    with services.database.transaction() as session:
        held = agents.claim(session, wake_up.agent_id, wake_up.step, turn_no=wake_up.turn_no, lease=services.lease)
    assert held is not None

    for _ in range(OFTEN):
        with services.database.transaction() as session:
            reservations.reserve(session, held, call)

    with services.database.transaction() as session:
        assert session.scalar(select(func.count()).select_from(UsageRow)) == 1
