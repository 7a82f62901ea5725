"""API tokens: shown once, kept as a hash, bounded by scopes and a user path."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from worker.domain.ids import new_id
from worker.errors import NotFoundError, UserError
from worker.storage.database import database_now
from worker.storage.tables import TokenRow

SCOPES = ("incidents:write", "reports:read", "investigations:write", "users:manage", "models:use")
PREFIX = "rca_"
USE_NOTED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True)
class Identity:
    """Who asks: what they may do, and the subtree they may see."""

    name: str
    scopes: frozenset[str]
    user_path: str


def create(
    session: Session, *, name: str, scopes: tuple[str, ...], user_path: str = "/", expires_at: datetime | None = None
) -> tuple[str, str]:
    """Add a token; return its id and its secret, which is not stored."""
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        raise UserError(f"unknown scopes {unknown}; a token has one or more of {', '.join(SCOPES)}")
    secret = PREFIX + secrets.token_urlsafe(32)
    row = TokenRow(
        id=new_id("tok"),
        name=name,
        hash=_hash(secret),
        scopes=list(scopes),
        user_path=user_path,
        created_at=database_now(session),
        expires_at=expires_at,
    )
    session.add(row)
    return row.id, secret


def identify(session: Session, secret: str) -> Identity | None:
    """Return who holds this secret; None if it is unknown, expired or revoked."""
    now = database_now(session)
    row = session.scalar(select(TokenRow).where(TokenRow.hash == _hash(secret), TokenRow.revoked_at.is_(None)))
    if row is None or (row.expires_at is not None and row.expires_at <= now):
        return None
    if row.last_used_at is None or now - row.last_used_at > USE_NOTED_EVERY:
        row.last_used_at = now
    return Identity(row.name, frozenset(row.scopes), row.user_path)


def is_any(session: Session) -> bool:
    """Say whether anybody was ever given one; what was revoked counts."""
    return session.scalar(select(TokenRow.id).limit(1)) is not None


def all_rows(session: Session) -> list[TokenRow]:
    return list(session.scalars(select(TokenRow).order_by(TokenRow.id)))


def revoke(session: Session, token_id: str) -> None:
    """End a token now. Raises `NotFoundError`."""
    ended = update(TokenRow).where(TokenRow.id == token_id, TokenRow.revoked_at.is_(None))
    found = session.scalar(ended.values(revoked_at=database_now(session)).returning(TokenRow.id))
    if found is None:
        raise NotFoundError(f"there is no live token {token_id!r}; `rca tokens list` shows all")


def _hash(secret: str) -> str:
    """A token has 256 random bits, so one fast hash is enough: there is nothing to guess."""
    return hashlib.sha256(secret.encode()).hexdigest()
