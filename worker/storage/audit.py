"""The audit chain: each row's hash holds the row before it, so that nothing can be changed or taken out unseen."""

import hashlib
import hmac
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from worker.storage.database import database_now, serialise
from worker.storage.model_tables import AuditRow
from worker.storage.types import storable

DONE, REFUSED = "done", "refused"
_BEGINNING = "0" * 64
_FIELDS = ("seq", "at", "actor", "action", "subject", "outcome", "detail")


@dataclass(frozen=True)
class Act:
    """Who did what to what. `detail` holds no secret: of a key its last four characters at the most."""

    actor: str
    action: str
    subject: str
    detail: dict[str, Any] = field(default_factory=dict)
    outcome: str = DONE


@dataclass(frozen=True)
class Checkpoint:
    """How far the chain had come: what is checked against it can have lost no row up to there."""

    seq: int
    hash: str
    signature: str


def append(session: Session, act: Act) -> AuditRow:
    """Add a row to the chain; one transaction at a time does."""
    serialise(session, "audit_log")
    last = session.scalar(select(AuditRow).order_by(AuditRow.seq.desc()).limit(1))
    row = AuditRow(
        seq=last.seq + 1 if last else 1,
        at=database_now(session).isoformat(),
        actor=storable(act.actor),
        action=act.action,
        subject=storable(act.subject),
        outcome=act.outcome,
        detail=act.detail,
        previous=last.hash if last else _BEGINNING,
        hash="",
    )
    row.hash = _hash(row)
    session.add(row)
    session.flush()
    return row


def page(session: Session, *, limit: int, before: int | None = None) -> list[AuditRow]:
    """Return the newest rows first, those before a number where one is given."""
    wanted = select(AuditRow).order_by(AuditRow.seq.desc()).limit(limit)
    return list(session.scalars(wanted if before is None else wanted.where(AuditRow.seq < before)))


def find_fault(session: Session, *, checkpoint: Checkpoint | None = None) -> str | None:
    """Say what is wrong with the first row that is not as it was written; None where all is well."""
    rows = session.scalars(select(AuditRow).order_by(AuditRow.seq)).yield_per(500)
    return next(_faults(rows, checkpoint), None)


def _faults(rows: Iterable[AuditRow], checkpoint: Checkpoint | None) -> Iterator[str]:
    expected, previous = 1, _BEGINNING
    for row in rows:
        if row.seq != expected:
            yield f"row {expected} is missing: row {row.seq} follows row {expected - 1}"
            return
        if row.previous != previous:
            yield f"row {row.seq} does not follow the row before it"
        if _hash(row) != row.hash:
            yield f"row {row.seq} was changed: it is not what was hashed"
        if checkpoint and row.seq == checkpoint.seq and row.hash != checkpoint.hash:
            yield f"row {row.seq} is not the one that the checkpoint was made of"
        expected, previous = row.seq + 1, row.hash
    if checkpoint and expected <= checkpoint.seq:
        yield f"rows {expected} to {checkpoint.seq} are missing: the chain ends before its checkpoint"


def make_checkpoint(session: Session, *, key: bytes) -> Checkpoint:
    """Return a signed word of how far the chain has come; of an empty one, that it was empty."""
    last = session.scalar(select(AuditRow).order_by(AuditRow.seq.desc()).limit(1))
    seq, hash_ = (last.seq, last.hash) if last else (0, _BEGINNING)
    return Checkpoint(seq, hash_, _sign(seq, hash_, key))


def is_genuine(checkpoint: Checkpoint, *, key: bytes) -> bool:
    return hmac.compare_digest(checkpoint.signature, _sign(checkpoint.seq, checkpoint.hash, key))


def _sign(seq: int, hash_: str, key: bytes) -> str:
    return hmac.new(key, f"{seq}:{hash_}".encode(), hashlib.sha256).hexdigest()


def _hash(row: AuditRow) -> str:
    """SHA-256 over the hash before and the row as canonical JSON."""
    told = json.dumps({name: getattr(row, name) for name in _FIELDS}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{row.previous}{told}".encode()).hexdigest()
