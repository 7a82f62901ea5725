"""Sharing: of the same tool call by several agents of an investigation one runs, and its result serves all."""

import hashlib
import json
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from worker.domain.states import ToolCallStatus
from worker.domain.transcript import Claim, ToolCall
from worker.storage import transcripts
from worker.storage.database import database_now
from worker.storage.tables import AgentRow, SharedCallRow, ToolCallRow

FRESH = timedelta(minutes=5)
"""How long a result stands for the same call of another agent: what is asked about is the past, and may still fill."""


class Turn(StrEnum):
    OURS = "ours"  # nobody has run it: we do
    THEIRS = "theirs"  # it runs: look again
    DONE = "done"  # its result is there


@dataclass(frozen=True)
class Standing:
    """Whose turn it is to run a call; `result` is another agent's call that succeeded."""

    turn: Turn
    result: ToolCall | None = None


def take(session: Session, claim: Claim, call: ToolCall) -> Standing:
    """Say who runs this call, and hold the place if it is us. A failed or stale result stands for nobody."""
    ours = _ours(claim, call)
    shared = _held_or_put(session, ours)
    if (shared.agent_id, shared.turn_no, shared.seq) == (ours["agent_id"], ours["turn_no"], ours["seq"]):
        shared.claim_token = claim.token
        return Standing(Turn.OURS)
    other = session.get(ToolCallRow, (shared.agent_id, shared.turn_no, shared.seq), populate_existing=True)
    if other is not None and _is_fresh(session, other):
        return Standing(Turn.DONE, transcripts.to_call(other))
    if other is not None and not ToolCallStatus(other.status).is_final and _is_held(session, shared):
        return Standing(Turn.THEIRS)
    for name, value in ours.items():
        setattr(shared, name, value)
    return Standing(Turn.OURS)


def key_of(call: ToolCall) -> str:
    """Return what makes two calls the same: the tool and its arguments, in whatever order."""
    said = json.dumps([call.tool, call.arguments], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()


def _ours(claim: Claim, call: ToolCall) -> dict[str, str | int]:
    return {
        "investigation_id": claim.agent.investigation_id,
        "key": key_of(call),
        "agent_id": claim.agent.id,
        "turn_no": claim.agent.turn_no,
        "seq": call.seq,
        "claim_token": claim.token,
    }


def _held_or_put(session: Session, ours: dict[str, str | int]) -> SharedCallRow:
    """Return the row of this key, locked: ours, or that of whoever came first."""
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    session.execute(insert(SharedCallRow).values(**ours).on_conflict_do_nothing())
    row = SharedCallRow
    same = (row.investigation_id == ours["investigation_id"], row.key == ours["key"])
    return session.scalars(select(row).where(*same).with_for_update()).one()


def _is_fresh(session: Session, other: ToolCallRow) -> bool:
    if other.status != ToolCallStatus.SUCCEEDED or other.finished_at is None:
        return False
    return other.finished_at > database_now(session) - FRESH


def _is_held(session: Session, shared: SharedCallRow) -> bool:
    """Say whether the step that runs the call is still its holder's."""
    agent = AgentRow
    held = (agent.id == shared.agent_id, agent.claim_token == shared.claim_token)
    return session.scalar(select(agent.id).where(*held, agent.lease_until > database_now(session))) is not None
