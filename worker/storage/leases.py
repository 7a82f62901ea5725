"""Leases of duties: one process at a time sweeps."""

from datetime import timedelta

from sqlalchemy import or_, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from worker.storage.database import database_now
from worker.storage.tables import LeaseRow


def hold(session: Session, name: str, *, holder: str, lease: timedelta) -> bool:
    """Take or renew the duty; False while another process has it."""
    now = database_now(session)
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    session.execute(
        insert(LeaseRow).values(name=name, holder=holder, until=now).on_conflict_do_nothing(index_elements=["name"])
    )
    free = or_(LeaseRow.holder == holder, LeaseRow.until <= now)
    taken = update(LeaseRow).where(LeaseRow.name == name, free).values(holder=holder, until=now + lease)
    return session.scalar(taken.returning(LeaseRow.name)) is not None
