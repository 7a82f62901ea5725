"""The outbox: messages owed to the queue, written in the transaction that makes them due."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from worker.domain.states import AgentKind, AgentStatus, Queue, Step, queue_of, step_of
from worker.storage.tables import AgentRow, OutboxRow

REPUBLISH_AFTER = timedelta(seconds=5)
REPUBLISH_AT_MOST = timedelta(minutes=5)
LOSSES_TO_QUARANTINE = 2
"""A step that lost its lease this often runs next where it cannot hurt others."""


@dataclass(frozen=True)
class WakeUp:
    """One message for the queue: which step of which agent is due; `who` is its kind and role."""

    step: Step
    agent_id: str
    turn_no: int
    queue: str
    who: str = ""

    @property
    def task(self) -> str:
        return self.step.task

    @property
    def shown_as(self) -> str:
        return f"{self.task}:{self.who}" if self.who else self.task

    @property
    def arguments(self) -> tuple[str | int, ...]:
        return (self.agent_id,) if self.step is Step.PUBLISH else (self.agent_id, self.turn_no)


def owe(session: Session, agent: AgentRow, now: datetime) -> WakeUp | None:
    """Write the row for the agent's waiting step; return the message if it may be sent right after the commit.

    The row's own publish time lies a few seconds ahead, so it is sent again only if nobody claims the step. Nothing
    is owed to an agent whose step was claimed, so there is no row in the way.
    """
    step = step_of(AgentStatus(agent.status))
    if step is None:
        return None
    is_due = agent.not_before <= now
    queue = Queue.QUARANTINE if agent.losses >= LOSSES_TO_QUARANTINE else queue_of(step, AgentKind(agent.kind))
    publish_at = now + REPUBLISH_AFTER if is_due else agent.not_before
    session.add(
        OutboxRow(
            agent_id=agent.id,
            step=step,
            turn_no=agent.turn_no,
            queue=queue,
            publish_at=publish_at,
            published=int(is_due),
        )
    )
    return WakeUp(step, agent.id, agent.turn_no, queue, _who(agent.kind, agent.role)) if is_due else None


def renamed(session: Session, wake_up: WakeUp) -> WakeUp:
    """Return the message of an agent whose part has changed since it was owed."""
    agent = session.get_one(AgentRow, wake_up.agent_id)
    return replace(wake_up, who=_who(agent.kind, agent.role))


def forget(session: Session, agent_id: str) -> None:
    """Drop what is owed to an agent: its step is claimed, replaced, or needed no more."""
    session.execute(delete(OutboxRow).where(OutboxRow.agent_id == agent_id))


def take_due(session: Session, now: datetime, *, limit: int = 500) -> list[WakeUp]:
    """Return the messages due now, and set when each will be sent again: 5 s, doubling to 5 min."""
    owed = select(OutboxRow, AgentRow.kind, AgentRow.role).join(AgentRow, AgentRow.id == OutboxRow.agent_id)
    due = owed.where(OutboxRow.publish_at <= now).order_by(OutboxRow.publish_at).limit(limit)
    wake_ups = []
    for row, kind, role in session.execute(due.with_for_update(of=OutboxRow, skip_locked=True)).all():
        wait = min(REPUBLISH_AFTER * 2 ** min(row.published, 10), REPUBLISH_AT_MOST)
        row.publish_at, row.published = now + wait, row.published + 1
        wake_ups.append(WakeUp(Step(row.step), row.agent_id, row.turn_no, row.queue, _who(kind, role)))
    return wake_ups


def make_all_due(session: Session, now: datetime) -> int:
    """Send everything again: the queue has lost its memory. Returns how many rows that is."""
    waiting = select(AgentRow.id).where(AgentRow.not_before <= now)
    result = session.execute(
        update(OutboxRow).where(OutboxRow.agent_id.in_(waiting)).values(publish_at=now, published=0)
    )
    return int(result.rowcount)  # type: ignore[attr-defined]  # an UPDATE's result is a CursorResult


def _who(kind: str, role: str) -> str:
    """Return `lead`, `single`, or `sub:` and the role."""
    return kind if kind == role else f"{kind}:{role}"
