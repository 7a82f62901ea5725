"""Investigations: opened for an incident, finished once, listed for whoever may see them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from worker.domain.callers import CallersModel
from worker.domain.ids import new_id
from worker.domain.incident import IncidentEvent, covers_path
from worker.domain.orchestration import PinnedRoutes
from worker.domain.states import InvestigationStatus, ReportVerdict
from worker.errors import NotFoundError
from worker.storage import endings, queue
from worker.storage.database import database_now
from worker.storage.tables import IncidentRow, InvestigationRow


def open_investigation(
    session: Session, incident: IncidentRow, *, severity_rank: int, attempt_no: int = 1, retry_of: str | None = None
) -> InvestigationRow:
    """Add a queued investigation of the incident: its first, or what `next_attempt_no` says."""
    row = InvestigationRow(
        id=new_id("inv"),
        incident_id=incident.id,
        attempt_no=attempt_no,
        retry_of=retry_of,
        user_path=incident.user_path,
        severity_rank=severity_rank,
        status=InvestigationStatus.QUEUED,
        created_at=database_now(session),
    )
    session.add(row)
    session.flush()
    return row


def next_attempt_no(session: Session, incident_id: str) -> int:
    last_no = select(func.max(InvestigationRow.attempt_no)).where(InvestigationRow.incident_id == incident_id)
    return (session.scalar(last_no) or 0) + 1


def finish(
    session: Session,
    investigation_id: str,
    status: InvestigationStatus,
    *,
    verdict: ReportVerdict | None = None,
    failure_class: str | None = None,
    reason: str | None = None,
) -> bool:
    """Set the final status, once: what is final stays. Returns whether it was not."""
    row = InvestigationRow
    live = [InvestigationStatus.QUEUED, InvestigationStatus.RUNNING]
    statement = (
        update(row)
        .where(row.id == investigation_id, row.status.in_(live))
        .values(
            status=status,
            verdict=verdict,
            failure_class=failure_class,
            failure_reason=reason,
            finished_at=database_now(session),
        )
        .returning(row)
    )
    finished = session.scalar(statement, execution_options={"populate_existing": True})
    if finished is not None:
        endings.note(session, finished)
    return finished is not None


def get(session: Session, investigation_id: str, *, user_path: str = "/") -> InvestigationRow:
    """Return the row. Raises `NotFoundError` if there is none that this path may see."""
    row = session.get(InvestigationRow, investigation_id)
    if row is None or not covers_path(user_path, row.user_path):
        raise NotFoundError(f"there is no investigation {investigation_id!r}; `rca investigations list` shows all")
    return row


def event_of(session: Session, investigation_id: str) -> IncidentEvent:
    """Return the event that its incident began with, as this attempt investigates it."""
    row = session.get_one(InvestigationRow, investigation_id)
    return own_event(row, session.get_one(IncidentRow, row.incident_id))


def own_event(row: InvestigationRow, incident: IncidentRow) -> IncidentEvent:
    """Return the incident's event with the account that this attempt was started with, if it was with one."""
    event = IncidentEvent.stored(incident.event)
    if row.llm_handle is None:
        return event
    return event.model_copy(update={"llm": CallersModel(handle=row.llm_handle)})


def pinned_routes(session: Session, investigation_id: str) -> PinnedRoutes:
    """Return the routes that an investigation with sub-agents keeps to its last call."""
    return PinnedRoutes.model_validate(session.get_one(InvestigationRow, investigation_id).routes)


def route_notes(session: Session, investigation_id: str) -> tuple[str, ...]:
    """Return what a reader should know of the routes that were pinned."""
    routes = session.get_one(InvestigationRow, investigation_id).routes
    return PinnedRoutes.model_validate(routes).notes if routes else ()


def statuses_of(session: Session, ids: Sequence[str]) -> dict[str, str]:
    row = InvestigationRow
    return dict(session.execute(select(row.id, row.status).where(row.id.in_(ids))).all())


def latest_of(session: Session, incident_id: str) -> InvestigationRow | None:
    """Return the newest investigation of the incident; None where all are gone."""
    of_incident = select(InvestigationRow).where(InvestigationRow.incident_id == incident_id)
    return session.scalars(of_incident.order_by(InvestigationRow.id.desc()).limit(1)).first()


def lineage(session: Session, investigation_id: str) -> tuple[str, ...]:
    """Return the investigation and the attempts it goes on from, newest first."""
    found: list[str] = []
    following: str | None = investigation_id
    while following is not None:
        found.append(following)
        following = session.get_one(InvestigationRow, following).retry_of
    return tuple(found)


def reopen(
    session: Session, old: InvestigationRow, *, from_scratch: bool = False, llm_handle: str | None = None
) -> str:
    """Queue a new attempt at the incident: one that goes on from the old one, or one from scratch. Returns its id.

    Without a handle the account of the old one is asked.
    """
    incident = session.get_one(IncidentRow, old.incident_id)
    new = open_investigation(
        session,
        incident,
        severity_rank=old.severity_rank,
        attempt_no=next_attempt_no(session, incident.id),
        retry_of=None if from_scratch else old.id,
    )
    new.llm_handle = llm_handle or old.llm_handle
    session.flush()
    return new.id


@dataclass(frozen=True)
class Attempt:
    """One of the investigations of an incident. `retry_of` is None for one from scratch."""

    id: str
    attempt_no: int
    status: str
    verdict: str | None
    retry_of: str | None
    created_at: datetime


def attempts_at(session: Session, incident_id: str) -> tuple[Attempt, ...]:
    """Return every investigation of the incident, in order."""
    row = InvestigationRow
    wanted = select(row.id, row.attempt_no, row.status, row.verdict, row.retry_of, row.created_at)
    return tuple(
        Attempt(*found) for found in session.execute(wanted.where(row.incident_id == incident_id).order_by(row.id))
    )


def cancel(session: Session, investigation_id: str) -> None:
    """Mark the investigation as to be cancelled; one that has not started ends at once."""
    row, now = InvestigationRow, database_now(session)
    asked = update(row).where(row.id == investigation_id, row.finished_at.is_(None))
    session.execute(asked.values(cancel_requested_at=now))
    waiting = session.get_one(row, investigation_id, populate_existing=True)
    if waiting.status == InvestigationStatus.QUEUED:
        finish(session, investigation_id, InvestigationStatus.CANCELLED)


@dataclass(frozen=True)
class Listed:
    """One line of a list of investigations."""

    id: str
    incident_id: str
    title: str
    severity: str
    service: str | None
    status: str
    verdict: str | None
    failure_class: str | None
    failure_reason: str | None
    attempt_no: int
    retry_of: str | None
    alert_count: int
    user_path: str
    created_at: datetime
    finished_at: datetime | None
    position: int | None = None
    """Its place among the queued, from 1; None where it does not wait."""
    waits_for: str | None = None
    """Why it does not start though there may be room; set by whoever knows the budgets."""


@dataclass(frozen=True)
class Filter:
    """What to list: of one subtree, in one status, of one service; `before` is the last id of the page before."""

    user_path: str = "/"
    status: str | None = None
    service: str | None = None
    before: str | None = None
    limit: int = 50


def page(session: Session, wanted: Filter) -> list[Listed]:
    """Return one page, newest first (ids sort by time)."""
    row, incident = InvestigationRow, IncidentRow
    statement = select(row, incident).join(incident, incident.id == row.incident_id)
    if wanted.user_path != "/":
        below = row.user_path.startswith(wanted.user_path + "/", autoescape=True)
        statement = statement.where(or_(row.user_path == wanted.user_path, below))
    if wanted.status:
        statement = statement.where(row.status == wanted.status)
    if wanted.service:
        statement = statement.where(incident.service == wanted.service)
    if wanted.before:
        statement = statement.where(row.id < wanted.before)
    found = session.execute(statement.order_by(row.id.desc()).limit(wanted.limit))
    return _placed(session, [listed(i, n) for i, n in found])


def describe(session: Session, row: InvestigationRow) -> Listed:
    """Return the investigation as it is listed."""
    return _placed(session, [listed(row, session.get_one(IncidentRow, row.incident_id))])[0]


def _placed(session: Session, found: list[Listed]) -> list[Listed]:
    """Say of each that waits where it stands."""
    positions = queue.find_positions(session, [row.id for row in found if row.status == InvestigationStatus.QUEUED])
    return [replace(row, position=positions.get(row.id)) for row in found]


def listed(row: InvestigationRow, incident: IncidentRow) -> Listed:
    return Listed(
        id=row.id,
        incident_id=incident.id,
        title=incident.title,
        severity=incident.severity,
        service=incident.service,
        status=row.status,
        verdict=row.verdict,
        failure_class=row.failure_class,
        failure_reason=row.failure_reason,
        attempt_no=row.attempt_no,
        retry_of=row.retry_of,
        alert_count=incident.alert_count,
        user_path=row.user_path,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )
