"""What a person does to an investigation: end it, have it tried again, have the incident looked at anew."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from worker.domain.states import InvestigationStatus
from worker.errors import NotFoundError, UserError
from worker.storage import agents, investigations
from worker.storage.tables import AgentRow, IncidentRow, InvestigationRow

RETRIED = (InvestigationStatus.FAILED, InvestigationStatus.CANCELLED)


def cancel(session: Session, investigation_id: str, *, user_path: str = "/") -> None:
    """End an investigation: after this commit no new call of it starts. Raises `UserError` if it has ended."""
    row = investigations.get(session, investigation_id, user_path=user_path)
    if InvestigationStatus(row.status).is_final:
        raise UserError(f"investigation {investigation_id} is {row.status} already: there is nothing to cancel")
    end(session, investigation_id)


def cancel_agent(session: Session, investigation_id: str, *, agent_no: int, user_path: str = "/") -> str:
    """End one sub-agent and return its status: not yet `cancelled` while a call of it is in flight.

    Raises `UserError` if it has ended, `NotFoundError` if there is none of this number.
    """
    investigations.get(session, investigation_id, user_path=user_path)
    row = AgentRow
    found = session.scalar(select(row).where(row.investigation_id == investigation_id, row.agent_no == agent_no))
    if found is None or found.parent_id is None:
        raise NotFoundError(f"investigation {investigation_id} has no sub-agent {agent_no}; `rca follow` lists them")
    if found.finished_at is not None:
        raise UserError(f"sub-agent {agent_no} of {investigation_id} is {found.status} already")
    agents.cancel_agent(session, found.id)
    return found.status


def end(session: Session, investigation_id: str) -> None:
    """Ask all agents to end, those too that an admission adds while this waits for the investigation's row."""
    agents.cancel_all(session, investigation_id)
    investigations.cancel(session, investigation_id)
    agents.cancel_all(session, investigation_id)


def requeue(session: Session, investigation_id: str, *, user_path: str = "/", llm_handle: str | None = None) -> str:
    """Queue a new attempt from the last finished turn and return its id; the old one stays as it is.

    `llm_handle` is that of a caller's account to be asked from now on.

    Raises `UserError` for one that is not to be retried, or whose incident is being investigated.
    """
    old = investigations.get(session, investigation_id, user_path=user_path)
    if old.status not in RETRIED:
        raise UserError(f"investigation {investigation_id} is {old.status}: only failed or cancelled ones are retried")
    _require_nobody_at_work(session, old, verb="retried")
    return investigations.reopen(session, old, llm_handle=llm_handle)


def rerun(session: Session, investigation_id: str, *, user_path: str = "/", llm_handle: str | None = None) -> str:
    """Queue an investigation of the same incident from scratch and return its id; the old ones stay as they are.

    `llm_handle` is that of a caller's account to be asked in it.

    Raises `UserError` for one that has not ended, or whose incident is being investigated.
    """
    old = investigations.get(session, investigation_id, user_path=user_path)
    if not InvestigationStatus(old.status).is_final:
        raise UserError(f"investigation {investigation_id} is {old.status}: wait for its end, or cancel it first")
    _require_nobody_at_work(session, old, verb="run again")
    return investigations.reopen(session, old, from_scratch=True, llm_handle=llm_handle)


def _require_nobody_at_work(session: Session, old: InvestigationRow, *, verb: str) -> None:
    """Lock the incident, so that two who ask at once do not both get an investigation of it."""
    if session.get(IncidentRow, old.incident_id, with_for_update=True, populate_existing=True) is None:
        raise NotFoundError(f"investigation {old.id} has just been purged")
    row = InvestigationRow
    live = select(row.id).where(row.incident_id == old.incident_id, row.finished_at.is_(None)).limit(1)
    if other := session.scalar(live):
        raise UserError(f"investigation {old.id} is {verb} already, as {other}: wait for it or cancel it")
