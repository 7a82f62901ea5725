"""The tables of model management: what operators say of models, sealed keys, and who changed what."""

from datetime import datetime
from typing import Any

from sqlalchemy import Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from worker.storage.tables import Base, Word
from worker.storage.types import Json, Prose, UtcDateTime


class GenerationRow(Base):
    """One generation, whole. The newest is what holds for new investigations."""

    __tablename__ = "llm_generations"

    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    state: Mapped[dict[str, Any]] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class CredentialRow(Base):
    """A provider's key, sealed. `seed_id` tells which seed it was sealed with, and nothing of it."""

    __tablename__ = "llm_provider_credentials"

    provider: Mapped[str] = mapped_column(Word, primary_key=True)
    sealed: Mapped[str] = mapped_column(Prose)
    seed_id: Mapped[str] = mapped_column(String(16))
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class AuditRow(Base):
    """One thing that somebody did, or was refused; its hash holds the one before it. Only ever added to."""

    __tablename__ = "audit_log"

    seq: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    at: Mapped[str] = mapped_column(String(40))
    actor: Mapped[str] = mapped_column(Prose)
    action: Mapped[str] = mapped_column(Word)
    subject: Mapped[str] = mapped_column(Prose)
    outcome: Mapped[str] = mapped_column(Word)
    detail: Mapped[dict[str, Any]] = mapped_column(Json)
    previous: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))
