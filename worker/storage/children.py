"""Sub-agents: created together with their lead's plan, and joined to it again as each one ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import exists, func, select, update
from sqlalchemy.orm import Session, aliased

from worker.domain.conversation import Route
from worker.domain.ids import new_id
from worker.domain.orchestration import Brief
from worker.domain.states import AgentKind, AgentStatus
from worker.domain.transcript import Agent
from worker.storage import endings, outbox
from worker.storage.database import database_now
from worker.storage.outbox import WakeUp
from worker.storage.tables import AgentRow

SHARE_OF_TIME = 0.7
"""Of what is left of the lead's time a wave may take: the rest is for what the lead makes of it."""
LATE = timedelta(seconds=5)
"""How long past its deadline a sub-agent is waited for that may be storing what it has."""


@dataclass(frozen=True)
class Child:
    """A sub-agent to be: what it is told, and where its calls go."""

    brief: Brief
    route: Route


def create(session: Session, lead: AgentRow, children: Sequence[Child]) -> list[WakeUp]:
    """Add a wave of sub-agents and owe the message of each one's first turn; with an ended lead they end at once."""
    now = database_now(session)
    highest = select(func.max(AgentRow.agent_no)).where(AgentRow.investigation_id == lead.investigation_id)
    first_no = 1 + (session.scalar(highest) or 0)
    lead.wave_no = (lead.wave_no or 0) + 1
    until = now + (lead.deadline_at - now) * SHARE_OF_TIME
    rows = []
    for agent_no, child in enumerate(children, first_no):
        row = _row(lead, child, agent_no)
        row.status, row.finished_at = (AgentStatus.READY, None) if lead.finished_at is None else (lead.status, now)
        row.not_before = row.created_at = now
        row.deadline_at = min(until, now + timedelta(seconds=child.brief.max_seconds))
        rows.append(row)
    session.add_all(rows)
    session.flush()
    for row in rows:
        if row.finished_at is not None:
            endings.note(session, row)
    return [wake_up for row in rows if (wake_up := outbox.owe(session, row, now))]


def lock_lead(session: Session, agent: Agent) -> AgentRow | None:
    """Lock the lead's row before its sub-agent's; None for an agent that has none.

    Else two that end at once would each see the other at work, and the lead would wait for ever.
    """
    if agent.parent_id is None:
        return None
    wanted = select(AgentRow).where(AgentRow.id == agent.parent_id).with_for_update()
    return session.scalars(wanted, execution_options={"populate_existing": True}).one()


def rejoin(session: Session, lead: AgentRow | None) -> WakeUp | None:
    """Let a lead, whose row is locked, go on if it waits and no sub-agent of it is at work."""
    if lead is None or lead.status != AgentStatus.WAITING_CHILDREN or _is_any_at_work(session, lead.id):
        return None
    now = database_now(session)
    lead.status, lead.turn_no, lead.not_before = AgentStatus.READY, lead.turn_no + 1, now
    session.flush()
    return outbox.owe(session, lead, now)


def rejoin_all(session: Session, *, limit: int = 200) -> list[WakeUp]:
    """Let every lead go on whose sub-agents have all ended, or are late: what no commit of theirs did."""
    lead, child = AgentRow, aliased(AgentRow)
    awaited = child.deadline_at > database_now(session) - LATE
    at_work = exists().where(child.parent_id == lead.id, child.finished_at.is_(None), awaited)
    waiting = select(lead).where(lead.status == AgentStatus.WAITING_CHILDREN, ~at_work).limit(limit)
    rows = session.scalars(waiting.with_for_update(skip_locked=True)).all()
    return [wake_up for row in rows if (wake_up := rejoin(session, row))]


def dismiss(session: Session, parent_id: str) -> None:
    """Ask the sub-agents that are still at work to end: their lead has."""
    row = AgentRow
    at_work = (row.parent_id == parent_id, row.finished_at.is_(None), row.cancel_requested_at.is_(None))
    session.execute(update(row).where(*at_work).values(cancel_requested_at=database_now(session)))


def _is_any_at_work(session: Session, lead_id: str) -> bool:
    row = AgentRow
    awaited = row.deadline_at > database_now(session) - LATE
    at_work = select(row.id).where(row.parent_id == lead_id, row.finished_at.is_(None), awaited)
    return session.scalar(at_work.limit(1)) is not None


def _row(lead: AgentRow, child: Child, agent_no: int) -> AgentRow:
    return AgentRow(
        id=new_id("agt"),
        investigation_id=lead.investigation_id,
        parent_id=lead.id,
        agent_no=agent_no,
        kind=AgentKind.SUB,
        role=child.brief.assignment.role,
        turn_no=1,
        nonce=new_id("n")[-12:],
        route=child.route.model_dump(mode="json"),
        judge_route=lead.judge_route,
        attempts=0,
        losses=0,
        wave_no=lead.wave_no,
        brief=child.brief.model_dump(mode="json"),
    )
