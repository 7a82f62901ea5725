"""The step machine: an agent's row is claimed, held, and moved on by conditional updates only."""

from datetime import datetime, timedelta
from uuid import uuid4

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session
from sqlalchemy.sql.dml import ReturningUpdate

from worker.domain.conversation import Route
from worker.domain.ids import AgentId, InvestigationId
from worker.domain.orchestration import Brief
from worker.domain.report import Verification
from worker.domain.states import STEPS, AgentKind, AgentStatus, InvestigationStatus, Step, step_of
from worker.domain.transcript import Agent, Claim
from worker.errors import LeaseLostError, StepCancelledError
from worker.storage import children, endings, findings, investigations, outbox, usage
from worker.storage.database import database_now, serialise
from worker.storage.outbox import LOSSES_TO_QUARANTINE, WakeUp
from worker.storage.tables import AgentRow

LOSSES_TO_RUN_ALONE = 3
"""A step lost in quarantine too runs next with no other beside it: else what kills its process takes along, each time,
the steps that were only near it."""
LOSSES_TO_FAIL = 4
"""Two lost leases among the others and two more in quarantine: the step kills its process."""


def to_agent(row: AgentRow) -> Agent:
    return Agent(
        id=AgentId(row.id),
        investigation_id=InvestigationId(row.investigation_id),
        agent_no=row.agent_no,
        kind=AgentKind(row.kind),
        role=row.role,
        status=AgentStatus(row.status),
        turn_no=row.turn_no,
        nonce=row.nonce,
        route=Route.model_validate(row.route),
        judge_route=Route.model_validate(row.judge_route) if row.judge_route else None,
        deadline_at=row.deadline_at,
        attempts=row.attempts,
        losses=row.losses,
        outage_since=row.outage_since,
        partial=row.partial,
        parent_id=AgentId(row.parent_id) if row.parent_id else None,
        wave_no=row.wave_no or 0,
        brief=Brief.model_validate(row.brief) if row.brief else None,
        note=row.note,
        created_at=row.created_at,
    )


def claim(session: Session, agent_id: str, step: Step, *, turn_no: int | None, lease: timedelta) -> Claim | None:
    """Take the step; None if it is taken, done, cancelled or not due.

    One UPDATE decides, so two deliveries of one message cannot both win. The token is new each time. A report may
    be published after the deadline: it is how the deadline ends.
    """
    row, now, states = AgentRow, database_now(session), STEPS[step]
    conditions = [row.id == agent_id, row.status == states.waiting, row.claim_token.is_(None), row.not_before <= now]
    conditions.append(row.cancel_requested_at.is_(None))
    if step is not Step.PUBLISH:
        conditions += [row.turn_no == turn_no, row.deadline_at > now]
    token = str(uuid4())
    taking = update(row).values(status=states.running, claim_token=token, lease_until=now + lease).returning(row)
    taken = session.scalar(taking.where(*conditions, row.losses < LOSSES_TO_QUARANTINE))
    taken = taken or _take_in_quarantine(session, taking.where(*conditions), agent_id)
    if taken is None:
        return None
    outbox.forget(session, agent_id)
    return Claim(agent=to_agent(taken), step=step, token=token, claimed_at=now)


def _take_in_quarantine(session: Session, taking: ReturningUpdate[AgentRow], agent_id: str) -> AgentRow | None:
    """Claim a quarantined step, unless it or one that runs has to be alone; then its message comes again."""
    losses = session.scalar(select(AgentRow.losses).where(AgentRow.id == agent_id))
    if losses is None or losses < LOSSES_TO_QUARANTINE:
        return None
    serialise(session, "quarantine")
    running = select(func.max(AgentRow.losses)).where(AgentRow.claim_token.is_not(None))
    most = session.scalar(running.where(AgentRow.losses >= LOSSES_TO_QUARANTINE))
    if most is not None and max(most, losses) >= LOSSES_TO_RUN_ALONE:
        return None
    return session.scalar(taking.where(AgentRow.losses >= LOSSES_TO_QUARANTINE))


def hold(session: Session, claim: Claim) -> AgentRow:
    """Lock the claimed agent's row for this transaction. Raises `LeaseLostError` if the claim is no longer ours."""
    statement = (
        update(AgentRow)
        .where(AgentRow.id == claim.agent.id, AgentRow.claim_token == claim.token)
        .values(claim_token=claim.token)
        .returning(AgentRow)
    )
    row = session.scalar(statement, execution_options={"populate_existing": True})
    if row is None:
        raise LeaseLostError(f"the {claim.step} of {claim.agent.id} was taken over")
    return row


def advance(
    session: Session, claim: Claim, to: AgentStatus, *, turn_no: int | None = None, partial: str | None = None
) -> WakeUp | None:
    """Commit the step: release the claim, set the next status, owe its message. A cancelled agent ends instead."""
    row, now = hold(session, claim), database_now(session)
    row.claim_token = row.lease_until = row.outage_since = None
    row.attempts = row.losses = 0
    row.not_before = now
    row.turn_no = turn_no or row.turn_no
    row.partial = partial or row.partial
    if row.cancel_requested_at is not None:
        row.status = row.status if to.is_final else to  # what is stored is not asked for again by a retry
        _end(session, row, AgentStatus.CANCELLED, now)
        return None
    row.status = to
    if to.is_final:
        row.finished_at = now
        endings.note(session, row)
        children.dismiss(session, row.id)
    session.flush()
    return outbox.owe(session, row, now)


def put_back(
    session: Session, claim: Claim, *, delay_s: float, is_outage: bool = False, is_attempt: bool = False
) -> WakeUp | None:
    """Give the step back to be claimed again after the delay. A cancelled agent ends instead."""
    row, now = hold(session, claim), database_now(session)
    row.not_before = now + timedelta(seconds=delay_s)
    row.attempts += int(is_attempt)
    row.outage_since = (row.outage_since or now) if is_outage else row.outage_since
    if row.cancel_requested_at is not None:
        _end(session, row, AgentStatus.CANCELLED, now)
        return None
    return _release(session, row, now)


def fail(
    session: Session, claim: Claim, *, failure_class: str, reason: str, turn_no: int | None = None
) -> WakeUp | None:
    """End the agent, and with it its investigation; remember where it stood so that a retry goes on from there.

    `turn_no` is the turn that a retry begins with, None: the one that was claimed. A sub-agent ends alone: its
    failure is a finding, and the last one's wakes the lead.
    """
    lead = children.lock_lead(session, claim.agent)
    row, now = hold(session, claim), database_now(session)
    row.turn_no = turn_no or row.turn_no
    _end(session, row, AgentStatus.FAILED, now, failure_class=failure_class, reason=reason)
    return children.rejoin(session, lead)


def take_back_expired(session: Session, *, limit: int = 200) -> list[WakeUp]:
    """Take back every step whose lease has run out: its holder is dead, frozen or cut off."""
    now = database_now(session)
    expired = select(AgentRow).where(AgentRow.claim_token.is_not(None), AgentRow.lease_until < now).limit(limit)
    wake_ups: list[WakeUp | None] = []
    for row in session.scalars(expired.with_for_update(skip_locked=True)).all():
        row.losses += 1
        if row.losses >= LOSSES_TO_FAIL:
            reason = f"its {_step(row)} step lost its worker {row.losses} times, in quarantine too"
            _end(session, row, AgentStatus.FAILED, now, failure_class="worker_lost", reason=reason)
        else:
            wake_ups.append(_release(session, row, now))
    return [w for w in wake_ups if w]


def release_all(session: Session, tokens: list[str]) -> int:
    """Put the running steps of a stopping process back: a deploy is no loss. Returns how many."""
    rows = session.scalars(select(AgentRow).where(AgentRow.claim_token.in_(tokens)).with_for_update()).all()
    now = database_now(session)
    for row in rows:
        _release(session, row, now)
    return len(rows)


def renew(session: Session, tokens: list[str], lease: timedelta) -> set[str]:
    """Lengthen the lease of exactly these claims, in one UPDATE; return the tokens of those still held."""
    until = database_now(session) + lease
    held = update(AgentRow).where(AgentRow.claim_token.in_(tokens)).values(lease_until=until)
    return {token for token in session.scalars(held.returning(AgentRow.claim_token)) if token}


def expire_deadlines(session: Session, *, limit: int = 200) -> list[WakeUp]:
    """Send agents whose time is up to publish what they have; one that waits for its provider fails.

    A sub-agent has nothing to publish: it ends.
    """
    row, now = AgentRow, database_now(session)
    waiting = [c.waiting for step, c in STEPS.items() if step is not Step.PUBLISH]
    late = select(row).where(row.status.in_(waiting), row.claim_token.is_(None), row.deadline_at <= now)
    wake_ups = []
    for agent in session.scalars(late.limit(limit).with_for_update(skip_locked=True)).all():
        if agent.outage_since is not None:
            reason = "the provider stayed down until the investigation's deadline"
            _end(session, agent, AgentStatus.FAILED, now, failure_class="provider_unavailable", reason=reason)
            continue
        if agent.kind == AgentKind.SUB:
            _end(session, agent, AgentStatus.FAILED, now, failure_class="time_ran_out")
            continue
        agent.status, agent.not_before = AgentStatus.PUBLISHING, now
        agent.partial = agent.partial or "the investigation's time ran out"
        outbox.forget(session, agent.id)
        wake_ups.append(outbox.owe(session, agent, now))
    return [w for w in wake_ups if w]


def cancel_all(session: Session, investigation_id: str) -> None:
    """Ask every agent of the investigation to end; those that nobody runs end at once."""
    now = database_now(session)
    own = (AgentRow.investigation_id == investigation_id, AgentRow.finished_at.is_(None))
    live = select(AgentRow).where(*own, AgentRow.cancel_requested_at.is_(None)).order_by(AgentRow.agent_no)
    for row in session.scalars(live.with_for_update()).all():
        row.cancel_requested_at = now
        if row.claim_token is None:
            _end(session, row, AgentStatus.CANCELLED, now)


def cancel_agent(session: Session, agent_id: str) -> None:
    """Ask one agent to end; one that nobody runs ends at once."""
    row = session.get(AgentRow, agent_id, with_for_update=True)
    if row is None or row.finished_at is not None:
        return
    row.cancel_requested_at = database_now(session)
    if row.claim_token is None:
        _end(session, row, AgentStatus.CANCELLED, row.cancel_requested_at)


def read_verification(session: Session, agent_id: str) -> Verification | None:
    """Return what the verify pass said of the agent's report; None where there was none."""
    said = session.scalar(select(AgentRow.verification).where(AgentRow.id == agent_id))
    return Verification.model_validate(said) if said else None


def is_cancelled(session: Session, claim: Claim) -> bool:
    """Say whether a running step should stop: a cancel was asked for, or the claim is no longer ours."""
    row = AgentRow
    ours = select(row.id).where(row.claim_token == claim.token, row.cancel_requested_at.is_(None))
    return session.scalar(ours) is None


def require_wanted(session: Session, claim: Claim) -> None:
    """Raise `StepCancelledError` where a cancel was asked for, `LeaseLostError` where the claim is no longer ours."""
    row = AgentRow
    found = session.execute(select(row.cancel_requested_at).where(row.claim_token == claim.token)).one_or_none()
    if found is None:
        raise LeaseLostError(f"the {claim.step} of {claim.agent.id} was taken over")
    if found.cancel_requested_at is not None:
        raise StepCancelledError(f"the {claim.step} of {claim.agent.id} was cancelled")


def settle_cancelled(session: Session) -> int:
    """End agents that were asked to cancel and that nobody runs any more. Returns how many."""
    row = AgentRow
    asked = select(row).where(
        row.cancel_requested_at.is_not(None), row.finished_at.is_(None), row.claim_token.is_(None)
    )
    rows = session.scalars(asked.with_for_update(skip_locked=True)).all()
    now = database_now(session)
    for agent in rows:
        _end(session, agent, AgentStatus.CANCELLED, now)
    return len(rows)


def _step(row: AgentRow) -> Step:
    step = step_of(AgentStatus(row.status))
    if step is None:
        raise LeaseLostError(f"agent {row.id} in status {row.status} runs no step")
    return step


def _release(session: Session, row: AgentRow, now: datetime) -> WakeUp | None:
    row.status = STEPS[_step(row)].waiting
    row.claim_token = row.lease_until = None
    usage.release(session, row.id)
    session.flush()
    return outbox.owe(session, row, now)


def _end(
    session: Session,
    row: AgentRow,
    status: AgentStatus,
    now: datetime,
    *,
    failure_class: str | None = None,
    reason: str | None = None,
) -> None:
    step = step_of(AgentStatus(row.status))
    waits = AgentStatus.WAITING_CHILDREN if row.status == AgentStatus.WAITING_CHILDREN else row.resume_status
    row.resume_status = STEPS[step].waiting if step else waits
    row.status, row.finished_at = status, now
    row.claim_token = row.lease_until = None
    endings.note(session, row, failure_class)
    usage.release(session, row.id)
    outbox.forget(session, row.id)
    session.flush()
    if row.kind == AgentKind.SUB:
        what = "it was cancelled" if status is AgentStatus.CANCELLED else f"it failed ({failure_class})"
        findings.add_by_code(session, row, what)
        return
    children.dismiss(session, row.id)
    final = InvestigationStatus.FAILED if status is AgentStatus.FAILED else InvestigationStatus.CANCELLED
    investigations.finish(session, row.investigation_id, final, failure_class=failure_class, reason=reason)
