"""Incidents: an alert either joins an open one or opens a new one; the same alert is taken once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from zlib import crc32

from sqlalchemy import select
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.orm import Session

from worker.domain.ids import new_id
from worker.domain.incident import IncidentEvent, Severity
from worker.domain.states import InvestigationStatus
from worker.errors import EventError, KeyTakenError
from worker.storage import folding as folds
from worker.storage import investigations, resolving
from worker.storage.database import database_now, serialise
from worker.storage.folding import Folding, Joinable
from worker.storage.resolving import Resolution
from worker.storage.tables import AlertRow, IncidentRow, InvestigationRow


@dataclass(frozen=True)
class Arrival:
    """An event on its way in: what it is, which alert it is, by which door it came."""

    event: IncidentEvent
    fingerprint: str
    idempotency_key: str
    via: str

    @property
    def key(self) -> tuple[str, str]:
        """What is unique: the idempotency key below its user path."""
        return self.event.user_path, self.idempotency_key


@dataclass(frozen=True)
class Accepted:
    """What became of an event.

    `is_new`: it was not seen before; `is_folded`: it joined an open incident; `status`: its investigation's.
    `resolution`: what a message that something is over led to, None for any other. One about nothing that is known
    has no investigation: its id and status are empty.
    """

    incident_id: str
    investigation_id: str
    is_new: bool
    is_folded: bool
    status: str
    resolution: Resolution | None = None

    @property
    def opened(self) -> bool:
        """Whether an investigation waits that did not before."""
        return self.is_new and not self.is_folded and self.resolution is None

    @property
    def outcome(self) -> str:
        """One word for answers, metrics and logs."""
        if not self.is_new:
            return "repeated"
        if self.resolution is not None:
            return "unmatched" if self.resolution is Resolution.UNMATCHED else "resolved"
        return "folded" if self.is_folded else "accepted"


def accept_many(session: Session, arrivals: Sequence[Arrival], *, folding: Folding) -> list[Accepted]:
    """Take events in, in their order, each exactly once per idempotency key and user path.

    Raises `KeyTakenError` where another transaction has just taken one of the keys, `EventError` where the database
    cannot hold one of them; then nothing is taken.
    """
    try:
        accepted = _accept_all(session, arrivals, folding)
        session.flush()
    except IntegrityError as error:
        raise KeyTakenError("another transaction took the same event at the same moment") from error
    except DataError as error:
        raise EventError("the database cannot hold it") from error
    return accepted


def _accept_all(session: Session, arrivals: Sequence[Arrival], folding: Folding) -> list[Accepted]:
    """Look up in bulk, then decide one by one.

    Locks are taken path by path, then row by row in one order, so that two batches cannot wait for each other. One
    event alone that joins its incident needs only that row.
    """
    is_batch = len(arrivals) > 1
    if is_batch:
        _lock_paths(session, {a.event.user_path for a in arrivals})
    known = _known(session, arrivals)
    unknown = [(a.event.user_path, a.fingerprint) for a in arrivals if a.key not in known]
    same = folds.find_same(session, unknown, folding=folding)
    accepted = []
    for arrival in arrivals:
        if arrival.key in known:
            accepted.append(known[arrival.key])
            continue
        if arrival.fingerprint not in same and not is_batch:
            _lock_paths(session, {arrival.event.user_path})
            same = folds.find_same(session, unknown, folding=folding)
        taken = _resolve(session, arrival, same, folding) or _take(session, arrival, same, folding)
        known[arrival.key] = replace(taken, is_new=False, is_folded=False)
        accepted.append(taken)
    return accepted


def _lock_paths(session: Session, paths: set[str]) -> None:
    """Let one transaction at a time open incidents of a path: what two alerts would both open, only one does."""
    for subject in sorted((f"intake:{path}" for path in paths), key=lambda subject: crc32(subject.encode())):
        serialise(session, subject)


def _known(session: Session, arrivals: Sequence[Arrival]) -> dict[tuple[str, str], Accepted]:
    """Return what became of those that were taken before."""
    row, attempt = AlertRow, InvestigationRow
    paths, keys = ({a.key[i] for a in arrivals} for i in (0, 1))
    taken = (
        select(row.user_path, row.idempotency_key, row.incident_id, row.investigation_id, attempt.status)
        .outerjoin(attempt, attempt.id == row.investigation_id)
        .where(row.user_path.in_(paths), row.idempotency_key.in_(keys))
    )
    ended = InvestigationStatus.COMPLETED  # only what has ended is ever removed
    return {
        (path, key): Accepted(
            incident, investigation, is_new=False, is_folded=False, status=status or (ended if investigation else "")
        )
        for path, key, incident, investigation, status in session.execute(taken)
    }


def _take(session: Session, arrival: Arrival, same: dict[str, Joinable], folding: Folding) -> Accepted:
    """Join the incident of this fingerprint, or a related one, or open one."""
    found = same.get(arrival.fingerprint) or folds.find_related(session, arrival.event, folding=folding)
    if found is None:
        incident, investigation = _start(session, arrival)
        same[arrival.fingerprint] = Joinable(incident, investigation, folds.SAME_FINGERPRINT)
        return _add(session, arrival, Joinable(incident, investigation, ""), is_folded=False)
    found.incident.alert_count += 1
    found.incident.last_seen_at = database_now(session)
    joined = _try_again(session, arrival, found)
    if joined is not found:
        same[arrival.fingerprint] = joined
    _raise_severity(joined, arrival.event.severity)
    return _add(session, arrival, joined, is_folded=joined is found)


def _resolve(session: Session, arrival: Arrival, same: dict[str, Joinable], folding: Folding) -> Accepted | None:
    """Take a message that something is over; None for any other. An unknown one is kept, and opens nothing."""
    event, now = arrival.event, database_now(session)
    if not event.resolved and event.ended_at is None:
        return None
    session.flush()
    known = resolving.find_open(session, event, arrival.fingerprint)
    if not resolving.is_resolve(event, known, now):
        return None
    if known is None:
        incident = _new_incident(session, arrival)
        incident.status, incident.resolved_at = folds.CLOSED, now
        return _add_resolve(session, arrival, incident.id, latest=None, resolution=Resolution.UNMATCHED)
    on_resolve = resolving.OnResolve(folding.on_resolve)
    resolution = resolving.resolve(session, event, arrival.fingerprint, known=known, on_resolve=on_resolve)
    if resolution is Resolution.CLOSED:
        for fingerprint in [f for f, joined in same.items() if joined.incident.id == known.incident.id]:
            del same[fingerprint]
    latest = investigations.latest_of(session, known.incident.id)
    return _add_resolve(session, arrival, known.incident.id, latest=latest, resolution=resolution)


def _add_resolve(
    session: Session,
    arrival: Arrival,
    incident_id: str,
    *,
    latest: InvestigationRow | None,
    resolution: Resolution,
) -> Accepted:
    """Keep the message itself; it is none of the incident's alerts, so it has no number and is not open."""
    row = _alert(session, arrival, incident_id, latest.id if latest else "")
    row.resolved_at = arrival.event.ended_at or database_now(session)
    session.add(row)
    status = latest.status if latest else ""
    return Accepted(
        incident_id, row.investigation_id, is_new=True, is_folded=False, status=status, resolution=resolution
    )


def _start(session: Session, arrival: Arrival) -> tuple[IncidentRow, InvestigationRow]:
    incident = _new_incident(session, arrival)
    return incident, investigations.open_investigation(session, incident, severity_rank=arrival.event.severity.rank)


def _new_incident(session: Session, arrival: Arrival) -> IncidentRow:
    event, now = arrival.event, database_now(session)
    incident = IncidentRow(
        id=new_id("inc"),
        user_path=event.user_path,
        fingerprint=arrival.fingerprint,
        status=folds.OPEN,
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
    return incident


def _try_again(session: Session, arrival: Arrival, found: Joinable) -> Joinable:
    """If the incident's last investigation failed, the alert is reason to try again."""
    if found.investigation.status != InvestigationStatus.FAILED:
        return found
    again = investigations.open_investigation(
        session,
        found.incident,
        severity_rank=arrival.event.severity.rank,
        attempt_no=investigations.next_attempt_no(session, found.incident.id),
    )
    return Joinable(found.incident, again, found.reason)


def _raise_severity(joined: Joinable, severity: Severity) -> None:
    """Let a more severe alert make its incident as severe, and an investigation that waits as urgent."""
    if severity.rank < Severity(joined.incident.severity).rank:
        joined.incident.severity = severity
    if joined.investigation.status == InvestigationStatus.QUEUED:
        joined.investigation.severity_rank = min(joined.investigation.severity_rank, severity.rank)


def _add(session: Session, arrival: Arrival, joined: Joinable, *, is_folded: bool) -> Accepted:
    incident, investigation = joined.incident, joined.investigation
    row = _alert(session, arrival, incident.id, investigation.id)
    row.alert_no, row.fold_reason = incident.alert_count, joined.reason or None
    session.add(row)
    return Accepted(incident.id, investigation.id, is_new=True, is_folded=is_folded, status=investigation.status)


def _alert(session: Session, arrival: Arrival, incident_id: str, investigation_id: str) -> AlertRow:
    return AlertRow(
        id=new_id("alr"),
        incident_id=incident_id,
        investigation_id=investigation_id,
        user_path=arrival.event.user_path,
        idempotency_key=arrival.idempotency_key,
        via=arrival.via,
        received_at=database_now(session),
        fingerprint=arrival.fingerprint,
        event=arrival.event.model_dump(mode="json"),
    )
