"""Provider keys as they are stored: sealed by somebody else, one row for each provider."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from worker.storage.database import database_now
from worker.storage.model_tables import CredentialRow

SHOWN_FROM = 12
"""Of a shorter key not even four characters are shown."""


class SealedKey(NamedTuple):
    """A key, sealed with the seed of this id; `last4` is all that people see of it."""

    provider: str
    sealed: str
    seed_id: str
    last4: str | None
    updated_at: datetime | None = None


def last4_of(key: str) -> str | None:
    return key[-4:] if len(key) >= SHOWN_FROM else None


def put(session: Session, key: SealedKey) -> None:
    """Store a key in place of whatever was stored of its provider."""
    row = session.get(CredentialRow, key.provider) or CredentialRow(provider=key.provider)
    row.sealed, row.seed_id, row.last4, row.updated_at = key.sealed, key.seed_id, key.last4, database_now(session)
    session.add(row)


def remove(session: Session, provider: str) -> bool:
    """Say whether there was one."""
    gone = delete(CredentialRow).where(CredentialRow.provider == provider).returning(CredentialRow.provider)
    return session.scalar(gone) is not None


def all_keys(session: Session) -> list[SealedKey]:
    rows = session.scalars(select(CredentialRow).order_by(CredentialRow.provider))
    return [SealedKey(r.provider, r.sealed, r.seed_id, r.last4, r.updated_at) for r in rows]
