"""Openings: an investigation that the day has no room for goes back to the queue before it has cost anything."""

from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.orm import Session

from worker.domain.states import AgentStatus, InvestigationStatus
from worker.domain.transcript import Amount, Claim
from worker.storage import agents, endings, outbox, usage
from worker.storage.database import database_now
from worker.storage.tables import InvestigationRow

OPENING = "opening"
"""Kept in place of the limits while it is queued: what its first call takes, so that it is not begun in vain again."""


def queue_again(session: Session, claim: Claim, opening: Amount) -> None:
    """Undo the admission: the agent, which has said nothing, is gone. A cancelled one ends instead."""
    row = agents.hold(session, claim)
    if row.cancel_requested_at is not None:
        agents.put_back(session, claim, delay_s=0)
        return
    usage.release(session, row.id)
    outbox.forget(session, row.id)
    investigation = session.get_one(InvestigationRow, row.investigation_id, with_for_update=True)
    row.status, row.finished_at = AgentStatus.CANCELLED, database_now(session)
    endings.note(session, row)
    session.delete(row)
    if investigation.status == InvestigationStatus.RUNNING:
        investigation.status = InvestigationStatus.QUEUED
        investigation.admitted_at = investigation.deadline_at = None
        investigation.limits = {OPENING: [opening.tokens, opening.cost_usd]}


def opening_of(row: InvestigationRow) -> Amount | None:
    """Return what the first call of a queued investigation takes, where that was found out."""
    known = (row.limits or {}).get(OPENING)
    return Amount(known[0], known[1]) if known else None


def read_all(session: Session, ids: Collection[str]) -> dict[str, Amount]:
    row = InvestigationRow
    rows = session.scalars(select(row).where(row.id.in_(ids), row.status == InvestigationStatus.QUEUED))
    return {r.id: opening for r in rows if (opening := opening_of(r))}
