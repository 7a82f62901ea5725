"""Folding: which open incident an alert joins, and why; one told of again, or one nearby in time and topology."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session

from worker.domain.incident import IncidentEvent
from worker.domain.relations import Relations, fold_name
from worker.domain.states import InvestigationStatus
from worker.storage.database import database_now
from worker.storage.tables import IncidentRow, InvestigationRow

OPEN, CLOSED = "open", "closed"
SAME_FINGERPRINT = "same fingerprint"
MAX_CANDIDATES = 20
LISTENING = (InvestigationStatus.QUEUED, InvestigationStatus.RUNNING)
"""Only these still hear of an alert that joins."""


@dataclass(frozen=True)
class Folding:
    """How alerts fold. `related_window` of 0: only the same fingerprint does.

    `case_labels` name what an incident is looked into with: alerts that differ in one are never related.
    `on_resolve` is what an investigation does when its incident is over.
    """

    window: timedelta
    related_window: timedelta = timedelta(0)
    relations: Relations = field(default_factory=Relations)
    case_labels: tuple[str, ...] = ()
    on_resolve: str = "continue"


@dataclass(frozen=True)
class Joinable:
    """An incident that an alert joins, locked, with the investigation that hears of it."""

    incident: IncidentRow
    investigation: InvestigationRow
    reason: str


def find_same(session: Session, alerts: Sequence[tuple[str, str]], *, folding: Folding) -> dict[str, Joinable]:
    """Return the open incidents of these (user path, fingerprint) by fingerprint, each with its last attempt.

    They are locked in the order of their ids.
    """
    if not alerts:
        return {}
    row, since = IncidentRow, database_now(session) - folding.window
    paths, fingerprints = (sorted({alert[i] for alert in alerts}) for i in (0, 1))
    told = (row.user_path.in_(paths), row.fingerprint.in_(fingerprints))  # a fingerprint holds its path
    wanted = select(row).where(*told, row.status == OPEN, row.last_seen_at >= since)
    locked = wanted.order_by(row.id).with_for_update(key_share=True)
    incidents = session.scalars(locked, execution_options={"populate_existing": True}).all()
    latest = _latest_investigations(session, [i.id for i in incidents])
    return {i.fingerprint: Joinable(i, latest[i.id], SAME_FINGERPRINT) for i in incidents}


def _latest_investigations(session: Session, incident_ids: Sequence[str]) -> dict[str, InvestigationRow]:
    if not incident_ids:
        return {}
    row = InvestigationRow
    attempts = select(row).where(row.incident_id.in_(incident_ids)).order_by(row.id)
    found = session.scalars(attempts, execution_options={"populate_existing": True})
    return {attempt.incident_id: attempt for attempt in found}


def find_related(session: Session, event: IncidentEvent, *, folding: Folding) -> Joinable | None:
    """Return the incident nearest to the alert in topology, then in time, if its investigation still listens."""
    if event.service is None or event.started_at is None or not folding.related_window:
        return None
    names = folding.relations.of(event.service)
    for incident_id, reason in _ranked(session, event, names, folding):
        found = _lock(session, incident_id)
        if found is not None:
            return Joinable(*found, reason)
    return None


def _ranked(
    session: Session, event: IncidentEvent, names: Mapping[str, str], folding: Folding
) -> Iterator[tuple[str, str]]:
    own, began = fold_name(event.service or ""), event.started_at or database_now(session)
    candidates = [
        (fold_name(row.service or ""), _gap_s(row, began), row.id)
        for row in session.scalars(_nearby(event.user_path, names, began, folding))
        if row.last_seen_at >= database_now(session) - folding.window
        and _is_alike(event, row.event, folding.case_labels)
    ]
    for name, gap_s, incident_id in sorted(candidates, key=lambda c: (c[0] != own, abs(c[1]), c[2])):
        yield incident_id, f"{names[name]}, {_say_gap(gap_s)}"


def _nearby(user_path: str, names: Collection[str], began: datetime, folding: Folding) -> Select[IncidentRow]:
    """Return what finds incidents that began, or were last told of, close to when the alert began."""
    row, close = IncidentRow, folding.related_window
    listens = select(InvestigationRow.id).where(
        InvestigationRow.incident_id == row.id, InvestigationRow.status.in_(LISTENING)
    )
    is_near = or_(*(moment.between(began - close, began + close) for moment in (row.started_at, row.last_seen_at)))
    is_related = func.lower(func.trim(row.service)).in_(sorted(names))
    wanted = select(row).where(row.user_path == user_path, row.status == OPEN, is_related, is_near, listens.exists())
    return wanted.order_by(row.last_seen_at.desc()).limit(MAX_CANDIDATES)


def _gap_s(row: IncidentRow, began: datetime) -> float:
    """Return how long after the incident the alert began, by whichever of its two moments is nearer."""
    gaps = [(began - moment).total_seconds() for moment in (row.started_at, row.last_seen_at)]
    return min(gaps, key=abs)


def _say_gap(gap_s: float) -> str:
    return f"{abs(gap_s):.0f} s {'before' if gap_s < 0 else 'after'}"


def _is_alike(event: IncidentEvent, opener: Mapping[str, object], case_labels: Sequence[str]) -> bool:
    """Say whether both are investigated alike: no alert may reach a model, an account or data that it did not name."""
    other = IncidentEvent.stored(opener)
    asked = (event.local_only, event.model, event.llm) == (other.local_only, other.model, other.llm)
    return asked and all(event.labels.get(name) == other.labels.get(name) for name in case_labels)


def _lock(session: Session, incident_id: str) -> tuple[IncidentRow, InvestigationRow] | None:
    """Lock both rows as they are now; None if the incident was closed or its investigation has ended meanwhile."""
    row, attempt = IncidentRow, InvestigationRow
    wanted = (
        select(row, attempt)
        .join(attempt, attempt.incident_id == row.id)
        .where(row.id == incident_id, row.status == OPEN, attempt.status.in_(LISTENING))
    )
    locked = wanted.order_by(attempt.id.desc()).limit(1).with_for_update(key_share=True)
    found = session.execute(locked, execution_options={"populate_existing": True}).first()
    return (found[0], found[1]) if found else None
