"""What model calls have used, added up by whatever an operator asks: models, purposes, days, owners."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, case, cast, func, select
from sqlalchemy.orm import Session

from worker.storage.database import database_now
from worker.storage.tables import InvestigationRow, UsageRow
from worker.storage.usage import IS_RESERVED, OK


class Group(StrEnum):
    """What sums are told apart by."""

    MODEL = "model"
    PURPOSE = "purpose"
    INVESTIGATION = "investigation"
    DAY = "day"
    USER_PATH = "user-path"


@dataclass(frozen=True)
class Sum:
    """The calls of one group. Tokens and dollars are of those that said or knew them: the others are counted beside.

    `calls` were answered, `failed` were not; `unsaid` of the answered told no tokens, `unpriced` have no known price.
    """

    name: str
    calls: int
    failed: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    cost_usd: float
    unsaid: int
    unpriced: int


def add_up(session: Session, by: Group, *, days: int) -> list[Sum]:
    """Return the sums of the last so many days: days in order, all else the dearest first."""
    row, is_ok = UsageRow, UsageRow.outcome == OK
    name = _name(session, by)
    wanted = (
        select(
            name.label("name"),
            _count(is_ok).label("calls"),
            _count(~is_ok).label("failed"),
            _sum(row.input_tokens).label("input_tokens"),
            _sum(row.cached_input_tokens).label("cached_input_tokens"),
            _sum(row.output_tokens).label("output_tokens"),
            func.coalesce(func.sum(row.cost_usd), 0.0).label("cost_usd"),
            _count(is_ok & (row.input_tokens + row.output_tokens).is_(None)).label("unsaid"),
            _count(is_ok & row.cost_usd.is_(None)).label("unpriced"),
        )
        .outerjoin(InvestigationRow, InvestigationRow.id == row.investigation_id)
        .where(~IS_RESERVED, row.created_at >= database_now(session) - timedelta(days=days))
        .group_by(name)
    )
    sums = [Sum(**found) for found in session.execute(wanted).mappings()]
    return sorted(sums, key=lambda s: s.name if by is Group.DAY else (-s.cost_usd, -s.input_tokens, s.name))


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return _sum(case((condition, 1), else_=0))


def _sum(column: Any) -> ColumnElement[int]:
    return cast(func.coalesce(func.sum(column), 0), BigInteger)


def _name(session: Session, by: Group) -> ColumnElement[Any]:
    row = UsageRow
    if by is Group.DAY:
        if session.get_bind().dialect.name == "sqlite":
            return func.strftime("%Y-%m-%d", row.created_at)
        return func.to_char(func.timezone("UTC", row.created_at), "YYYY-MM-DD")
    columns: dict[Group, Any] = {
        Group.MODEL: row.provider + "/" + row.model,
        Group.PURPOSE: row.purpose,
        Group.INVESTIGATION: func.coalesce(row.investigation_id, "none: other programs"),
        Group.USER_PATH: func.coalesce(InvestigationRow.user_path, row.user_path),
    }
    found: ColumnElement[Any] = columns[by]
    return found


def total(sums: list[Sum]) -> Sum:
    """Add the sums up."""
    parts = [field for field in Sum.__dataclass_fields__ if field != "name"]
    return Sum("total", **{field: sum(getattr(one, field) for one in sums) for field in parts})
