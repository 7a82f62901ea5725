"""What an investigation's agents did, in order and without what they found: light enough to be asked twice a second."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from worker.storage import investigations, usage
from worker.storage.database import database_now
from worker.storage.investigations import Listed
from worker.storage.progress import AgentProgress, of_agents
from worker.storage.tables import AgentRow, AlertRow, ToolCallRow, TurnRow, UsageRow


@dataclass(frozen=True)
class DoneCall:
    """One tool call as it stands."""

    agent_no: int
    turn_no: int
    seq: int
    evidence_id: str
    tool: str
    arguments: dict[str, Any] | None
    command: str | None
    status: str
    layer: str | None
    reason: str | None
    repeats: str | None
    duration_ms: int | None
    finished_at: datetime | None


@dataclass(frozen=True)
class DoneTurn:
    """One finished model call, with the tool calls it asked for."""

    agent_no: int
    role: str
    turn_no: int
    model: str
    stop_reason: str
    notes: tuple[str, ...]
    finished_at: datetime
    calls: tuple[DoneCall, ...]


@dataclass(frozen=True)
class FailedAsk:
    """One model call that got no answer; `outcome` is the reason of its error."""

    id: int
    agent_no: int
    role: str
    purpose: str
    model: str
    outcome: str
    failed_at: datetime


@dataclass(frozen=True)
class Activity:
    """Everything so far. `cost_usd` leaves out calls whose price is unknown (`unpriced_calls`).

    `is_orchestrated` says whether it began with a lead, also where that chose to go on alone.
    """

    investigation: Listed
    is_orchestrated: bool
    admitted_at: datetime | None
    now: datetime
    agents: tuple[AgentProgress, ...]
    turns: tuple[DoneTurn, ...]
    failed_asks: tuple[FailedAsk, ...]
    tokens: int
    cost_usd: float
    unpriced_calls: int

    @property
    def elapsed_s(self) -> float:
        """Seconds since the investigation was admitted, or was queued if it waits still."""
        began = self.admitted_at or self.investigation.created_at
        return max(((self.investigation.finished_at or self.now) - began).total_seconds(), 0.0)


def load(session: Session, investigation_id: str, *, user_path: str = "/") -> Activity:
    """Return what happened so far. Raises `NotFoundError`."""
    row = investigations.get(session, investigation_id, user_path=user_path)
    spent = usage.spent(session, investigation_id)
    return Activity(
        investigation=investigations.describe(session, row),
        is_orchestrated=row.routes is not None,
        admitted_at=row.admitted_at,
        now=database_now(session),
        agents=tuple(of_agents(session, investigation_id)),
        turns=_turns(session, investigation_id),
        failed_asks=_failed_asks(session, investigation_id),
        tokens=spent.tokens,
        cost_usd=spent.cost_usd,
        unpriced_calls=spent.unpriced_calls,
    )


def investigation_of_alert(session: Session, *, user_path: str, key: str) -> str | None:
    """Return the investigation that an event led to or joined; None while it is not taken in, empty if it has none."""
    row = AlertRow
    return session.scalar(select(row.investigation_id).where(row.user_path == user_path, row.idempotency_key == key))


def _turns(session: Session, investigation_id: str) -> tuple[DoneTurn, ...]:
    row, calls = TurnRow, _calls(session, investigation_id)
    wanted = (
        select(AgentRow.agent_no, AgentRow.role, row.turn_no, row.model, row.stop_reason, row.notes, row.created_at)
        .join(AgentRow, AgentRow.id == row.agent_id)
        .where(AgentRow.investigation_id == investigation_id)
        .order_by(row.created_at, AgentRow.agent_no, row.turn_no)
    )
    return tuple(
        DoneTurn(agent_no, role, turn_no, model, stop, tuple(notes), at, calls.get((agent_no, turn_no), ()))
        for agent_no, role, turn_no, model, stop, notes, at in session.execute(wanted)
    )


def _failed_asks(session: Session, investigation_id: str) -> tuple[FailedAsk, ...]:
    row = UsageRow
    model = row.provider + "/" + row.model
    wanted = (
        select(row.id, AgentRow.agent_no, AgentRow.role, row.purpose, model, row.outcome, row.created_at)
        .join(AgentRow, AgentRow.id == row.agent_id)
        .where(row.investigation_id == investigation_id, row.outcome.not_in([usage.OK, usage.RESERVED]))
        .order_by(row.id)
    )
    return tuple(FailedAsk(*found) for found in session.execute(wanted))


def _calls(session: Session, investigation_id: str) -> dict[tuple[int, int], tuple[DoneCall, ...]]:
    row = ToolCallRow
    wanted = (
        select(
            AgentRow.agent_no, row.turn_no, row.seq, row.evidence_id, row.tool, row.arguments, row.command,
            row.status, row.layer, row.reason, row.repeats, row.duration_ms, row.finished_at,
        )
        .join(AgentRow, AgentRow.id == row.agent_id)
        .where(AgentRow.investigation_id == investigation_id)
        .order_by(AgentRow.agent_no, row.turn_no, row.seq)
    )  # fmt: skip
    by_turn: dict[tuple[int, int], tuple[DoneCall, ...]] = {}
    for found in session.execute(wanted):
        call = DoneCall(*found)
        by_turn[call.agent_no, call.turn_no] = (*by_turn.get((call.agent_no, call.turn_no), ()), call)
    return by_turn
