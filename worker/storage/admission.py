"""Admission: a queued investigation starts when one more may run and its turn has come."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from worker.domain.conversation import Route
from worker.domain.ids import new_id
from worker.domain.incident import IncidentEvent
from worker.domain.states import AgentKind, AgentStatus, InvestigationStatus
from worker.domain.transcript import Limits
from worker.storage import outbox, queue, transcripts
from worker.storage.database import database_now, serialise
from worker.storage.outbox import WakeUp
from worker.storage.queue import Room
from worker.storage.tables import AgentRow, IncidentRow, InvestigationRow


@dataclass(frozen=True)
class Routes:
    """Where an agent's calls go: its own, and its judge's (None: no judge)."""

    model: Route
    judge: Route | None


MayRun = Callable[[Session, InvestigationRow], bool]
"""Whether an investigation may start now, room or no room: for budgets of a day. While it may not, its path waits."""


def next_to_admit(
    session: Session, *, room: Room, may_run: MayRun | None = None
) -> tuple[InvestigationRow, IncidentEvent] | None:
    """Return the queued investigation whose turn it is, if one more may run; one transaction at a time decides."""
    serialise(session, "admission")
    for head in queue.find_heads(session, room, limit=None if may_run else 1):
        found = _lock_queued(session, head)
        if found is not None and (may_run is None or may_run(session, found)):
            incident = session.get_one(IncidentRow, found.incident_id)
            return found, IncidentEvent.stored(incident.event)
    return None


def _lock_queued(session: Session, investigation_id: str) -> InvestigationRow | None:
    """Lock it; None if it was cancelled meanwhile."""
    row = InvestigationRow
    wanted = select(row).where(row.id == investigation_id, row.status == InvestigationStatus.QUEUED)
    return session.scalar(wanted.with_for_update())


def admit(session: Session, row: InvestigationRow, routes: Routes, *, limits: Limits) -> WakeUp | None:
    """Start the investigation: its limits as they are now, its agent, and the message for its first step."""
    now = database_now(session)
    row.status, row.admitted_at = InvestigationStatus.RUNNING, now
    row.limits = asdict(limits)
    row.deadline_at = now + timedelta(seconds=limits.max_seconds)
    agent = AgentRow(
        id=new_id("agt"),
        investigation_id=row.id,
        agent_no=0,
        kind=AgentKind.SINGLE,
        role="single",
        status=AgentStatus.READY,
        turn_no=1,
        nonce=new_id("n")[-12:],
        route=routes.model.model_dump(mode="json"),
        judge_route=routes.judge.model_dump(mode="json") if routes.judge else None,
        not_before=now,
        deadline_at=row.deadline_at,
        attempts=0,
        losses=0,
        created_at=now,
    )
    session.add(agent)
    session.flush()
    if row.retry_of:
        _resume(session, agent, row.retry_of)
    return outbox.owe(session, agent, now)


def _resume(session: Session, agent: AgentRow, retry_of: str) -> None:
    """Go on from the last finished turn of the attempt before: its rows are copied, the old ones stay."""
    earlier = session.scalar(
        select(AgentRow).where(AgentRow.investigation_id == retry_of, AgentRow.parent_id.is_(None))
    )
    if earlier is None:
        return
    transcripts.copy(session, earlier.id, agent.id)
    agent.turn_no, agent.nonce = earlier.turn_no, earlier.nonce
    agent.status = earlier.resume_status or AgentStatus.READY
    agent.partial = earlier.partial
    session.flush()
