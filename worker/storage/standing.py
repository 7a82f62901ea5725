"""How the system stands as the database tells it: who sweeps, what waits, what runs, what went wrong."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from worker.domain.states import AgentKind, DeliveryStatus, InvestigationStatus
from worker.storage.database import database_now
from worker.storage.tables import AgentRow, Base, DeliveryRow, InvestigationRow, LeaseRow

SWEEPER = "sweeper"
LATE = timedelta(seconds=5)
"""A worker under load renews its duty late; after this long past its end there is none."""


@dataclass(frozen=True)
class Standing:
    """`swept_at` is until when a worker last had the sweeper's duty; None if none ever had.

    `late_sub_agents` wait for a worker though their deadline has passed, which the sweeper ends at once.
    """

    queued: int
    running: int
    swept_at: datetime | None
    is_swept: bool
    failed_deliveries: int = 0
    late_sub_agents: int = 0


def read_standing(session: Session) -> Standing:
    row = InvestigationRow
    counted = select(row.status, func.count()).group_by(row.status)
    counts = dict(session.execute(counted).all())
    swept_at = session.scalar(select(LeaseRow.until).where(LeaseRow.name == SWEEPER))
    now = database_now(session)
    return Standing(
        queued=counts.get(InvestigationStatus.QUEUED, 0),
        running=counts.get(InvestigationStatus.RUNNING, 0),
        swept_at=swept_at,
        is_swept=swept_at is not None and swept_at + LATE > now,
        failed_deliveries=_count(session, DeliveryRow, DeliveryRow.status == DeliveryStatus.FAILED),
        late_sub_agents=_count(session, AgentRow, *_is_late(now)),
    )


def _is_late(now: datetime) -> tuple[ColumnElement[bool], ...]:
    row = AgentRow
    waits = (row.kind == AgentKind.SUB, row.finished_at.is_(None), row.claim_token.is_(None))
    return (*waits, row.deadline_at < now - LATE)


def _count(session: Session, table: type[Base], *conditions: ColumnElement[bool]) -> int:
    return session.scalar(select(func.count()).select_from(table).where(*conditions)) or 0
