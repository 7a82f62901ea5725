"""Resolves: an alert says that it is over; when all of an incident's alerts do, the incident is closed."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import and_, or_, select, update
from sqlalchemy.orm import Session

from worker.domain.incident import IncidentEvent
from worker.domain.states import InvestigationStatus
from worker.storage import interventions
from worker.storage.database import database_now
from worker.storage.folding import CLOSED, OPEN
from worker.storage.tables import AlertRow, IncidentRow, InvestigationRow


class Resolution(StrEnum):
    """What a message that something is over led to."""

    CLOSED = "closed"  # its incident is over
    NOTED = "noted"  # others of the incident's alerts still fire, or this one has fired again since
    UNMATCHED = "unmatched"  # nothing open is known of it: kept, and nothing is opened


class OnResolve(StrEnum):
    CONTINUE = "continue"
    FINISH = "finish"
    CANCEL = "cancel"


@dataclass(frozen=True)
class Open:
    """An incident that is open, locked, with the newest alert of one fingerprint in it."""

    incident: IncidentRow
    alert: IncidentEvent


def find_open(session: Session, event: IncidentEvent, fingerprint: str) -> Open | None:
    """Return the open incident that an alert of this fingerprint is part of, itself still open; None if there is none.

    Rows from before alerts had fingerprints count as the alert that opened their incident.
    """
    alert, incident = AlertRow, IncidentRow
    is_same = or_(
        alert.fingerprint == fingerprint, and_(alert.fingerprint.is_(None), incident.fingerprint == fingerprint)
    )
    wanted = (
        select(alert)
        .join(incident, incident.id == alert.incident_id)
        .where(alert.user_path == event.user_path, incident.status == OPEN, alert.resolved_at.is_(None), is_same)
        .order_by(alert.received_at.desc(), alert.alert_no.desc())
        .limit(1)
    )
    found = session.scalar(wanted)
    if found is None:
        return None
    still = select(incident).where(incident.id == found.incident_id, incident.status == OPEN)
    locked = session.scalar(still.with_for_update(key_share=True), execution_options={"populate_existing": True})
    return Open(locked, IncidentEvent.stored(found.event)) if locked else None


def is_resolve(event: IncidentEvent, known: Open | None, now: datetime) -> bool:
    """Say whether an event only tells an end: it says so, or it has ended and was reported as going on before.

    An event that has ended and was not reported before is a report about the past: it is investigated.
    """
    if event.resolved:
        return True
    has_ended = event.ended_at is not None and event.ended_at <= now
    return has_ended and known is not None and known.alert.ended_at is None


def resolve(
    session: Session, event: IncidentEvent, fingerprint: str, *, known: Open, on_resolve: OnResolve
) -> Resolution:
    """Mark the alert as over; close its incident if it was the last that was not."""
    ended_at = event.ended_at or database_now(session)
    if known.alert.started_at is not None and known.alert.started_at > ended_at:
        return Resolution.NOTED  # it tells the end of an earlier firing
    incident, alert = known.incident, AlertRow
    is_same = alert.fingerprint == fingerprint
    if incident.fingerprint == fingerprint:
        is_same = or_(is_same, alert.fingerprint.is_(None))
    own = (alert.incident_id == incident.id, alert.resolved_at.is_(None))
    session.execute(update(alert).where(*own, is_same).values(resolved_at=ended_at))
    if session.scalar(select(alert.id).where(*own).limit(1)) is not None:
        return Resolution.NOTED
    incident.status, incident.resolved_at = CLOSED, database_now(session)
    session.flush()
    _act(session, incident.id, on_resolve)
    return Resolution.CLOSED


def _act(session: Session, incident_id: str, on_resolve: OnResolve) -> None:
    """End what is to end. What is to finish sees at its next turn that its incident is over."""
    row = InvestigationRow
    live = select(row.id, row.status).where(row.incident_id == incident_id, row.finished_at.is_(None))
    for investigation_id, status in session.execute(live).all():
        has_nothing_to_report = on_resolve is OnResolve.FINISH and status == InvestigationStatus.QUEUED
        if on_resolve is OnResolve.CANCEL or has_nothing_to_report:
            interventions.end(session, investigation_id)
