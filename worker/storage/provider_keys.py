"""Provider keys as they are stored: sealed by somebody else, one row for each provider."""

from typing import NamedTuple

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from worker.storage.database import database_now
from worker.storage.model_tables import CredentialRow

SHOWN_FROM = 12
"""Of a shorter key not even four characters are shown."""


class SealedKey(NamedTuple):
    """A key, sealed with the seed of this id."""

    provider: str
    sealed: str
    seed_id: str


def last4_of(key: str) -> str | None:
    return key[-4:] if len(key) >= SHOWN_FROM else None


def put(session: Session, key: SealedKey) -> None:
    """Store a key in place of whatever was stored of its provider."""
    row = session.get(CredentialRow, key.provider) or CredentialRow(provider=key.provider)
    row.sealed, row.seed_id, row.updated_at = key.sealed, key.seed_id, database_now(session)
    session.add(row)


def remove(session: Session, provider: str) -> bool:
    """Say whether there was one."""
    gone = delete(CredentialRow).where(CredentialRow.provider == provider).returning(CredentialRow.provider)
    return session.scalar(gone) is not None


def all_keys(session: Session) -> list[SealedKey]:
    rows = session.scalars(select(CredentialRow).order_by(CredentialRow.provider))
    return [SealedKey(r.provider, r.sealed, r.seed_id) for r in rows]
