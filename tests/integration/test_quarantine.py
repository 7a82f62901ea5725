"""Quarantine: what kills its process is found out alone, so that its neighbours do not share its fate."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy import select, update

from tests.builders import incident
from tests.fakes import ScriptedModel
from worker import pipeline
from worker.domain.states import Step
from worker.services import Services
from worker.storage import agents
from worker.storage.tables import AgentRow

Open = Callable[..., Services]
LEASE = timedelta(seconds=4)
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def set_agents(services: Services, **values: object) -> None:
    with services.database.transaction() as session:
        session.execute(update(AgentRow).values(**values))


def opened(services: Services, *titles: str) -> list[str]:
    """Open investigations whose first step has been lost twice; return their agents."""
    for title in titles:
        pipeline.accept(services, incident(title), via="test")
    set_agents(services, losses=2)
    with services.database.transaction() as session:
        return list(session.scalars(select(AgentRow.id).order_by(AgentRow.id)))


def is_claimed(services: Services, agent_id: str) -> bool:
    with services.database.transaction() as session:
        return agents.claim(session, agent_id, Step.TURN, turn_no=1, lease=LEASE) is not None


def lose_all(services: Services) -> None:
    set_agents(services, lease_until=LONG_AGO)
    with services.database.transaction() as session:
        agents.take_back_expired(session)


def test_a_step_that_was_lost_in_quarantine_too_runs_alone(open_services: Open) -> None:
    services = open_services(ScriptedModel([]))
    poison, neighbour = opened(services, "poison", "neighbour")

    together = [is_claimed(services, poison), is_claimed(services, neighbour)]
    lose_all(services)
    alone = [is_claimed(services, poison), is_claimed(services, neighbour)]
    lose_all(services)
    after = is_claimed(services, neighbour)

    assert (together, alone, after) == ([True, True], [True, False], True)


def test_nobody_joins_one_that_runs_alone_and_it_waits_for_those_that_run(open_services: Open) -> None:
    services = open_services(ScriptedModel([]))
    suspect, other = opened(services, "suspect", "other")
    with services.database.transaction() as session:
        session.execute(update(AgentRow).where(AgentRow.id == suspect).values(losses=3))

    other_first = [is_claimed(services, other), is_claimed(services, suspect)]
    set_agents(services, claim_token=None, status="ready")
    suspect_first = [is_claimed(services, suspect), is_claimed(services, other)]

    assert (other_first, suspect_first) == ([True, False], [True, False])


def test_ordinary_steps_do_not_wait_for_quarantine(open_services: Open) -> None:
    services = open_services(ScriptedModel([]))
    suspect, ordinary = opened(services, "suspect", "ordinary")
    with services.database.transaction() as session:
        session.execute(update(AgentRow).where(AgentRow.id == suspect).values(losses=3))
        session.execute(update(AgentRow).where(AgentRow.id == ordinary).values(losses=1))

    assert [is_claimed(services, suspect), is_claimed(services, ordinary)] == [True, True]
