"""Findings: one for every sub-agent that has ended, whoever made it."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from worker.domain.conversation import Route
from worker.domain.orchestration import Brief, Contribution, Finding, gathered
from worker.domain.states import AgentKind, AgentStatus, ToolCallStatus
from worker.storage.database import database_now
from worker.storage.tables import AgentRow, FindingRow, ToolCallRow, TurnRow


def add(session: Session, child: AgentRow, finding: Finding, *, reason: str | None = None) -> None:
    """Store what a sub-agent found, over what code wrote for it. It is late if the lead waits for it no more."""
    session.merge(
        FindingRow(
            agent_id=child.id,
            investigation_id=child.investigation_id,
            body=finding.model_dump(mode="json"),
            reason=reason,
            is_late=not _is_awaited(session, child),
            created_at=database_now(session),
        )
    )
    session.flush()


def add_by_code(session: Session, child: AgentRow, reason: str) -> None:
    """Write the finding of a sub-agent that cannot; where the whole investigation ends, nobody needs one."""
    lead = AgentRow
    over = select(lead.id).where(lead.id == child.parent_id)
    over = over.where(lead.cancel_requested_at.is_not(None) | lead.finished_at.is_not(None))
    if session.scalar(over) is None and session.get(FindingRow, child.id) is None:
        add(session, child, gathered(reason, _gathered_ids(session, child.id)), reason=reason)


def of_investigation(session: Session, investigation_id: str) -> tuple[Contribution, ...]:
    """Return what every sub-agent contributed so far, in their order."""
    turns = select(func.count()).where(TurnRow.agent_id == AgentRow.id).scalar_subquery()
    wanted = (
        select(AgentRow, FindingRow, turns)
        .outerjoin(FindingRow, FindingRow.agent_id == AgentRow.id)
        .where(AgentRow.investigation_id == investigation_id, AgentRow.kind == AgentKind.SUB)
        .order_by(AgentRow.agent_no)
    )
    return tuple(_contribution(*row) for row in session.execute(wanted))


def _contribution(agent: AgentRow, found: FindingRow | None, turns: int) -> Contribution:
    return Contribution(
        agent_id=agent.id,
        agent_no=agent.agent_no,
        wave_no=agent.wave_no or 1,
        status=agent.status,
        model=Route.model_validate(agent.route).label,
        turns=turns,
        assignment=Brief.model_validate(agent.brief).assignment,
        finding=Finding.model_validate(found.body) if found else None,
        reason=found.reason if found else None,
        is_late=found.is_late if found else False,
    )


def _is_awaited(session: Session, child: AgentRow) -> bool:
    lead = AgentRow
    waiting = (lead.id == child.parent_id, lead.status == AgentStatus.WAITING_CHILDREN, lead.wave_no == child.wave_no)
    return session.scalar(select(lead.id).where(*waiting)) is not None


def _gathered_ids(session: Session, agent_id: str) -> list[str]:
    call = ToolCallRow
    own = select(call).where(call.agent_id == agent_id, call.status == ToolCallStatus.SUCCEEDED)
    rows = session.scalars(own.order_by(call.turn_no, call.seq)).all()
    return list(dict.fromkeys(row.repeats or row.evidence_id for row in rows))
