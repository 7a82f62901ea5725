"""Incidents: an alert either joins an open one or opens a new one; the same alert is taken once."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from worker.domain.ids import new_id
from worker.domain.incident import IncidentEvent
from worker.domain.states import InvestigationStatus
from worker.storage import investigations
from worker.storage.database import database_now, serialise
from worker.storage.tables import AlertRow, IncidentRow, InvestigationRow

OPEN, CLOSED = "open", "closed"


@dataclass(frozen=True)
class Arrival:
    """An event on its way in: what it is, which alert it is, by which door it came."""

    event: IncidentEvent
    fingerprint: str
    idempotency_key: str
    via: str


@dataclass(frozen=True)
class Accepted:
    """What became of an event. `is_new`: it was not seen before; `is_folded`: it joined an open incident."""

    incident_id: str
    investigation_id: str
    is_new: bool
    is_folded: bool


def accept(session: Session, arrival: Arrival, *, fold_window: timedelta) -> Accepted:
    """Take the event in, exactly once per idempotency key and user path."""
    path = arrival.event.user_path
    serialise(session, f"intake:{path}:{arrival.fingerprint}")
    serialise(session, f"key:{path}:{arrival.idempotency_key}")
    known = session.scalar(
        select(AlertRow).where(AlertRow.user_path == path, AlertRow.idempotency_key == arrival.idempotency_key)
    )
    if known is not None:
        return Accepted(known.incident_id, known.investigation_id, is_new=False, is_folded=False)
    incident = _open_incident(session, arrival, fold_window)
    if incident is None:
        return _add(session, arrival, *_start(session, arrival), is_folded=False)
    incident.alert_count += 1
    incident.last_seen_at = database_now(session)
    return _join(session, arrival, incident)


def _open_incident(session: Session, arrival: Arrival, fold_window: timedelta) -> IncidentRow | None:
    row, since = IncidentRow, database_now(session) - fold_window
    same = (row.user_path == arrival.event.user_path, row.fingerprint == arrival.fingerprint)
    wanted = select(row).where(*same, row.status == OPEN, row.last_seen_at >= since)
    return session.scalar(wanted.order_by(row.id.desc()).limit(1).with_for_update())


def _start(session: Session, arrival: Arrival) -> tuple[IncidentRow, InvestigationRow]:
    event, now = arrival.event, database_now(session)
    incident = IncidentRow(
        id=new_id("inc"),
        user_path=event.user_path,
        fingerprint=arrival.fingerprint,
        status=OPEN,
        title=event.title,
        severity=event.severity,
        service=event.service,
        started_at=event.started_at or now,
        alert_count=1,
        first_seen_at=now,
        last_seen_at=now,
        event=event.model_dump(mode="json"),
    )
    session.add(incident)
    session.flush()
    return incident, investigations.open_investigation(session, incident, severity_rank=event.severity.rank)


def _join(session: Session, arrival: Arrival, incident: IncidentRow) -> Accepted:
    """Fold the alert into the incident; if its last investigation failed, the alert is reason to try again."""
    latest = _latest_investigation(session, incident)
    if latest.status != InvestigationStatus.FAILED:
        return _add(session, arrival, incident, latest, is_folded=True)
    rank = arrival.event.severity.rank
    again = investigations.open_investigation(session, incident, severity_rank=rank)
    return _add(session, arrival, incident, again, is_folded=False)


def _latest_investigation(session: Session, incident: IncidentRow) -> InvestigationRow:
    of_incident = select(InvestigationRow).where(InvestigationRow.incident_id == incident.id)
    return session.scalars(of_incident.order_by(InvestigationRow.id.desc()).limit(1)).one()


def _add(
    session: Session, arrival: Arrival, incident: IncidentRow, investigation: InvestigationRow, *, is_folded: bool
) -> Accepted:
    session.add(
        AlertRow(
            id=new_id("alr"),
            incident_id=incident.id,
            investigation_id=investigation.id,
            user_path=arrival.event.user_path,
            idempotency_key=arrival.idempotency_key,
            via=arrival.via,
            received_at=database_now(session),
            event=arrival.event.model_dump(mode="json"),
        )
    )
    return Accepted(incident.id, investigation.id, is_new=True, is_folded=is_folded)
