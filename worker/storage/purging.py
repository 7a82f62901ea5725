"""Retention: what has ended long ago is deleted whole, one investigation in a transaction, or not at all."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Select, Table, and_, delete, exists, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from worker.storage.tables import AgentRow, AlertRow, Base, IncidentRow, InvestigationRow

OF_AGENTS = ("outbox", "tool_calls", "turns", "findings", "shared_calls")
OF_INVESTIGATIONS = ("artifacts", "reports", "deliveries", "llm_usage")
OTHERS = ("agents", "investigations", "alerts", "incidents")


@dataclass(frozen=True)
class Purged:
    """How many rows went, by table."""

    rows: dict[str, int]

    def __add__(self, other: "Purged") -> "Purged":
        names = dict.fromkeys((*self.rows, *other.rows))
        return Purged({name: self.rows.get(name, 0) + other.rows.get(name, 0) for name in names})


def find_expired(session: Session, before: datetime, *, limit: int) -> list[str]:
    """Return investigations that ended before then and may go, the oldest first.

    One that another goes on from stays until that one goes: its results are kept with it. The newest of an incident
    stays while alerts still come, for they are told which investigation they belong to.
    """
    row = InvestigationRow
    return list(session.scalars(_may_go(before).order_by(row.finished_at, row.id).limit(limit)))


def count_expired(session: Session, before: datetime) -> int:
    """Return how many investigations would go in the end: with a retry goes what it goes on from, if that may."""
    row = InvestigationRow
    old = set(
        session.scalars(select(row.id).join(IncidentRow, IncidentRow.id == row.incident_id).where(_is_old(before)))
    )
    resumes = session.execute(select(row.id, row.retry_of).where(row.retry_of.is_not(None)).order_by(row.id.desc()))
    for later, earlier in resumes.all():  # the newest first, so that what holds is known before what it holds
        if later not in old:
            old.discard(earlier)
    return len(old)


def _is_old(before: datetime) -> ColumnElement[bool]:
    """Ended before then, and not the newest of an incident that alerts still come for."""
    row, later = InvestigationRow, aliased(InvestigationRow)
    is_followed = exists().where(later.incident_id == row.incident_id, later.id > row.id)
    return and_(row.finished_at < before, or_(IncidentRow.last_seen_at < before, is_followed))


def _may_go(before: datetime) -> Select[str]:
    later = aliased(InvestigationRow)
    row = InvestigationRow
    wanted = select(row.id).join(IncidentRow, IncidentRow.id == row.incident_id)
    return wanted.where(_is_old(before), ~exists().where(later.retry_of == row.id))


def purge(session: Session, investigation_id: str, before: datetime) -> Purged | None:
    """Delete one investigation with everything of it, and its incident with its last one; None if it may not go now.

    The incident is locked first, so that no alert, retry or rerun comes in between.
    """
    row = InvestigationRow
    incident_id = session.scalar(select(row.incident_id).where(row.id == investigation_id))
    if incident_id is None:
        return None
    session.scalars(select(IncidentRow).where(IncidentRow.id == incident_id).with_for_update()).one_or_none()
    if session.scalar(_may_go(before).where(row.id == investigation_id)) is None:
        return None
    counts = _delete_all_of(session, investigation_id)
    return Purged(counts | _settle_incident(session, incident_id, investigation_id))


def purge_unmatched(session: Session, before: datetime, *, limit: int) -> Purged:
    """Delete incidents that were never investigated: of ends nobody had reported the beginning of."""
    incident = IncidentRow
    has_any = exists().where(InvestigationRow.incident_id == incident.id)
    wanted = select(incident.id).where(incident.last_seen_at < before, ~has_any).limit(limit)
    ids = list(session.scalars(wanted.with_for_update(skip_locked=True)))
    return Purged(_delete_incidents(session, ids))


def _delete_all_of(session: Session, investigation_id: str) -> dict[str, int]:
    """Delete what hangs on an investigation, then itself: children before parents, as foreign keys want."""
    tables = Base.metadata.tables
    agents = select(AgentRow.id).where(AgentRow.investigation_id == investigation_id)
    counts = {name: _delete(session, tables[name], tables[name].c.agent_id.in_(agents)) for name in OF_AGENTS}
    for name in OF_INVESTIGATIONS:
        counts[name] = _delete(session, tables[name], tables[name].c.investigation_id == investigation_id)
    own = tables["agents"].c.investigation_id == investigation_id
    children = _delete(session, tables["agents"], and_(own, tables["agents"].c.parent_id.is_not(None)))
    counts["agents"] = children + _delete(session, tables["agents"], own)
    counts["investigations"] = _delete(session, tables["investigations"], InvestigationRow.id == investigation_id)
    return counts


def _settle_incident(session: Session, incident_id: str, investigation_id: str) -> dict[str, int]:
    """Delete the incident if that was its last investigation, else give its alerts to the newest that is left."""
    row, alert = InvestigationRow, AlertRow
    left = session.scalar(select(func.max(row.id)).where(row.incident_id == incident_id))
    if left is None:
        return _delete_incidents(session, [incident_id])
    told = (alert.incident_id == incident_id, alert.investigation_id == investigation_id)
    session.execute(update(alert).where(*told).values(investigation_id=left))
    return {"alerts": 0, "incidents": 0}


def _delete_incidents(session: Session, ids: list[str]) -> dict[str, int]:
    tables = Base.metadata.tables
    alerts = _delete(session, tables["alerts"], AlertRow.incident_id.in_(ids))
    return {"alerts": alerts, "incidents": _delete(session, tables["incidents"], IncidentRow.id.in_(ids))}


def _delete(session: Session, table: Table, which: ColumnElement[bool]) -> int:
    result = session.execute(delete(table).where(which))
    return int(result.rowcount)  # type: ignore[attr-defined]  # a DELETE's result is a CursorResult
