"""Sessions of browsers: begun by a login, never longer than a bound, found by the hash of a random id."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from worker.storage import audit
from worker.storage.audit import Act
from worker.storage.database import database_now
from worker.storage.session_tables import SessionRow
from worker.storage.types import storable

USE_NOTED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True)
class Beginning:
    """What a session was begun by, and does not outlive: a token, a variable's secret, an identity provider.

    `bond` is what has to stay as it is, a secret or a configuration. It is not stored: only its HMAC under the
    session's own id is, which nobody who reads the database has, so there is nothing to try guesses on.
    """

    by: str
    name: str
    token_id: str | None = None
    bond: str | None = None
    groups: tuple[str, ...] = ()


def begin(session: Session, beginning: Beginning, *, lasts: timedelta) -> str:
    """Add a session, with its row in the audit chain; return its id, which is not stored."""
    secret, now = secrets.token_urlsafe(32), database_now(session)
    row = SessionRow(
        hash=_hash(secret),
        name=storable(beginning.name),
        begun_by=beginning.by,
        token_id=beginning.token_id,
        fingerprint=_fingerprint(secret, beginning.bond) if beginning.bond is not None else None,
        groups=list(beginning.groups),
        created_at=now,
        expires_at=now + lasts,
        last_used_at=now,
    )
    session.add(row)
    audit.append(session, Act(row.name, "login", row.begun_by, _told(row)))
    return secret


def find(session: Session, secret: str) -> SessionRow | None:
    """Return the session of this id; None if there is none, or not any more."""
    now = database_now(session)
    row = session.scalar(select(SessionRow).where(SessionRow.hash == _hash(secret), SessionRow.expires_at > now))
    if row is not None and now - row.last_used_at > USE_NOTED_EVERY:
        row.last_used_at = now
    return row


def is_bound(row: SessionRow, secret: str, bond: str) -> bool:
    """Say whether what the session of this id was begun by is still what it was."""
    return row.fingerprint is not None and hmac.compare_digest(row.fingerprint, _fingerprint(secret, bond))


def end(session: Session, secret: str) -> None:
    """End a session, with its row in the audit chain; nothing happens where there is none."""
    row = session.scalar(select(SessionRow).where(SessionRow.hash == _hash(secret)))
    if row is not None:
        audit.append(session, Act(row.name, "logout", row.begun_by, _told(row)))
        session.delete(row)


def delete_expired(session: Session) -> None:
    """Delete the rows of sessions that have run out."""
    session.execute(delete(SessionRow).where(SessionRow.expires_at <= database_now(session)))


def _told(row: SessionRow) -> dict[str, str]:
    return {"token": row.token_id} if row.token_id else {}


def _hash(secret: str) -> str:
    """An id has 256 random bits, so one fast hash is enough: there is nothing to guess."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _fingerprint(secret: str, bond: str) -> str:
    return hmac.new(secret.encode(), bond.encode(), hashlib.sha256).hexdigest()
