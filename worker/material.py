"""Reads what an investigation left in its rows into the material of its report."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from worker.domain.incident import TimeWindow
from worker.domain.orchestration import Contribution
from worker.domain.report import Denial, Evidence, UsageLine, Verification
from worker.domain.states import ToolCallStatus
from worker.domain.transcript import Agent, ToolCall, Transcript
from worker.investigation import decisions, messages
from worker.investigation.conclusion import Material
from worker.investigation.endings import FINDING, REPORT
from worker.investigation.planning import PLANNING_TOOLS
from worker.services import Services
from worker.storage import agents, alerts, artifacts, findings, investigations, transcripts, usage
from worker.storage.alerts import Joined
from worker.tools.window import incident_window

NO_OBSERVATION = frozenset({REPORT.tool.name, FINDING.tool.name, *PLANNING_TOOLS})
EXCERPT_CHARS = 4000
"""What a report shows of one result; the rest is in its artifact."""
MAX_JOINED = 10
"""Related alerts a report names; the rest is a number."""
OFFLINE_NOTE = "Investigated by the built-in offline analyst, not by a language model."


@dataclass(frozen=True)
class _Rows:
    transcript: Transcript
    calls: tuple[ToolCall, ...]
    notes: tuple[str, ...]
    full_texts: dict[str, str]
    contributions: tuple[Contribution, ...]
    verification: Verification | None
    joined: Joined
    usage: tuple[UsageLine, ...]
    elapsed_s: float


def window_of(services: Services, transcript: Transcript) -> TimeWindow:
    return incident_window(transcript.event, services.settings)


def gather(services: Services, agent: Agent) -> Material:
    """Return everything the report is made of, read in one transaction."""
    with services.database.transaction() as session:
        rows = _read(session, agent)
    transcript = rows.transcript
    submission, is_whole = decisions.find_submission(transcript)
    partial = None if submission is not None and is_whole else agent.partial
    evidence = tuple(_evidence(call) for call in rows.calls)
    return Material(
        investigation_id=agent.investigation_id,
        incident_id=transcript.incident_id,
        event=transcript.event,
        window=window_of(services, transcript),
        created_at=datetime.now(UTC),
        submission=submission,
        partial=partial,
        evidence=evidence,
        full_texts=rows.full_texts,
        known_entities=frozenset(name for e in evidence for name in e.entities),
        denials=tuple(_denial(c) for c in rows.calls if c.status is ToolCallStatus.DENIED),
        contributions=rows.contributions,
        verification=rows.verification,
        notes=(*_notes(agent, rows), *_tell_joined(rows.joined)),
        usage=rows.usage,
        models=_models(agent, rows.contributions),
        prompt_versions=messages.prompt_versions(),
        turns=len(transcript.turns) + sum(c.turns for c in rows.contributions),
        duration_s=round(rows.elapsed_s, 3),
    )


def _read(session: Session, agent: Agent) -> _Rows:
    transcript = transcripts.load(session, agent.id)
    contributions = findings.of_investigation(session, agent.investigation_id)
    others = [transcripts.load(session, c.agent_id) for c in contributions]
    calls = tuple(call for each in (transcript, *others) for call in _observations(each))
    own = investigations.lineage(session, agent.investigation_id)
    return _Rows(
        transcript=transcript,
        calls=calls,
        notes=(
            *investigations.route_notes(session, agent.investigation_id),
            *usage.fallbacks(session, agent.investigation_id),
            *(note for each in (transcript, *others) for turn in each.turns for note in turn.notes),
        ),
        full_texts={
            call.evidence_id: artifacts.read(session, own, call.artifact_id) if call.artifact_id else call.text or ""
            for call in calls
        },
        contributions=contributions,
        verification=agents.read_verification(session, agent.id),
        joined=alerts.joined(session, transcript.incident_id, limit=MAX_JOINED),
        usage=usage.lines(session, agent.investigation_id),
        elapsed_s=usage.spent(session, agent.investigation_id).elapsed_s,
    )


def _observations(transcript: Transcript) -> list[ToolCall]:
    """Return the calls that were put to a tool: no ending, no plan, no repetition."""
    return [c for c in transcript.calls if c.tool not in NO_OBSERVATION and c.repeats is None]


def _evidence(call: ToolCall) -> Evidence:
    return Evidence(
        id=call.evidence_id,
        tool=call.tool,
        arguments=call.arguments or {},
        status=call.status,
        window=call.window,
        entities=call.entities,
        excerpt=(call.text or "")[:EXCERPT_CHARS],
        artifact_id=call.artifact_id,
        series=call.series,
        observed_at=call.finished_at,
    )


def _denial(call: ToolCall) -> Denial:
    return Denial(
        tool=call.tool,
        command=call.command or "",
        layer=call.layer or "unknown",
        reason=call.reason or "no reason given",
    )


def _notes(agent: Agent, rows: _Rows) -> tuple[str, ...]:
    offline = (OFFLINE_NOTE,) if agent.route.provider == "offline" else ()
    how = (agent.note,) if agent.note else ()
    return tuple(dict.fromkeys((*offline, *how, *_tell_account(agent), *rows.notes)))


def _tell_account(agent: Agent) -> tuple[str, ...]:
    """Say whose account was told of the incident, where that is not the operator's."""
    if agent.route.billed_to == "platform":
        return ()
    judge = agent.judge_route
    judged = "no command was judged" if judge is None else f"commands were judged by {judge.label}"
    whose = "the same account" if judge and judge.billed_to == "caller" else "the operator's account"
    by = f"{judged}, {whose}" if judge else judged
    return (f"{agent.route.label} was asked with the caller's own account, which the incident named; {by}.",)


def _tell_joined(joined: Joined) -> tuple[str, ...]:
    """Say which alerts joined the incident and why."""
    repeats = (f"The same alert came again: {joined.repeats} more.",) if joined.repeats else ()
    related = tuple(f'The alert "{a.title}" joined this incident: {a.fold_reason}.' for a in joined.first)
    rest = joined.related - len(joined.first)
    return (*repeats, *related, *((f"{rest} more related alerts joined.",) if rest else ()))


def _models(agent: Agent, contributions: tuple[Contribution, ...]) -> dict[str, str]:
    judge = {"judge": agent.judge_route.label} if agent.judge_route else {}
    return {agent.role: agent.route.label, **{c.assignment.role: c.model for c in contributions}, **judge}
