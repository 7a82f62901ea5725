"""The table of browser sessions."""

from datetime import datetime

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from worker.storage.tables import Base, Id, Word
from worker.storage.types import Json, Prose, UtcDateTime


class SessionRow(Base):
    """A browser that signed in: the hash of its cookie, what began it, and until when it may last.

    `fingerprint` is bound to a secret or a configuration that is not stored, `groups` are those of an identity
    provider.
    """

    __tablename__ = "sessions"
    __table_args__ = (Index("ix_sessions_expires_at", "expires_at"),)

    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(Prose)
    begun_by: Mapped[str] = mapped_column(Word)
    token_id: Mapped[str | None] = mapped_column(Id)
    fingerprint: Mapped[str | None] = mapped_column(String(64))
    groups: Mapped[list[str]] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime] = mapped_column(UtcDateTime)
