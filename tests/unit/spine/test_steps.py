"""Which error of a step leads to which state, after which wait, at which cost in attempts."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from tests.builders import queue_of
from tests.fakes import ScriptedModel
from tests.unit.spine.claims import agent_row, first_step, seconds_from_now
from worker import pipeline, steps
from worker.domain.states import AgentStatus, InvestigationStatus, Step
from worker.domain.transcript import Claim
from worker.errors import (
    LeaseLostError,
    MalformedAnswerError,
    MissingInputError,
    PermanentError,
    ProviderAuthError,
    ProviderRateLimitedError,
    ProviderUnavailableError,
    StepCancelledError,
    StorageUnavailableError,
    ToolFailedError,
    TransientError,
    UserError,
)
from worker.ops import metrics
from worker.services import Services
from worker.storage import agents
from worker.storage.outbox import WakeUp
from worker.storage.tables import AgentRow, InvestigationRow, OutboxRow

Open = Callable[..., Services]


@pytest.fixture
def services(open_services: Open) -> Services:
    return open_services(ScriptedModel([]))


def fail_with(services: Services, error: Exception, *, wake_up: WakeUp | None = None) -> AgentRow:
    """Run one step whose body raises; return its agent afterwards."""

    def body(_: Services, __: Claim) -> None:
        raise error

    due = wake_up or first_step(services)
    steps.run(services, due.step, due.agent_id, turn_no=due.turn_no, body=body)
    return agent_row(services, due.agent_id)


def due_again(services: Services, agent_id: str, **fields: object) -> WakeUp:
    """Make the agent's step due now, its row as the test says, and return its message."""
    with services.database.transaction() as session:
        row = session.get_one(AgentRow, agent_id)
        for name, value in {"not_before": seconds_from_now(-1), **fields}.items():
            setattr(row, name, value)
        owed = session.scalars(select(OutboxRow).where(OutboxRow.agent_id == agent_id)).one()
        return WakeUp(Step.TURN, agent_id, row.turn_no, owed.queue)


def investigation_of(services: Services, agent: AgentRow) -> InvestigationRow:
    with services.database.transaction() as session:
        return session.get_one(InvestigationRow, agent.investigation_id)


def wait_s(agent: AgentRow) -> float:
    return (agent.not_before - datetime.now(UTC)).total_seconds()


# Errors that pass


@pytest.mark.parametrize(
    "error", [TransientError("later"), ProviderUnavailableError(), MalformedAnswerError(), StorageUnavailableError()]
)
def test_what_may_pass_puts_the_step_back_and_costs_no_attempt(services: Services, error: Exception) -> None:
    agent = fail_with(services, error)

    assert (agent.status, agent.attempts, agent.losses) == (AgentStatus.READY, 0, 0)
    assert agent.claim_token is None
    assert 1 < wait_s(agent) <= steps.OUTAGE_WAIT_S[0]
    assert queue_of(services).take() == []  # the outbox sends it when it is due


def test_a_provider_that_names_a_time_is_given_it(services: Services) -> None:
    agent = fail_with(services, ProviderRateLimitedError(retry_after_s=40))

    assert 39 < wait_s(agent) <= 40


@pytest.mark.parametrize(("down_s", "wanted_s"), [(0, 2), (40, 10), (400, 60)])
def test_a_provider_that_stays_down_is_asked_ever_more_rarely(services: Services, down_s: int, wanted_s: int) -> None:
    agent = fail_with(services, ProviderUnavailableError())
    wake_up = due_again(services, agent.id, outage_since=seconds_from_now(-down_s))

    agent = fail_with(services, ProviderUnavailableError(), wake_up=wake_up)

    assert wait_s(agent) == pytest.approx(wanted_s, abs=1)


def test_an_outage_counts_from_its_first_failure_and_ends_the_agent_after_its_time(services: Services) -> None:
    agent = fail_with(services, ProviderUnavailableError("down"))
    since = agent.outage_since
    agent = fail_with(services, ProviderUnavailableError("down"), wake_up=due_again(services, agent.id))
    assert agent.outage_since == since is not None

    began = seconds_from_now(-services.settings.rca_provider_outage_s - 1)
    wake_up = due_again(services, agent.id, outage_since=began)
    agent = fail_with(services, ProviderUnavailableError("down"), wake_up=wake_up)

    assert agent.status == AgentStatus.FAILED
    investigation = investigation_of(services, agent)
    assert (investigation.status, investigation.failure_class) == (InvestigationStatus.FAILED, "provider_unavailable")


def test_a_database_that_was_away_is_no_outage_of_a_provider(services: Services) -> None:
    assert fail_with(services, StorageUnavailableError("away")).outage_since is None


def test_a_call_cut_short_by_the_deadline_ends_with_what_there_is(services: Services) -> None:
    """The error says that the provider did not answer; it had no time to."""
    wake_up = first_step(services)
    ends = seconds_from_now(0.05)
    with services.database.transaction() as session:
        session.get_one(AgentRow, wake_up.agent_id).deadline_at = ends

    def body(_: Services, __: Claim) -> None:
        while datetime.now(UTC) < ends:
            pass
        raise ProviderUnavailableError("no answer in time")

    steps.run(services, wake_up.step, wake_up.agent_id, turn_no=1, body=body)
    with services.database.transaction() as session:
        agents.expire_deadlines(session)

    agent = agent_row(services, wake_up.agent_id)
    assert (agent.status, agent.partial) == (AgentStatus.PUBLISHING, "the investigation's time ran out")


# Errors that last


@pytest.mark.parametrize(
    ("error", "failure_class"),
    [
        (ProviderAuthError("the key was rejected"), "provider_auth"),
        (MissingInputError("no such case"), "missing_input"),
        (PermanentError("never"), "permanent"),
        (ToolFailedError("outside of a call"), "tool_failed"),
        (UserError("wrong"), "user"),
    ],
)
def test_what_lasts_fails_the_agent_at_once(services: Services, error: Exception, failure_class: str) -> None:
    agent = fail_with(services, error)

    investigation = investigation_of(services, agent)
    assert (agent.status, agent.claim_token) == (AgentStatus.FAILED, None)
    assert (investigation.failure_class, investigation.failure_reason) == (failure_class, str(error))


def test_the_reason_of_a_failure_is_short_and_without_secrets(services: Services) -> None:
    agent = fail_with(services, PermanentError("password=hunter2hunter2 " + "x" * 5000))

    reason = str(investigation_of(services, agent).failure_reason)
    assert "hunter2" not in reason
    assert len(reason) <= steps.MAX_REASON_CHARS


def test_a_defect_costs_attempts_with_growing_waits_and_then_the_agent(services: Services) -> None:
    attempts = services.settings.rca_step_attempts
    agent = fail_with(services, ZeroDivisionError("secret=abcdefgh"))

    for attempt in range(1, attempts):
        assert (agent.status, agent.attempts) == (AgentStatus.READY, attempt)
        assert wait_s(agent) == pytest.approx(2.0 ** (attempt - 1), abs=0.9)
        agent = fail_with(services, ZeroDivisionError("secret=abcdefgh"), wake_up=due_again(services, agent.id))

    investigation = investigation_of(services, agent)
    assert (agent.status, investigation.failure_class) == (AgentStatus.FAILED, "unexpected")
    assert investigation.failure_reason == f"its turn step raised ZeroDivisionError {attempts} times"


# What is no error of the step


def test_a_step_that_lost_its_lease_writes_nothing(services: Services) -> None:
    wake_up = first_step(services)
    tokens: list[str] = []

    def body(_: Services, claim: Claim) -> None:
        tokens.append(claim.token)
        raise LeaseLostError("taken over")

    steps.run(services, wake_up.step, wake_up.agent_id, turn_no=1, body=body)

    agent = agent_row(services, wake_up.agent_id)
    assert (agent.status, agent.claim_token) == (AgentStatus.ASKING, tokens[0])


def test_an_error_of_a_step_that_was_taken_over_changes_nothing(services: Services) -> None:
    wake_up = first_step(services)

    def body(_: Services, claim: Claim) -> None:
        with services.database.transaction() as session:
            agents.release_all(session, [claim.token])
        raise PermanentError("too late")

    steps.run(services, wake_up.step, wake_up.agent_id, turn_no=1, body=body)

    assert agent_row(services, wake_up.agent_id).status == AgentStatus.READY


def test_a_step_that_notices_a_cancel_ends_its_agent(services: Services) -> None:
    wake_up = first_step(services)

    def body(_: Services, claim: Claim) -> None:
        pipeline.cancel(services, claim.agent.investigation_id)
        raise StepCancelledError("cancelled")

    steps.run(services, wake_up.step, wake_up.agent_id, turn_no=1, body=body)

    assert agent_row(services, wake_up.agent_id).status == AgentStatus.CANCELLED


@pytest.mark.parametrize(("agent_id", "turn_no"), [("agt_none", 1), (None, 2)], ids=["unknown agent", "another turn"])
def test_what_cannot_be_claimed_does_not_run(services: Services, agent_id: str | None, turn_no: int) -> None:
    wake_up, ran = first_step(services), []

    steps.run(services, wake_up.step, agent_id or wake_up.agent_id, turn_no=turn_no, body=lambda *_: ran.append("body"))

    assert ran == []


def test_a_process_that_leaves_claims_nothing(services: Services) -> None:
    wake_up, ran = first_step(services), []
    services.stopping.set()

    steps.run(services, wake_up.step, wake_up.agent_id, turn_no=1, body=lambda *_: ran.append("body"))

    assert (ran, agent_row(services, wake_up.agent_id).status) == ([], AgentStatus.READY)
    assert services.heartbeat.is_idle


def test_a_running_step_is_held_until_shortly_after_its_deadline(services: Services) -> None:
    wake_up, held = first_step(services), {}

    def body(_: Services, claim: Claim) -> None:
        held.update(services.heartbeat._claims)
        left = claim.agent.deadline_at - datetime.now(UTC)
        assert not services.heartbeat.is_idle
        until = timedelta(seconds=held[claim.token].deadline - held[claim.token].confirmed)
        assert until >= left + timedelta(seconds=steps.SETTLE_S - 1)

    steps.run(services, wake_up.step, wake_up.agent_id, turn_no=1, body=body)

    assert held
    assert (services.heartbeat.running(), services.heartbeat.is_idle) == ([], True)


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(ProviderAuthError("no"), "provider_auth"), (LeaseLostError(), "lease_lost"), (KeyError("x"), "KeyError")],
)
def test_every_step_is_counted_with_what_became_of_it(services: Services, error: Exception, outcome: str) -> None:
    counter = metrics.STEPS.labels(step="turn", outcome=outcome)
    before = counter._value.get()

    fail_with(services, error)

    assert counter._value.get() == before + 1
