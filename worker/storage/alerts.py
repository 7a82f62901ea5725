"""The alerts of an incident: which joined it and why, for those who look on and for the agent that works on it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Select, and_, func, not_, select
from sqlalchemy.orm import Session

from worker.domain.incident import IncidentEvent
from worker.domain.transcript import JoinedAlert, News
from worker.storage.folding import SAME_FINGERPRINT
from worker.storage.tables import AlertRow

MAX_TOLD = 10
"""Alerts an agent is told of one by one before a turn; the rest is a number."""


@dataclass(frozen=True)
class AlertLine:
    """One alert as it is listed; `fold_reason` is None for the one that opened the incident."""

    id: str
    title: str
    severity: str
    service: str | None
    started_at: datetime | None
    received_at: datetime
    fold_reason: str | None


@dataclass(frozen=True)
class Joined:
    """What joined an incident: how often it was told again, and the related alerts, the first of them and how many."""

    repeats: int
    related: int
    first: tuple[AlertLine, ...]


def of_incident(session: Session, incident_id: str, *, limit: int) -> tuple[AlertLine, ...]:
    """Return the newest alerts of an incident in the order in which they came."""
    row = AlertRow
    only_an_end = and_(row.alert_no.is_(None), row.resolved_at.is_not(None))
    own = select(row).where(row.incident_id == incident_id, not_(only_an_end))
    newest = session.scalars(own.order_by(row.received_at.desc(), row.id.desc()).limit(limit)).all()
    return tuple(_line(found) for found in reversed(newest))


def joined(session: Session, incident_id: str, *, limit: int) -> Joined:
    """Return what joined an incident since it was opened."""
    row = AlertRow
    own = (row.incident_id == incident_id, row.fold_reason.is_not(None))
    repeats, all_joined = _count(session, own)
    first = session.scalars(_related(own, limit)).all() if all_joined > repeats else []
    return Joined(repeats, all_joined - repeats, tuple(map(_line, first)))


def news(session: Session, incident_id: str, *, heard: int, until: int) -> News:
    """Return what joined after the alert of number `heard`, up to the one of number `until`."""
    row = AlertRow
    since = (row.incident_id == incident_id, row.alert_no > heard, row.alert_no <= until)
    repeats, all_joined = _count(session, since)
    rows = session.scalars(_related(since, MAX_TOLD)).all() if all_joined > repeats else []
    return News(
        until=until, repeats=repeats, joined=tuple(map(_joined, rows)), unlisted=all_joined - repeats - len(rows)
    )


def _count(session: Session, which: Sequence[ColumnElement[bool]]) -> tuple[int, int]:
    """Return how many repeat the alert that opened the incident, and how many there are."""
    is_repeat = AlertRow.fold_reason == SAME_FINGERPRINT
    counted = select(func.count().filter(is_repeat), func.count()).where(*which)
    repeats, both = session.execute(counted).one()
    return int(repeats), int(both)


def _related(which: Sequence[ColumnElement[bool]], limit: int) -> Select[AlertRow]:
    row = AlertRow
    wanted = select(row).where(*which, func.coalesce(row.fold_reason, "") != SAME_FINGERPRINT)
    return wanted.order_by(row.alert_no, row.id).limit(limit)


def _line(row: AlertRow) -> AlertLine:
    event = IncidentEvent.stored(row.event)
    return AlertLine(
        id=row.id,
        title=event.title,
        severity=event.severity,
        service=event.service,
        started_at=event.started_at,
        received_at=row.received_at,
        fold_reason=row.fold_reason,
    )


def _joined(row: AlertRow) -> JoinedAlert:
    event = IncidentEvent.stored(row.event)
    return JoinedAlert(
        title=event.title,
        severity=event.severity,
        service=event.service,
        started_at=event.started_at or row.received_at,
        description=event.description,
        reason=row.fold_reason or "it reopened the incident",
    )
