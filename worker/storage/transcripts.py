"""Transcripts: turns and tool calls, stored as they finish and read back in order."""

from dataclasses import replace

from sqlalchemy import insert, literal, select
from sqlalchemy.orm import Session

from worker.domain.conversation import AssistantMessage
from worker.domain.incident import TimeWindow
from worker.domain.report import Series
from worker.domain.states import AgentKind, Purpose, ToolCallStatus
from worker.domain.transcript import Agent, Claim, ToolCall, Transcript, Turn
from worker.storage import alerts, investigations
from worker.storage.database import database_now
from worker.storage.tables import AgentRow, Base, IncidentRow, InvestigationRow, ToolCallRow, TurnRow


def load(session: Session, agent_id: str) -> Transcript:
    """Return everything the agent was told and said."""
    about = (
        select(IncidentRow, InvestigationRow)
        .join(InvestigationRow, InvestigationRow.incident_id == IncidentRow.id)
        .join(AgentRow, AgentRow.investigation_id == InvestigationRow.id)
        .where(AgentRow.id == agent_id)
    )
    incident, investigation = session.execute(about).one()
    is_over = incident.resolved_at is not None and incident.resolved_at > investigation.created_at
    turns = session.scalars(select(TurnRow).where(TurnRow.agent_id == agent_id).order_by(TurnRow.turn_no)).all()
    calls = calls_of(session, agent_id) if turns else {}
    return Transcript(
        incident_id=incident.id,
        event=investigations.own_event(investigation, incident),
        started_at=incident.started_at,
        turns=tuple(_to_turn(row, calls.get(row.turn_no, ())) for row in turns),
        alert_count=incident.alert_count,
        resolved_at=incident.resolved_at if is_over else None,
    )


def load_for_turn(session: Session, agent: Agent) -> Transcript:
    """Return everything the agent was told and said, with what it has to be told before its next turn.

    What a single agent was asked as a lead is none of its conversation.
    """
    transcript = load(session, agent.id)
    if agent.kind is AgentKind.SINGLE:
        own = tuple(t for t in transcript.turns if t.purpose is not Purpose.ORCHESTRATOR)
        transcript = replace(transcript, turns=own)
    heard, until = transcript.heard, transcript.alert_count
    if until <= heard:
        return transcript
    return replace(transcript, news=alerts.news(session, transcript.incident_id, heard=heard, until=until))


def calls_of(session: Session, agent_id: str) -> dict[int, tuple[ToolCall, ...]]:
    """Return the agent's tool calls by turn."""
    wanted = select(ToolCallRow).where(ToolCallRow.agent_id == agent_id).order_by(ToolCallRow.turn_no, ToolCallRow.seq)
    by_turn: dict[int, tuple[ToolCall, ...]] = {}
    for row in session.scalars(wanted):
        by_turn[row.turn_no] = (*by_turn.get(row.turn_no, ()), to_call(row))
    return by_turn


def add_turn(session: Session, claim: Claim, turn: Turn) -> None:
    """Store a finished turn with the tool calls it asks for."""
    now = database_now(session)
    session.add(
        TurnRow(
            agent_id=claim.agent.id,
            turn_no=turn.turn_no,
            note=turn.note,
            heard_alert_no=turn.heard_alert_no,
            purpose=turn.purpose,
            message=turn.message.model_dump(mode="json"),
            stop_reason=turn.stop_reason,
            model=turn.model,
            notes=list(turn.notes),
            prompt_versions=turn.prompt_versions or {},
            created_at=now,
        )
    )
    session.flush()
    for call in turn.calls:
        put_call(session, claim, call)


def put_call(session: Session, claim: Claim, call: ToolCall, *, turn_no: int | None = None) -> None:
    """Store a tool call as it stands now, over what was stored of it before; None: of the turn that is claimed."""
    session.merge(
        ToolCallRow(
            agent_id=claim.agent.id,
            turn_no=turn_no or claim.agent.turn_no,
            seq=call.seq,
            evidence_id=call.evidence_id,
            request_id=call.request_id,
            tool=call.tool,
            arguments=call.arguments,
            command=call.command,
            status=call.status,
            layer=call.layer,
            reason=call.reason,
            repeats=call.repeats,
            text=call.text,
            artifact_id=call.artifact_id,
            window=call.window.model_dump(mode="json") if call.window else None,
            entities=list(call.entities),
            series=[s.model_dump(mode="json") for s in call.series],
            row_count=call.row_count,
            duration_ms=call.duration_ms,
            finished_at=database_now(session) if call.status.is_final else None,
        )
    )
    session.flush()


def copy(session: Session, from_agent: str, to_agent: str) -> None:
    """Give one agent the turns and tool calls of another."""
    for table in (Base.metadata.tables["turns"], Base.metadata.tables["tool_calls"]):
        others = [c for c in table.columns if c.name != "agent_id"]
        rows = select(literal(to_agent), *others).where(table.c.agent_id == from_agent)
        session.execute(insert(table).from_select(["agent_id", *(c.name for c in others)], rows))


def _to_turn(row: TurnRow, calls: tuple[ToolCall, ...]) -> Turn:
    return Turn(
        turn_no=row.turn_no,
        message=AssistantMessage.model_validate(row.message),
        note=row.note,
        heard_alert_no=row.heard_alert_no,
        purpose=Purpose(row.purpose) if row.purpose else Purpose.RCA,
        stop_reason=row.stop_reason,
        model=row.model,
        notes=tuple(row.notes),
        prompt_versions=row.prompt_versions,
        calls=calls,
    )


def to_call(row: ToolCallRow) -> ToolCall:
    return ToolCall(
        seq=row.seq,
        evidence_id=row.evidence_id,
        request_id=row.request_id,
        tool=row.tool,
        arguments=row.arguments,
        status=ToolCallStatus(row.status),
        command=row.command,
        layer=row.layer,
        reason=row.reason,
        repeats=row.repeats,
        text=row.text,
        artifact_id=row.artifact_id,
        window=TimeWindow.model_validate(row.window) if row.window else None,
        entities=tuple(row.entities),
        series=tuple(Series.model_validate(s) for s in row.series),
        row_count=row.row_count,
        duration_ms=row.duration_ms,
        finished_at=row.finished_at,
    )
