"""Claims of steps, as tests of what happens inside one need them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.builders import incident, queue_of
from worker import pipeline
from worker.domain.transcript import Claim
from worker.services import Services
from worker.storage import agents
from worker.storage.outbox import WakeUp
from worker.storage.tables import AgentRow


def first_step(services: Services, **event: Any) -> WakeUp:
    pipeline.accept(services, incident(**event), via="test")
    return queue_of(services).take()[0]


def claim_of(services: Services, wake_up: WakeUp) -> Claim:
    with services.database.transaction() as session:
        taken = agents.claim(session, wake_up.agent_id, wake_up.step, turn_no=wake_up.turn_no, lease=services.lease)
    assert taken is not None
    return taken


def first_claim(services: Services, **agent: Any) -> Claim:
    """Claim the first turn of a new investigation; what is named of the agent is as the test says."""
    claim = claim_of(services, first_step(services))
    return replace(claim, agent=replace(claim.agent, **agent))


def agent_row(services: Services, agent_id: str) -> AgentRow:
    with services.database.transaction() as session:
        return session.get_one(AgentRow, agent_id)


def seconds_from_now(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)
