"""The queue before admission: fair between user paths, then the most urgent first, then the oldest.

The next is the head of the path with the fewest running; among those, of the path that was admitted least recently.
So a path with nothing running is passed over at most once by each other path, whatever they send.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache

from sqlalchemy import Subquery, and_, func, select, true
from sqlalchemy.orm import Session, aliased

from worker.domain.states import InvestigationStatus
from worker.storage.tables import InvestigationRow

QUEUED, RUNNING = InvestigationStatus.QUEUED, InvestigationStatus.RUNNING


@dataclass(frozen=True)
class Room:
    """How many investigations may run at once: of the fleet, and of one user path (0: no limit of its own)."""

    max_running: int
    max_per_path: int = 0


def find_heads(session: Session, room: Room, *, limit: int | None = None) -> list[str]:
    """Return the first investigation of each path that has room, in the order of admission; none in a full fleet."""
    path = _waiting_paths()
    running = select(func.count()).where(InvestigationRow.status == RUNNING).scalar_subquery()
    below = path.c.running < room.max_per_path if room.max_per_path else true()
    heads = select(path.c.head).where(running < room.max_running, below)
    order = (path.c.running, path.c.admitted_at.nulls_first(), path.c.rank, path.c.head)
    return list(session.scalars(heads.order_by(*order).limit(limit)))


def find_positions(session: Session, ids: Collection[str]) -> dict[str, int]:
    """Return the places of queued investigations, from 1, in the order they are admitted if none comes or ends.

    An investigation's level is how many of its path run once all before it do. At each level the paths that come to
    it first are those that were not admitted since, so they stand before the others.
    """
    if not ids:
        return {}
    row, path = InvestigationRow, _waiting_paths()
    before = func.row_number().over(partition_by=row.user_path, order_by=(row.severity_rank, row.id)) - 1
    leveled = (
        select(row.id, (path.c.running + before).label("level"), path)
        .join(path, path.c.user_path == row.user_path)
        .where(row.status == QUEUED)
        .subquery()
    ).c
    order = (leveled.level, leveled.running.desc(), leveled.admitted_at.nulls_first(), leveled.rank, leveled.head)
    placed = select(leveled.id, func.row_number().over(order_by=order).label("position")).subquery().c
    wanted = select(placed.id, placed.position).where(placed.id.in_(ids))
    return dict(session.execute(wanted).all())


@cache
def _waiting_paths() -> Subquery:
    """Return a row for each path that waits: how many of it run, when it was last admitted, its head and its rank.

    The paths are found by jumping from one to the next in the index, so thousands queued by one path cost no more
    than one. Built once: to put it together takes longer than to run it.
    """
    row, one = InvestigationRow, aliased(InvestigationRow)
    first = select(func.min(row.user_path).label("user_path")).where(row.status == QUEUED)
    found = first.cte("found", recursive=True)
    following = select(func.min(one.user_path)).where(one.status == QUEUED, one.user_path > found.c.user_path)
    found = found.union_all(select(following.scalar_subquery()).where(found.c.user_path.is_not(None)))
    own = row.user_path == found.c.user_path
    queued = select(row.id).where(and_(row.status == QUEUED, own)).order_by(row.severity_rank, row.id).limit(1)
    return (
        select(
            found.c.user_path,
            select(func.count()).where(and_(row.status == RUNNING, own)).scalar_subquery().label("running"),
            select(func.max(row.admitted_at)).where(own).scalar_subquery().label("admitted_at"),
            select(func.min(row.severity_rank)).where(and_(row.status == QUEUED, own)).scalar_subquery().label("rank"),
            queued.scalar_subquery().label("head"),
        )
        .where(found.c.user_path.is_not(None))
        .subquery("path")
    )
