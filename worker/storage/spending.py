"""A day's spending: what calls of a UTC day count as, by user path, and which of its budgets an operator lifted."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from worker.domain.ids import new_id
from worker.domain.incident import covers_path
from worker.domain.states import InvestigationStatus
from worker.domain.transcript import Amount
from worker.storage import usage
from worker.storage.database import database_now
from worker.storage.tables import BudgetLiftRow, InvestigationRow, UsageRow

FRESH_S = 1.0
"""How long a process goes on with what it last read of the day, where a call's worth does not matter."""


@dataclass(frozen=True)
class Lift:
    """A budget of the day that does not bind: that of a user path and all below it, or of the fleet (None)."""

    user_path: str | None
    reason: str
    created_at: datetime


@dataclass(frozen=True)
class Day:
    """One UTC day so far, by the database's clock."""

    date: date
    paths: Mapping[str, Amount]
    lifts: tuple[Lift, ...] = ()

    @property
    def fleet(self) -> Amount:
        return sum(self.paths.values(), Amount())

    @property
    def ends_at(self) -> datetime:
        return datetime(self.date.year, self.date.month, self.date.day, tzinfo=UTC) + timedelta(days=1)

    @property
    def is_fleet_lifted(self) -> bool:
        return any(lift.user_path is None for lift in self.lifts)

    def is_lifted(self, user_path: str) -> bool:
        """Say whether the path's own budget was lifted; the fleet's is another."""
        return any(lift.user_path is not None and covers_path(lift.user_path, user_path) for lift in self.lifts)


def read_day(session: Session) -> Day:
    """Return the day as it is now, calls in flight included."""
    today = database_now(session).astimezone(UTC).date()
    begins_at = datetime(today.year, today.month, today.day, tzinfo=UTC)
    tokens, dollars = usage.counted_sums()
    calls = (
        select(UsageRow.investigation_id, UsageRow.user_path, tokens.label("tokens"), dollars.label("dollars"))
        .where(UsageRow.created_at >= begins_at, UsageRow.billed_to == "platform", usage.counts())
        .group_by(UsageRow.investigation_id, UsageRow.user_path)
        .subquery()
    )
    row = InvestigationRow
    path = func.coalesce(row.user_path, calls.c.user_path)
    by_path = (
        select(path, func.sum(calls.c.tokens), func.sum(calls.c.dollars))
        .select_from(calls)
        .outerjoin(row, calls.c.investigation_id == row.id)
        .group_by(path)
    )
    paths = {path: Amount(int(t), float(d)) for path, t, d in session.execute(by_path)}
    lifts = select(BudgetLiftRow).where(BudgetLiftRow.day == today.isoformat()).order_by(BudgetLiftRow.id)
    return Day(today, paths, tuple(Lift(r.user_path, r.reason, r.created_at) for r in session.scalars(lifts)))


def lift(session: Session, *, user_path: str | None, reason: str) -> Lift:
    """Take the budgets of tokens and dollars off for today: of the path and all below it, or of the fleet."""
    now = database_now(session)
    day = now.astimezone(UTC).date().isoformat()
    row = BudgetLiftRow(id=new_id("lft"), day=day, user_path=user_path, reason=reason, created_at=now)
    session.add(row)
    session.flush()
    return Lift(user_path, reason, now)


def queued_by_path(session: Session) -> dict[str, int]:
    """Count the investigations that wait, by user path."""
    row = InvestigationRow
    waiting = select(row.user_path, func.count()).where(row.status == InvestigationStatus.QUEUED)
    return dict(session.execute(waiting.group_by(row.user_path)).all())


class RecentDay:
    """The day as this process last read it, at most about a second ago; one thread reads it again for all."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._day: Day | None = None
        self._fresh_until = 0.0

    def read(self, session: Session) -> Day:
        with self._mutex:
            known = self._day
            if known is not None and time.monotonic() < self._fresh_until:
                return known
            self._fresh_until = time.monotonic() + FRESH_S
        day = read_day(session)
        with self._mutex:
            self._day = day
        return day

    def forget(self) -> None:
        """Read afresh next time: somebody here has changed what binds."""
        with self._mutex:
            self._day, self._fresh_until = None, 0.0
