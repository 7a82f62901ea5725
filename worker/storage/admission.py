"""Admission: a queued investigation starts when one more may run, the most urgent first."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from worker.domain.conversation import Route
from worker.domain.ids import new_id
from worker.domain.incident import IncidentEvent
from worker.domain.states import AgentKind, AgentStatus, InvestigationStatus
from worker.storage import outbox, transcripts
from worker.storage.database import database_now, serialise
from worker.storage.outbox import WakeUp
from worker.storage.tables import AgentRow, IncidentRow, InvestigationRow


@dataclass(frozen=True)
class Routes:
    """Where an agent's calls go: its own, and its judge's (None: no judge)."""

    model: Route
    judge: Route | None


def next_to_admit(session: Session, *, max_running: int) -> tuple[InvestigationRow, IncidentEvent] | None:
    """Return the most urgent queued investigation if one more may run; one transaction at a time decides."""
    serialise(session, "admission")
    row = InvestigationRow
    running = session.scalar(select(func.count()).where(row.status == InvestigationStatus.RUNNING)) or 0
    if running >= max_running:
        return None
    queued = select(row).where(row.status == InvestigationStatus.QUEUED).order_by(row.severity_rank, row.id).limit(1)
    found = session.scalar(queued.with_for_update())
    if found is None:
        return None
    incident = session.get_one(IncidentRow, found.incident_id)
    return found, IncidentEvent.model_validate(incident.event)


def admit(session: Session, row: InvestigationRow, routes: Routes, *, max_seconds: float) -> WakeUp | None:
    """Start the investigation: its agent and the message for its first step."""
    now = database_now(session)
    row.status, row.admitted_at = InvestigationStatus.RUNNING, now
    row.deadline_at = now + timedelta(seconds=max_seconds)
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
