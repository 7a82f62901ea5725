"""Deliveries: reports owed to destinations, claimed and moved on like steps, each by conditional updates only."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from worker.domain.ids import new_id
from worker.domain.incident import covers_path
from worker.domain.states import DeliveryStatus, Queue
from worker.errors import LeaseLostError, NotFoundError, UserError
from worker.storage.database import database_now
from worker.storage.tables import DeliveryRow, InvestigationRow

TASK = "rca.deliver"
RETRY_AFTER = timedelta(seconds=10)
RETRY_GROWTH = 3
RETRY_AT_MOST = timedelta(hours=1)
TELL_AGAIN_AFTER = timedelta(seconds=5)
TELL_AGAIN_AT_MOST = timedelta(minutes=5)
_LOST = "its worker was lost while it was sent"


@dataclass(frozen=True)
class DeliveryWakeUp:
    """One message for the queue: this report is to be sent."""

    delivery_id: str
    task: str = TASK
    shown_as: str = TASK
    queue: str = Queue.REPORTS

    @property
    def arguments(self) -> tuple[str]:
        return (self.delivery_id,)


@dataclass(frozen=True)
class DeliveryClaim:
    """The right to send one report to one destination once."""

    id: str
    investigation_id: str
    destination: str
    token: str
    attempt_no: int


@dataclass(frozen=True)
class Listed:
    """One delivery as people see it."""

    id: str
    investigation_id: str
    destination: str
    status: str
    attempts: int
    next_attempt_at: datetime | None
    failure: str | None
    created_at: datetime
    finished_at: datetime | None


def owe(session: Session, investigation_id: str, destinations: Iterable[str]) -> None:
    """Owe the report of this investigation to each destination; the sweeper sends it off."""
    now = database_now(session)
    session.add_all(
        DeliveryRow(
            id=new_id("dlv"),
            investigation_id=investigation_id,
            destination=name,
            status=DeliveryStatus.WAITING,
            attempts=0,
            next_attempt_at=now,
            created_at=now,
        )
        for name in destinations
    )


def take_due(session: Session, *, limit: int = 200, is_memory_lost: bool = False) -> list[DeliveryWakeUp]:
    """Return what is to be sent now. What no worker claims is told again: after 5 s, later ever more seldom."""
    row, now = DeliveryRow, database_now(session)
    due = row.next_attempt_at <= now
    if is_memory_lost:
        due = or_(due, row.status == DeliveryStatus.DUE)
    waiting = [DeliveryStatus.WAITING, DeliveryStatus.DUE]
    wanted = select(row).where(row.status.in_(waiting), due).order_by(row.next_attempt_at).limit(limit)
    rows = session.scalars(wanted.with_for_update(skip_locked=True)).all()
    for found in rows:
        pause = max(TELL_AGAIN_AFTER, min(now - found.created_at, TELL_AGAIN_AT_MOST))
        found.status, found.next_attempt_at = DeliveryStatus.DUE, now + pause
    return [DeliveryWakeUp(found.id) for found in rows]


def claim(session: Session, delivery_id: str, *, lease: timedelta) -> DeliveryClaim | None:
    """Take the delivery for one attempt; None if it is taken, done, or not due."""
    row, token = DeliveryRow, str(uuid4())
    statement = (
        update(row)
        .where(row.id == delivery_id, row.status == DeliveryStatus.DUE)
        .values(
            status=DeliveryStatus.SENDING,
            claim_token=token,
            lease_until=database_now(session) + lease,
            attempts=row.attempts + 1,
        )
        .returning(row)
    )
    taken = session.scalar(statement, execution_options={"populate_existing": True})
    if taken is None:
        return None
    return DeliveryClaim(taken.id, taken.investigation_id, taken.destination, token, taken.attempts)


def complete(session: Session, claim: DeliveryClaim) -> None:
    """The destination has it. Raises `LeaseLostError` if the claim is no longer ours."""
    _move(session, claim, status=DeliveryStatus.DELIVERED, failure=None, finished_at=database_now(session))


def fail(session: Session, claim: DeliveryClaim, reason: str) -> None:
    """Give up, for this reason. Raises `LeaseLostError` if the claim is no longer ours."""
    _move(session, claim, status=DeliveryStatus.FAILED, failure=reason, finished_at=database_now(session))


def postpone(session: Session, claim: DeliveryClaim, reason: str, *, retry_after_s: float | None = None) -> None:
    """Try again later, ever more seldom or when the destination asked for. Raises `LeaseLostError`."""
    wait = retry_wait(claim.attempt_no, retry_after_s)
    again = database_now(session) + wait
    _move(session, claim, status=DeliveryStatus.WAITING, failure=reason, next_attempt_at=again)


def retry_wait(attempts: int, retry_after_s: float | None = None) -> timedelta:
    """Return the pause after so many attempts: 10 s, three times as long each time, an hour at most."""
    if retry_after_s is not None:
        return min(timedelta(seconds=max(retry_after_s, 0)), RETRY_AT_MOST)
    growth = float(RETRY_GROWTH ** min(max(attempts - 1, 0), 10))
    return min(RETRY_AFTER * growth, RETRY_AT_MOST)


def take_back_expired(session: Session, *, max_attempts: int, limit: int = 200) -> int:
    """Take back what a dead or frozen worker was sending; its attempt counts. Returns how many."""
    row, now = DeliveryRow, database_now(session)
    expired = select(row).where(row.status == DeliveryStatus.SENDING, row.lease_until < now).limit(limit)
    rows = session.scalars(expired.with_for_update(skip_locked=True)).all()
    for found in rows:
        found.claim_token = found.lease_until = None
        if found.attempts >= max_attempts:
            found.status, found.failure, found.finished_at = DeliveryStatus.FAILED, _LOST, now
        else:
            found.status, found.failure, found.next_attempt_at = DeliveryStatus.WAITING, _LOST, now
    session.flush()
    return len(rows)


def resend(session: Session, delivery_id: str, *, user_path: str = "/") -> str:
    """Send it again, from the first attempt and under the same id. Raises `NotFoundError`, `UserError`."""
    found = session.get(DeliveryRow, delivery_id, with_for_update=True, populate_existing=True)
    owner = session.get(InvestigationRow, found.investigation_id) if found else None
    if found is None or owner is None or not covers_path(user_path, owner.user_path):
        raise NotFoundError(f"there is no delivery {delivery_id!r}; `rca deliveries list` shows all")
    if found.status in {DeliveryStatus.SENDING, DeliveryStatus.DUE}:
        raise UserError(f"delivery {delivery_id} is on its way already: look again in a moment")
    found.status, found.attempts = DeliveryStatus.WAITING, 0
    found.next_attempt_at, found.finished_at = database_now(session), None
    return found.destination


@dataclass(frozen=True)
class Filter:
    """Which deliveries to list; `before` is the last id of the page before."""

    user_path: str = "/"
    status: str | None = None
    investigation_id: str | None = None
    before: str | None = None
    limit: int = 50


def page(session: Session, wanted: Filter) -> list[Listed]:
    """Return one page, newest first (ids sort by time)."""
    row, owner = DeliveryRow, InvestigationRow
    statement = select(row).join(owner, owner.id == row.investigation_id)
    if wanted.user_path != "/":
        below = owner.user_path.startswith(wanted.user_path + "/", autoescape=True)
        statement = statement.where(or_(owner.user_path == wanted.user_path, below))
    if wanted.status:
        statement = statement.where(row.status == wanted.status)
    if wanted.investigation_id:
        statement = statement.where(row.investigation_id == wanted.investigation_id)
    if wanted.before:
        statement = statement.where(row.id < wanted.before)
    return [_listed(found) for found in session.scalars(statement.order_by(row.id.desc()).limit(wanted.limit))]


def _listed(row: DeliveryRow) -> Listed:
    is_planned = row.status == DeliveryStatus.WAITING
    return Listed(
        id=row.id,
        investigation_id=row.investigation_id,
        destination=row.destination,
        status=row.status,
        attempts=row.attempts,
        next_attempt_at=row.next_attempt_at if is_planned else None,
        failure=row.failure,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )


def _move(session: Session, claim: DeliveryClaim, **values: object) -> None:
    row = DeliveryRow
    moved = (
        update(row)
        .where(row.id == claim.id, row.claim_token == claim.token)
        .values(claim_token=None, lease_until=None, **values)
        .returning(row.id)
    )
    if session.scalar(moved) is None:
        raise LeaseLostError(f"delivery {claim.id} was taken over")
