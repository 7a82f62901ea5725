"""API tokens: shown once, kept as a hash, bounded by scopes and a user path."""

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from worker.domain.ids import new_id
from worker.errors import NotFoundError, UserError
from worker.storage import audit
from worker.storage.audit import Act
from worker.storage.database import database_now
from worker.storage.tables import TokenRow
from worker.storage.types import storable

SCOPES = ("incidents:write", "reports:read", "investigations:write", "users:manage", "models:use")
PREFIX = "rca_"
USE_NOTED_EVERY = timedelta(minutes=1)


@dataclass(frozen=True)
class Identity:
    """Who asks: what they may do, the subtree they may see, and how they said who they are."""

    name: str
    scopes: frozenset[str]
    user_path: str
    token_id: str | None = field(default=None, compare=False)
    has_session: bool = field(default=False, compare=False)


def create(
    session: Session,
    actor: str,
    *,
    name: str,
    scopes: tuple[str, ...],
    user_path: str = "/",
    expires_at: datetime | None = None,
) -> tuple[str, str]:
    """Add a token, with its row in the audit chain; return its id and its secret, which is not stored."""
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
    ends = expires_at.isoformat() if expires_at else None
    told = {"name": storable(name), "scopes": row.scopes, "user_path": user_path, "expires_at": ends}
    audit.append(session, Act(actor, "token.create", row.id, told))
    return row.id, secret


def identify(session: Session, secret: str) -> Identity | None:
    """Return who holds this secret; None if it is unknown, expired or revoked."""
    return _identify(session, TokenRow.hash == _hash(secret))


def identify_by_id(session: Session, token_id: str) -> Identity | None:
    """Return whose token this is; None if it is unknown, expired or revoked."""
    return _identify(session, TokenRow.id == token_id)


def _identify(session: Session, which: ColumnElement[bool]) -> Identity | None:
    now = database_now(session)
    row = session.scalar(select(TokenRow).where(which, TokenRow.revoked_at.is_(None)))
    if row is None or (row.expires_at is not None and row.expires_at <= now):
        return None
    if row.last_used_at is None or now - row.last_used_at > USE_NOTED_EVERY:
        row.last_used_at = now
    return Identity(row.name, frozenset(row.scopes), row.user_path, row.id)


def is_any(session: Session) -> bool:
    """Say whether anybody was ever given one; what was revoked counts."""
    return session.scalar(select(TokenRow.id).limit(1)) is not None


def all_rows(session: Session) -> list[TokenRow]:
    return list(session.scalars(select(TokenRow).order_by(TokenRow.id)))


def revoke(session: Session, actor: str, token_id: str) -> None:
    """End a token now, with a row in the audit chain. Raises `NotFoundError`."""
    ended = update(TokenRow).where(TokenRow.id == token_id, TokenRow.revoked_at.is_(None))
    found = session.scalar(ended.values(revoked_at=database_now(session)).returning(TokenRow.id))
    if found is None:
        raise NotFoundError(f"there is no live token {token_id!r}; `rca tokens list` shows all")
    audit.append(session, Act(actor, "token.revoke", token_id))


def _hash(secret: str) -> str:
    """A token has 256 random bits, so one fast hash is enough: there is nothing to guess."""
    return hashlib.sha256(secret.encode()).hexdigest()
