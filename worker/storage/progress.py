"""How far an investigation has come, for those who look on: counts and outcomes, and one result whole."""

from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from worker.domain.conversation import Route
from worker.domain.orchestration import Contribution
from worker.domain.report import Verification
from worker.errors import NotFoundError
from worker.storage import artifacts, findings, investigations, usage
from worker.storage.tables import AgentRow, ToolCallRow, TurnRow
from worker.storage.usage import Used


@dataclass(frozen=True)
class AgentProgress:
    """One agent as it stands; `tool_calls` counts its calls by status.

    Only a sub-agent has a `parent_id`, a `purpose` and, once it has ended, a `strength` or the reason why there is no
    finding of its model's (`missing`). `tokens` and `cost_usd` are None where a part of them is not known.
    """

    id: str
    agent_no: int
    kind: str
    role: str
    status: str
    model: str
    turn_no: int
    turns: int
    created_at: datetime
    deadline_at: datetime
    finished_at: datetime | None
    partial: str | None
    tool_calls: dict[str, int] = field(default_factory=dict)
    parent_id: str | None = None
    wave_no: int | None = None
    purpose: str | None = None
    strength: str | None = None
    missing: str | None = None
    tokens: int | None = 0
    cost_usd: float | None = 0.0
    note: str | None = None
    cancel_requested_at: datetime | None = None
    verification: Verification | None = None

    @property
    def is_sub_agent(self) -> bool:
        return self.parent_id is not None

    @property
    def is_at_work(self) -> bool:
        return self.finished_at is None

    @property
    def is_being_cancelled(self) -> bool:
        return self.is_at_work and self.cancel_requested_at is not None


@dataclass(frozen=True)
class CallProgress:
    """One tool call without what it found."""

    agent_no: int
    turn_no: int
    evidence_id: str
    tool: str
    status: str
    reason: str | None
    duration_ms: int | None
    finished_at: datetime | None


def of_agents(session: Session, investigation_id: str) -> list[AgentProgress]:
    """Return the agents of an investigation in their order."""
    own = select(AgentRow).where(AgentRow.investigation_id == investigation_id)
    turns, calls = _turns(session, investigation_id), _calls(session, investigation_id)
    used = usage.by_agent(session, investigation_id)
    found = {c.agent_id: c for c in findings.of_investigation(session, investigation_id)}
    rows = session.scalars(own.order_by(AgentRow.agent_no, AgentRow.id))
    return [
        _contributed(_progress(row, turns.get(row.id, 0), calls.get(row.id, {}), used.get(row.id)), found.get(row.id))
        for row in rows
    ]


def newest_calls(session: Session, investigation_id: str, *, limit: int) -> list[CallProgress]:
    """Return the last tool calls, newest first."""
    call = ToolCallRow
    wanted = (
        select(
            AgentRow.agent_no,
            call.turn_no,
            call.evidence_id,
            call.tool,
            call.status,
            call.reason,
            call.duration_ms,
            call.finished_at,
        )
        .join(AgentRow, AgentRow.id == call.agent_id)
        .where(AgentRow.investigation_id == investigation_id)
        .order_by(call.turn_no.desc(), AgentRow.agent_no.desc(), call.seq.desc())
        .limit(limit)
    )
    return [CallProgress(*row) for row in session.execute(wanted)]


def whole_evidence(session: Session, investigation_id: str, evidence_id: str) -> str:
    """Return a result whole, also where the transcript holds only a part. Raises `NotFoundError`."""
    call = ToolCallRow
    wanted = (
        select(call)
        .join(AgentRow, AgentRow.id == call.agent_id)
        .where(AgentRow.investigation_id == investigation_id, call.evidence_id == evidence_id)
    )
    row = session.scalars(wanted.limit(1)).first()
    if row is None or row.text is None:
        raise NotFoundError(f"there is no result {evidence_id!r} in this investigation")
    if row.artifact_id is None:
        return row.text
    return artifacts.read(session, investigations.lineage(session, investigation_id), row.artifact_id)


def _turns(session: Session, investigation_id: str) -> dict[str, int]:
    counted = (
        select(TurnRow.agent_id, func.count())
        .join(AgentRow, AgentRow.id == TurnRow.agent_id)
        .where(AgentRow.investigation_id == investigation_id)
        .group_by(TurnRow.agent_id)
    )
    return dict(session.execute(counted).all())


def _calls(session: Session, investigation_id: str) -> dict[str, dict[str, int]]:
    counted = (
        select(ToolCallRow.agent_id, ToolCallRow.status, func.count())
        .join(AgentRow, AgentRow.id == ToolCallRow.agent_id)
        .where(AgentRow.investigation_id == investigation_id)
        .group_by(ToolCallRow.agent_id, ToolCallRow.status)
    )
    found: dict[str, dict[str, int]] = {}
    for agent_id, status, number in session.execute(counted):
        found.setdefault(agent_id, {})[status] = number
    return found


def _progress(row: AgentRow, turns: int, calls: dict[str, int], used: Used | None) -> AgentProgress:
    used = used or Used()
    return AgentProgress(
        id=row.id,
        agent_no=row.agent_no,
        kind=row.kind,
        role=row.role,
        status=row.status,
        model=Route.model_validate(row.route).label,
        turn_no=row.turn_no,
        turns=turns,
        created_at=row.created_at,
        deadline_at=row.deadline_at,
        finished_at=row.finished_at,
        partial=row.partial,
        tool_calls=calls,
        parent_id=row.parent_id,
        wave_no=row.wave_no,
        tokens=used.tokens,
        cost_usd=used.cost_usd,
        note=row.note,
        cancel_requested_at=row.cancel_requested_at,
        verification=Verification.model_validate(row.verification) if row.verification else None,
    )


def _contributed(agent: AgentProgress, found: Contribution | None) -> AgentProgress:
    """Say what a sub-agent is for, and how well it did once it has ended."""
    if found is None:
        return agent
    missing = found.missing if found.finding else None
    strength = found.finding.strength if found.finding and not missing else None
    return replace(agent, purpose=found.assignment.purpose, strength=strength, missing=missing)
