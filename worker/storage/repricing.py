"""Books again what calls cost: the tokens stay as the provider said them, their price may have become known since."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from worker.domain.conversation import Usage
from worker.storage.tables import UsageRow
from worker.storage.usage import OK

BATCH = 500


@dataclass(frozen=True)
class Booked:
    """Who was asked, and the list that the call was priced by; None where by none."""

    provider: str
    model: str
    price_source: str | None


FindCost = Callable[[Booked, Usage], tuple[float, str] | None]
"""Return what a call costs now and by which list; None where nobody knows."""


@dataclass(frozen=True)
class Repriced:
    """How many answered calls have a known price, how many of these cost another sum now, and how many have none."""

    matched: int = 0
    changed: int = 0
    unknown: int = 0

    def __add__(self, other: "Repriced") -> "Repriced":
        return Repriced(self.matched + other.matched, self.changed + other.changed, self.unknown + other.unknown)


def reprice(session: Session, find_cost: FindCost, *, after: int, write: bool) -> tuple[Repriced, int | None]:
    """Go through the next calls after this id; return what came of them and the last id, None where there are no more.

    What has no known price now keeps the cost that was booked. Budgets keep what they counted.
    """
    wanted = select(UsageRow).where(UsageRow.id > after, UsageRow.outcome == OK).order_by(UsageRow.id).limit(BATCH)
    rows = session.scalars(wanted).all()
    found = [(row, find_cost(Booked(row.provider, row.model, row.price_source), _usage(row))) for row in rows]
    known = [(row, priced) for row, priced in found if priced is not None]
    changed = [(row, priced) for row, priced in known if (row.cost_usd, row.price_source) != priced]
    if write and changed:
        values = [{"id": row.id, "cost_usd": cost, "price_source": source} for row, (cost, source) in changed]
        session.execute(update(UsageRow), values)
    return Repriced(len(known), len(changed), len(rows) - len(known)), rows[-1].id if rows else None


def _usage(row: UsageRow) -> Usage:
    return Usage(**{name: getattr(row, name) for name in Usage.model_fields})
