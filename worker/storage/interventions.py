"""What a person does to an investigation: end it, or have it tried again."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from worker.domain.states import InvestigationStatus
from worker.errors import UserError
from worker.storage import agents, investigations
from worker.storage.database import serialise
from worker.storage.tables import InvestigationRow

RETRIED = (InvestigationStatus.FAILED, InvestigationStatus.CANCELLED)


def cancel(session: Session, investigation_id: str, *, user_path: str = "/") -> None:
    """End an investigation: after this commit no new call of it starts. Raises `UserError` if it has ended."""
    row = investigations.get(session, investigation_id, user_path=user_path)
    if InvestigationStatus(row.status).is_final:
        raise UserError(f"investigation {investigation_id} is {row.status} already: there is nothing to cancel")
    agents.cancel_all(session, investigation_id)
    investigations.cancel(session, investigation_id)


def requeue(session: Session, investigation_id: str, *, user_path: str = "/") -> str:
    """Queue a new attempt from the last finished turn and return its id; the old one stays as it is.

    Raises `UserError` for one that is not to be retried, or whose retry is still going on.
    """
    serialise(session, f"retry:{investigation_id}")
    old = investigations.get(session, investigation_id, user_path=user_path)
    if old.status not in RETRIED:
        raise UserError(f"investigation {investigation_id} is {old.status}: only failed or cancelled ones are retried")
    again = _live_retry(session, investigation_id)
    if again is not None:
        raise UserError(f"investigation {investigation_id} is retried already, as {again}: wait for it or cancel it")
    return investigations.reopen(session, old)


def _live_retry(session: Session, investigation_id: str) -> str | None:
    row = InvestigationRow
    live = select(row.id).where(row.retry_of == investigation_id, row.finished_at.is_(None))
    return session.scalar(live.limit(1))
