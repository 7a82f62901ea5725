"""Resuming: a new attempt goes on from the last finished turns of the one before, of sub-agents too."""

from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from worker.domain.ids import new_id
from worker.domain.states import STEPS, AgentKind, AgentStatus, step_of
from worker.storage import children, endings, outbox, transcripts
from worker.storage.database import database_now
from worker.storage.outbox import WakeUp
from worker.storage.tables import AgentRow, FindingRow, InvestigationRow

CARRIED = ("agent_no", "kind", "role", "turn_no", "nonce", "partial", "wave_no", "brief", "note", "verification")


def resume(session: Session, agent: AgentRow, investigation: InvestigationRow) -> list[WakeUp]:
    """Give a new agent what its predecessor has done: rows are copied, the old ones stay.

    A lead's sub-agents come along: those with a finding as they are, the others go on from where they stood, or end
    where the lead has gone on without them.
    """
    row = AgentRow
    of_before = select(row).where(row.investigation_id == investigation.retry_of, row.parent_id.is_(None))
    earlier = session.scalar(of_before)
    if earlier is None:
        return []
    _keep_orchestrated(session, agent, earlier, investigation)
    _carry(session, agent, earlier)
    agent.status = earlier.resume_status or AgentStatus.READY
    session.flush()
    before = select(row).where(row.parent_id == earlier.id).order_by(row.agent_no).with_for_update()  # some still run
    resumed = [_resume_child(session, agent, child) for child in session.scalars(before).all()]
    return [wake_up for wake_up in resumed if wake_up]


def _keep_orchestrated(session: Session, agent: AgentRow, earlier: AgentRow, investigation: InvestigationRow) -> None:
    """Let what began with sub-agents end so, on its own routes where none are configured any more.

    A caller's account is asked by all, as it is now: the former one may be gone.
    """
    if investigation.routes is None:
        investigation.routes = session.get_one(InvestigationRow, earlier.investigation_id).routes
        if investigation.routes is not None and _is_callers(agent):
            own = {"orchestrator": agent.route, "subagent": agent.route, "roles": {}}
            investigation.routes = {**investigation.routes, **own}
    routes = investigation.routes
    if routes is not None:
        agent.route = routes["orchestrator" if earlier.kind == AgentKind.LEAD else "subagent"]


def _is_callers(agent: AgentRow) -> bool:
    return agent.route.get("billed_to") == "caller"


def _carry(session: Session, agent: AgentRow, earlier: AgentRow) -> None:
    for name in CARRIED:
        setattr(agent, name, getattr(earlier, name))
    session.flush()
    transcripts.copy(session, earlier.id, agent.id)


def _resume_child(session: Session, lead: AgentRow, earlier: AgentRow) -> WakeUp | None:
    found, now = session.get(FindingRow, earlier.id), database_now(session)
    left = (lead.deadline_at - now) * children.SHARE_OF_TIME
    max_seconds = timedelta(seconds=(earlier.brief or {}).get("max_seconds", 0))
    is_awaited = lead.status == AgentStatus.WAITING_CHILDREN and lead.wave_no == earlier.wave_no
    child = AgentRow(
        id=new_id("agt"),
        investigation_id=lead.investigation_id,
        parent_id=lead.id,
        status=earlier.status if found else _stood_at(earlier),
        route=lead.route if _is_callers(lead) else earlier.route,
        judge_route=lead.judge_route,
        not_before=now,
        deadline_at=now + min(left, max_seconds),
        cancel_requested_at=None if found or is_awaited else now,
        attempts=0,
        losses=0,
        created_at=now,
        finished_at=now if found else None,
    )
    for name in ("agent_no", "kind", "role", "turn_no", "nonce"):
        setattr(child, name, getattr(earlier, name))
    session.add(child)
    _carry(session, child, earlier)
    if found is None:
        return outbox.owe(session, child, now)
    values = {"investigation_id": lead.investigation_id, "body": found.body, "reason": found.reason}
    is_late = found.is_late and not is_awaited  # what came with the end of an attempt is in time for the next
    session.add(FindingRow(agent_id=child.id, is_late=is_late, created_at=now, **values))
    session.flush()
    endings.note(session, child)
    return None


def _stood_at(earlier: AgentRow) -> AgentStatus:
    """Return where a sub-agent goes on from that was ended before its end, or is still at work."""
    step = step_of(AgentStatus(earlier.status))
    return STEPS[step].waiting if step else AgentStatus(earlier.resume_status or AgentStatus.READY)
