"""How the system stands as the database tells it: who sweeps, what waits, what runs."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from worker.domain.states import InvestigationStatus
from worker.storage.database import database_now
from worker.storage.tables import InvestigationRow, LeaseRow

SWEEPER = "sweeper"
LATE = timedelta(seconds=5)
"""A worker under load renews its duty late; after this long past its end there is none."""


@dataclass(frozen=True)
class Standing:
    """`swept_at` is until when a worker last had the sweeper's duty; None if none ever had."""

    queued: int
    running: int
    swept_at: datetime | None
    is_swept: bool


def read_standing(session: Session) -> Standing:
    row = InvestigationRow
    counted = select(row.status, func.count()).group_by(row.status)
    counts = dict(session.execute(counted).all())
    swept_at = session.scalar(select(LeaseRow.until).where(LeaseRow.name == SWEEPER))
    return Standing(
        queued=counts.get(InvestigationStatus.QUEUED, 0),
        running=counts.get(InvestigationStatus.RUNNING, 0),
        swept_at=swept_at,
        is_swept=swept_at is not None and swept_at + LATE > database_now(session),
    )
