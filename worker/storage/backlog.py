"""The backlog in figures: what waits, since when, and whether the sweeper keeps up."""

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from worker.domain.states import AgentKind, AgentStatus, Queue, queue_of, step_of
from worker.storage.database import database_now
from worker.storage.outbox import LOSSES_TO_QUARANTINE
from worker.storage.tables import AgentRow, InvestigationRow, LeaseRow, OutboxRow

RUNNABLE = (AgentStatus.READY, AgentStatus.AWAITING_JUDGE, AgentStatus.READY_TO_ACT, AgentStatus.PUBLISHING)


@dataclass(frozen=True)
class Waiting:
    """Steps of one queue that may run now, and how long the oldest of them has waited, in seconds."""

    count: int = 0
    oldest_s: float = 0.0


@dataclass(frozen=True)
class Backlog:
    """`outbox_lag_s` is how long the oldest unsent message is overdue; `sweeper_age_s` is None before any sweep."""

    investigations: dict[str, int]
    queues: dict[str, Waiting] = field(default_factory=dict)
    outbox_due: int = 0
    outbox_lag_s: float = 0.0
    sweeper_age_s: float | None = None


def measure(session: Session) -> Backlog:
    """Read the backlog as it stands."""
    now = database_now(session)
    statuses = select(InvestigationRow.status, func.count()).group_by(InvestigationRow.status)
    due, oldest = session.execute(
        select(func.count(), func.min(OutboxRow.publish_at)).where(OutboxRow.publish_at <= now)
    ).one()
    return Backlog(
        investigations=dict(session.execute(statuses).all()),
        queues=_queues(session, now),
        outbox_due=due,
        outbox_lag_s=(now - oldest).total_seconds() if oldest else 0.0,
        sweeper_age_s=_sweeper_age(session, now),
    )


def _queues(session: Session, now: datetime) -> dict[str, Waiting]:
    """Count the steps that may run and nobody runs, by the queue they wait in."""
    row = AgentRow
    is_poison = case((row.losses >= LOSSES_TO_QUARANTINE, 1), else_=0)
    runnable = (
        select(row.status, row.kind, is_poison, func.count(), func.min(row.not_before))
        .where(row.status.in_(RUNNABLE), row.claim_token.is_(None), row.not_before <= now)
        .group_by(row.status, row.kind, is_poison)
    )
    queues = {queue.value: Waiting() for queue in Queue}
    for status, kind, poison, count, since in session.execute(runnable):
        step = step_of(AgentStatus(status))
        queue = Queue.QUARANTINE if poison or step is None else queue_of(step, AgentKind(kind))
        known, waited_s = queues[queue.value], (now - since).total_seconds()
        queues[queue.value] = Waiting(known.count + count, max(known.oldest_s, waited_s))
    return queues


def _sweeper_age(session: Session, now: datetime) -> float | None:
    """Return how long ago a sweeper last renewed its duty, to within the time that a duty is held for."""
    until = session.scalar(select(LeaseRow.until).where(LeaseRow.name == "sweeper"))
    return None if until is None else max((now - until).total_seconds(), 0.0)
