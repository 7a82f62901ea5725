"""The heartbeat renews the claims this process runs, no others, and none past its deadline."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta

import pytest

from tests.fakes import ScriptedModel
from tests.unit.spine.claims import agent_row, first_claim, seconds_from_now
from worker.domain.transcript import Claim
from worker.errors import LeaseLostError
from worker.services import Services
from worker.storage import agents
from worker.storage.tables import AgentRow

Open = Callable[..., Services]


@pytest.fixture
def services(open_services: Open) -> Services:
    return open_services(ScriptedModel([]))


def hold(
    services: Services, claim: Claim, *, since_s: float = 0.0, for_s: float = 60.0
) -> AbstractContextManager[None]:
    now = time.monotonic()
    return services.heartbeat.holding(claim.token, since=now - since_s, deadline=now + for_s)


def nearly_out(services: Services, claim: Claim) -> datetime:
    """Let the lease have a moment left; return its end."""
    until = seconds_from_now(0.5)
    with services.database.transaction() as session:
        session.get_one(AgentRow, claim.agent.id).lease_until = until
    return until


def lease_of(services: Services, claim: Claim) -> datetime | None:
    return agent_row(services, claim.agent.id).lease_until


def test_a_running_claim_is_renewed(services: Services) -> None:
    claim = first_claim(services)
    before = nearly_out(services, claim)

    with hold(services, claim):
        services.heartbeat.beat()

    assert lease_of(services, claim) > before + timedelta(seconds=1)  # type: ignore[operator]  # it is claimed


def test_a_claim_nobody_registered_is_left_to_run_out(services: Services) -> None:
    claim = first_claim(services)
    before = nearly_out(services, claim)

    services.heartbeat.beat()

    assert lease_of(services, claim) == before


def test_a_step_that_ended_is_no_longer_renewed_however_it_ended(services: Services) -> None:
    claim = first_claim(services)
    with pytest.raises(ZeroDivisionError), hold(services, claim):
        raise ZeroDivisionError
    before = nearly_out(services, claim)

    services.heartbeat.beat()

    assert (lease_of(services, claim), services.heartbeat.running()) == (before, [])


def test_a_claim_past_its_deadline_is_left_to_run_out(services: Services) -> None:
    claim = first_claim(services)
    before = nearly_out(services, claim)

    with hold(services, claim, for_s=-1):
        services.heartbeat.beat()

    assert lease_of(services, claim) == before


def test_a_fresh_lease_is_confirmed_without_the_database(services: Services) -> None:
    claim = first_claim(services)
    with services.database.transaction() as session:
        agents.release_all(session, [claim.token])

    with hold(services, claim):
        services.heartbeat.confirm(claim.token)  # the lease cannot have run out: nobody may have taken it


def test_an_old_lease_that_is_still_ours_is_renewed_when_confirmed(services: Services) -> None:
    claim = first_claim(services)
    before = nearly_out(services, claim)

    with hold(services, claim, since_s=600):
        services.heartbeat.confirm(claim.token)

    assert lease_of(services, claim) > before  # type: ignore[operator]  # it is claimed


def test_an_old_lease_that_went_elsewhere_is_lost(services: Services) -> None:
    claim = first_claim(services)
    with services.database.transaction() as session:
        agents.release_all(session, [claim.token])

    with hold(services, claim, since_s=600), pytest.raises(LeaseLostError):
        services.heartbeat.confirm(claim.token)


def test_a_process_is_idle_when_nothing_is_under_way(services: Services) -> None:
    heartbeat = services.heartbeat
    with heartbeat.busy(), heartbeat.busy():
        assert not heartbeat.is_idle
    assert heartbeat.is_idle
