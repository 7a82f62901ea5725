"""Our work as spans: investigation, agent, step, model call, tool call. Ids, numbers and names; never what was said.

Names and attributes are those of OpenTelemetry's conventions for generative AI where it has any, else `rca.*`.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from worker.domain.conversation import ModelAnswer
from worker.domain.states import ToolCallStatus
from worker.domain.transcript import Claim, ToolCall
from worker.ops.tracing import Span, Tracer, Value
from worker.storage.endings import Ended
from worker.storage.tables import AgentRow, InvestigationRow
from worker.storage.usage import OK, Call

STORED = "stored"
"""The outcome of a step that did what it was for."""
WORKFLOW = "investigation"


def telling(tracer: Tracer) -> Callable[[Ended], None]:
    """Return what emits the span of an agent or an investigation when told of its end."""
    return lambda ended: tracer.emit(of_end(ended))


def of_end(ended: Ended) -> Span:
    """Return the span of what has ended, over all of its time, whoever worked on it."""
    if isinstance(ended.row, AgentRow):
        return _of_agent(ended.row, ended.failure_class)
    return _of_investigation(ended.row)


def of_step(claim: Claim, *, since: float, outcome: str) -> Span:
    """Return the span of one try at a step. `since` is when it began, by the monotonic clock, as everywhere here."""
    return Span(
        investigation_id=claim.agent.investigation_id,
        key=claim.token,
        parent=claim.agent.id,
        name=claim.step.value,
        started_at=_began(since),
        ended_at=datetime.now(UTC),
        attributes={**_whose(claim), "rca.step.outcome": outcome},
        error=None if outcome == STORED else outcome,
    )


def of_model_call(claim: Claim, call: Call, *, since: float, answer: ModelAnswer | None = None) -> Span:
    """Return the span of one model call, its retries included."""
    return Span(
        investigation_id=claim.agent.investigation_id,
        key=f"{claim.token}/model",
        parent=claim.token,
        name=f"chat {call.route.model}",
        started_at=_began(since),
        ended_at=datetime.now(UTC),
        attributes={**_whose(claim), **_asked(call), **_answered(answer)},
        error=None if call.outcome == OK else call.outcome,
        is_client=True,
    )


def of_tool_call(claim: Claim, call: ToolCall, *, since: float) -> Span:
    """Return the span of one tool call that has run, or whose result another agent's call gave."""
    return Span(
        investigation_id=claim.agent.investigation_id,
        key=f"{claim.token}/{call.evidence_id}",
        parent=claim.token,
        name=f"execute_tool {call.tool}",
        started_at=_began(since),
        ended_at=datetime.now(UTC),
        attributes={
            **_whose(claim),
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": call.tool,
            "gen_ai.tool.type": "function",
            "gen_ai.tool.call.id": call.evidence_id,
            "rca.tool.repeats": call.repeats,
        },
        error=(call.reason or call.status.value) if call.status is ToolCallStatus.FAILED else None,
    )


def _of_investigation(row: InvestigationRow) -> Span:
    """Return the root. One that was never admitted has waited all of its time."""
    return Span(
        investigation_id=row.id,
        key=row.id,
        parent=None,
        name=f"invoke_workflow {WORKFLOW}",
        started_at=row.admitted_at or row.created_at,
        ended_at=_end_of(row),
        attributes={
            "gen_ai.operation.name": "invoke_workflow",
            "gen_ai.workflow.name": WORKFLOW,
            "rca.investigation.id": row.id,
            "rca.incident.id": row.incident_id,
            "rca.attempt_no": row.attempt_no,
            "rca.status": row.status,
            "rca.verdict": row.verdict,
        },
        error=row.failure_class,
        follows=row.retry_of,
    )


def _of_agent(row: AgentRow, failure_class: str | None) -> Span:
    return Span(
        investigation_id=row.investigation_id,
        key=row.id,
        parent=row.parent_id or row.investigation_id,
        name=f"invoke_agent {row.role}",
        started_at=row.created_at,
        ended_at=_end_of(row),
        attributes={
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.id": row.id,
            "gen_ai.agent.name": row.role,
            "gen_ai.conversation.id": row.id,
            "gen_ai.provider.name": row.route["provider"],
            "gen_ai.request.model": row.route["model"],
            "rca.investigation.id": row.investigation_id,
            "rca.agent.no": row.agent_no,
            "rca.agent.kind": row.kind,
            "rca.status": row.status,
            "rca.turn_no": row.turn_no,
        },
        error=failure_class,
    )


def _end_of(row: AgentRow | InvestigationRow) -> datetime:
    return row.finished_at or datetime.now(UTC)


def _whose(claim: Claim) -> dict[str, Value | None]:
    agent = claim.agent
    return {
        "gen_ai.agent.id": agent.id,
        "gen_ai.agent.name": agent.role,
        "gen_ai.conversation.id": agent.id,
        "rca.investigation.id": agent.investigation_id,
        "rca.turn_no": agent.turn_no,
    }


def _asked(call: Call) -> dict[str, Value | None]:
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": call.route.provider,
        "gen_ai.request.model": call.route.model,
        "gen_ai.usage.input_tokens": call.usage.input_tokens,
        "gen_ai.usage.cache_read.input_tokens": call.usage.cached_input_tokens,
        "gen_ai.usage.cache_creation.input_tokens": call.usage.cache_write_tokens,
        "gen_ai.usage.output_tokens": call.usage.output_tokens,
        "gen_ai.usage.reasoning.output_tokens": call.usage.reasoning_tokens,
        "rca.purpose": call.purpose.value,
        "rca.attempts": call.attempts,
        "rca.cost_usd": call.cost_usd,
        "rca.fallback_of": call.fallback_of,
    }


def _answered(answer: ModelAnswer | None) -> dict[str, Value | None]:
    if answer is None:
        return {}
    reasons = [answer.stop_reason.value]
    return {"gen_ai.response.model": answer.model or None, "gen_ai.response.finish_reasons": reasons}


def _began(since: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=time.monotonic() - since)
