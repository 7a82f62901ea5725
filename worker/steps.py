"""One claimed step: its lease is kept while it runs, and whatever goes wrong becomes a state."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from sqlalchemy.orm import Session

from worker import spans
from worker.domain.states import Step
from worker.domain.transcript import Agent, Claim
from worker.errors import (
    LeaseLostError,
    LimitReachedError,
    StepCancelledError,
    StorageUnavailableError,
    TransientError,
    WorkerError,
)
from worker.ops import metrics
from worker.services import Services
from worker.storage import agents
from worker.storage.outbox import WakeUp

log = structlog.get_logger()

SETTLE_S = 30.0
"""What a step may take beyond its agent's deadline to store what it has."""
OUTAGE_WAIT_S = (2.0, 60.0)
"""Shortest and longest wait before a provider that is down is asked again."""
MAX_REASON_CHARS = 500
PATIENCE_S = 60.0
"""How long a finished step waits for a database that is away before it is given up, to be repeated."""


def run(
    services: Services, step: Step, agent_id: str, *, turn_no: int | None, body: Callable[[Services, Claim], None]
) -> None:
    """Claim the step and run its body. Safe to call more than once: one caller wins, the others end quietly."""
    with services.heartbeat.busy():  # before the look at `stopping`: a process that leaves must not miss this step
        if services.stopping.is_set():
            return  # the outbox sends the message again, to a process that stays
        since = time.monotonic()  # before the claim: its lease counts from then at the earliest
        claim = _claim(services, step, agent_id, turn_no=turn_no)
        if claim is None:
            return
        names = structlog.contextvars.bound_contextvars(agent=agent_id, step=step.value, turn_no=claim.agent.turn_no)
        with names, services.heartbeat.holding(claim.token, since=since, deadline=_deadline(claim)):
            _run_claimed(services, claim, body)


def _claim(services: Services, step: Step, agent_id: str, *, turn_no: int | None) -> Claim | None:
    try:
        with services.database.transaction() as session:
            return agents.claim(session, agent_id, step, turn_no=turn_no, lease=services.lease)
    except StorageUnavailableError as error:
        log.debug("claim_postponed", agent=agent_id, step=step.value, error=error.reason)
        return None  # nothing was claimed: the outbox sends the message again


def _deadline(claim: Claim) -> float:
    left_s = (claim.agent.deadline_at - datetime.now(UTC)).total_seconds()
    return time.monotonic() + max(left_s, 0) + SETTLE_S


def _run_claimed(services: Services, claim: Claim, body: Callable[[Services, Claim], None]) -> None:
    started = time.monotonic()
    outcome = spans.STORED
    try:
        body(services, claim)
    except LeaseLostError:
        outcome = "lease_lost"
    except WorkerError as error:
        outcome = error.reason
        _settle(services, claim, error)
    except Exception as error:  # the edge of the task: a defect must cost attempts, not hang its agent
        outcome = type(error).__name__
        log.exception("step_crashed", error=outcome)
        _settle(services, claim, error)
    services.tracer.emit(spans.of_step(claim, since=started, outcome=outcome))
    metrics.STEPS.labels(step=claim.step.value, outcome=outcome).inc()
    log.info("step_finished", outcome=outcome, duration_ms=round((time.monotonic() - started) * 1000))


def _settle(services: Services, claim: Claim, error: Exception) -> None:
    """Store what follows from the error; if even that fails, the lease runs out and the sweeper takes the step back."""
    try:
        wake_up = services.database.insist(_next_state(services, claim, error), for_s=PATIENCE_S)
    except (LeaseLostError, StorageUnavailableError) as lost:
        log.warning("step_unsettled", error=lost.reason)
    else:
        services.send([wake_up] if wake_up else [])


def _next_state(services: Services, claim: Claim, error: Exception) -> Callable[[Session], WakeUp | None]:
    """Choose: put back and wait, put back and count, or fail the agent."""
    agent, settings = claim.agent, services.settings
    if isinstance(error, StepCancelledError):
        return lambda session: agents.put_back(session, claim, delay_s=0)  # which ends a cancelled one
    reason = services.redactor.scrub(str(error))[:MAX_REASON_CHARS]
    if isinstance(error, TransientError):
        down_s = _down_s(claim)
        if not is_outage_over(services, claim):
            delay_s = error.retry_after_s or min(max(down_s / 4, OUTAGE_WAIT_S[0]), OUTAGE_WAIT_S[1])
            is_outage = _is_outage(error, agent)
            metrics.STEP_RETRIES.labels(step=claim.step.value, reason=error.reason).inc()
            if error.retry_after_s:
                metrics.COOLDOWNS.labels(provider=agent.route.provider, reason=error.reason).inc()
            return lambda session: agents.put_back(session, claim, delay_s=delay_s, is_outage=is_outage)
        return lambda session: agents.fail(session, claim, failure_class=error.reason, reason=reason)
    if isinstance(error, WorkerError):
        return lambda session: agents.fail(session, claim, failure_class=error.reason, reason=reason)
    if agent.attempts + 1 < settings.rca_step_attempts:
        metrics.STEP_RETRIES.labels(step=claim.step.value, reason="unexpected").inc()
        return lambda session: agents.put_back(session, claim, delay_s=2.0**agent.attempts, is_attempt=True)
    crash = f"its {claim.step} step raised {type(error).__name__} {settings.rca_step_attempts} times"
    return lambda session: agents.fail(session, claim, failure_class="unexpected", reason=crash)


def is_outage_over(services: Services, claim: Claim) -> bool:
    """Say whether a provider that is down has been waited for long enough."""
    return _down_s(claim) >= services.settings.rca_provider_outage_s


def _down_s(claim: Claim) -> float:
    since = claim.agent.outage_since
    return (claim.claimed_at - since).total_seconds() if since else 0.0


def _is_outage(error: TransientError, agent: Agent) -> bool:
    """Say whether the error tells of a provider that is down.

    A database that was away is back once this is stored; a limit is our own; a call cut short by the deadline tells
    of the deadline.
    """
    return not isinstance(error, StorageUnavailableError | LimitReachedError) and datetime.now(UTC) < agent.deadline_at
