"""What follows from a model's answer: which calls may run, what the next status is."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from worker.domain.conversation import ModelAnswer, ToolDefinition, ToolRequest
from worker.domain.ids import evidence_id
from worker.domain.report import Submission
from worker.domain.states import AgentStatus, ToolCallStatus
from worker.domain.transcript import Agent, ToolCall, Transcript, Turn
from worker.errors import ToolInputError
from worker.guardrails.decision import Decision, DecisionVerdict
from worker.investigation import submission
from worker.investigation.budget import Bound, Stage

MAX_BAD_REPORTS = 2
"""Answers in a row that should have been a report, or a tool call, and were neither."""


class Tools(Protocol):
    """What decisions need to know of the tools an agent was offered."""

    def definitions(self) -> tuple[ToolDefinition, ...]: ...

    def command_of(self, name: str, arguments: Mapping[str, Any]) -> str | None: ...


@dataclass(frozen=True)
class Outcome:
    """What a turn leads to: its tool calls as they stand, the next status, and why the report is not whole."""

    calls: tuple[ToolCall, ...]
    to: AgentStatus
    partial: str | None = None


@dataclass(frozen=True)
class Rules:
    """How an answer is read: the tools on offer, the guardrail's decision, the bound of this turn.

    `judges_all` sends what the rules allow to the judge as well.
    """

    tools: Tools
    decide: Callable[[str], Decision]
    bound: Bound
    judges_all: bool = False


def follow(answer: ModelAnswer, *, transcript: Transcript, agent: Agent, rules: Rules) -> Outcome:
    """Decide what comes after this answer."""
    requests = answer.message.tool_requests
    calls = _once(_call(r, i, transcript=transcript, agent=agent, rules=rules) for i, r in enumerate(requests, 1))
    if any(_is_report(c) and c.status is ToolCallStatus.SUCCEEDED for c in calls):
        return _published(calls, None)
    if not calls or any(_is_report(c) for c in calls):
        bad = 1 + _bad_reports(transcript)
        if bad >= MAX_BAD_REPORTS:
            return _published(calls, "the model did not hand in a valid report")
    if rules.bound.stage is Stage.LAST:
        return _published(calls, rules.bound.reason)
    return Outcome(calls, next_status(calls))


def _published(calls: tuple[ToolCall, ...], partial: str | None) -> Outcome:
    return Outcome(tuple(_dropped(c) for c in calls), AgentStatus.PUBLISHING, partial)


def next_status(calls: tuple[ToolCall, ...]) -> AgentStatus:
    """Return where an agent with these calls goes: to the judge, to act, or to its next turn."""
    statuses = {c.status for c in calls}
    if ToolCallStatus.PROPOSED in statuses:
        return AgentStatus.AWAITING_JUDGE
    return AgentStatus.READY_TO_ACT if ToolCallStatus.ALLOWED in statuses else AgentStatus.READY


def find_submission(transcript: Transcript) -> tuple[Submission | None, bool]:
    """Return the report the model handed in, and whether it was whole; a broken one is salvaged."""
    reports = [c for c in transcript.calls if _is_report(c)]
    for call in reversed(reports):
        if call.status is ToolCallStatus.SUCCEEDED and call.arguments is not None:
            return submission.parse_submission(call.arguments), True
    for call in reversed(reports):
        salvaged = submission.salvage(call.arguments) if call.arguments is not None else None
        if salvaged is not None:
            return salvaged, False
    return None, False


def _call(request: ToolRequest, seq: int, *, transcript: Transcript, agent: Agent, rules: Rules) -> ToolCall:
    status, fields = _first_status(request, transcript, rules)
    return ToolCall(
        seq=seq,
        evidence_id=evidence_id(agent.agent_no, agent.turn_no, seq),
        request_id=request.id,
        tool=request.name,
        arguments=request.arguments,
        status=status,
        **fields,
    )


def _first_status(request: ToolRequest, transcript: Transcript, rules: Rules) -> tuple[ToolCallStatus, dict[str, Any]]:
    """Say how a call begins: settled already, allowed, or for the judge to decide."""
    if request.arguments is None:
        sent = request.raw_arguments[:200]
        return ToolCallStatus.FAILED, {"text": f"The arguments are not a JSON object: {sent!r}. Send one."}
    if request.name == submission.TOOL_NAME:
        return _report_status(request.arguments)
    offered = [d.name for d in rules.tools.definitions()]
    if request.name not in offered:
        return ToolCallStatus.FAILED, {"text": f"There is no tool {request.name!r}. There are: {', '.join(offered)}."}
    earlier = _same_call(request, transcript)
    if earlier is not None:
        text = f"Asked before with the same arguments: the answer is {earlier}."
        return ToolCallStatus.SUCCEEDED, {"text": text, "repeats": earlier}
    return _guarded(rules.tools.command_of(request.name, request.arguments), rules)


def _report_status(arguments: dict[str, Any]) -> tuple[ToolCallStatus, dict[str, Any]]:
    try:
        submission.parse_submission(arguments)
    except ToolInputError as error:
        return ToolCallStatus.FAILED, {"text": str(error)}
    return ToolCallStatus.SUCCEEDED, {"text": "The report is taken."}


def _guarded(command: str | None, rules: Rules) -> tuple[ToolCallStatus, dict[str, Any]]:
    if command is None:
        return ToolCallStatus.ALLOWED, {}
    decision = rules.decide(command)
    fields = {"command": command, "layer": decision.layer, "reason": decision.reason}
    if decision.verdict is DecisionVerdict.DENY:
        return ToolCallStatus.DENIED, {**fields, "text": f"Denied by {decision.layer}: {decision.reason}"}
    is_allowed = decision.verdict is DecisionVerdict.ALLOW and not rules.judges_all
    return ToolCallStatus.ALLOWED if is_allowed else ToolCallStatus.PROPOSED, fields


def _once(calls: Iterable[ToolCall]) -> tuple[ToolCall, ...]:
    """Let a call that one answer asks for twice run once."""
    kept: list[ToolCall] = []
    for call in calls:
        same = next((c for c in kept if (c.tool, c.arguments) == (call.tool, call.arguments)), None)
        kept.append(call if same is None or call.status.is_final else _repeating(call, same.evidence_id))
    return tuple(kept)


def _repeating(call: ToolCall, evidence_id: str) -> ToolCall:
    text = f"Asked twice at once: the answer is {evidence_id}."
    return replace(call, status=ToolCallStatus.SUCCEEDED, text=text, repeats=evidence_id, layer=None, reason=None)


def _same_call(request: ToolRequest, transcript: Transcript) -> str | None:
    """Return the evidence id of the same call, if it was made before and answered."""
    for call in transcript.calls:
        is_same = (call.tool, call.arguments) == (request.name, request.arguments)
        if is_same and call.status is ToolCallStatus.SUCCEEDED and call.repeats is None:
            return call.evidence_id
    return None


def _is_report(call: ToolCall) -> bool:
    return call.tool == submission.TOOL_NAME


def _dropped(call: ToolCall) -> ToolCall:
    """Settle what was asked for beside the end of the investigation: nothing more runs."""
    if call.status.is_final:
        return call
    return replace(call, status=ToolCallStatus.FAILED, text="Not run: the investigation had come to its end.")


def _bad_reports(transcript: Transcript) -> int:
    """Count the turns at the end that were neither a tool call nor a valid report."""
    count = 0
    for turn in reversed(transcript.turns):
        if not _was_bad(turn):
            break
        count += 1
    return count


def _was_bad(turn: Turn) -> bool:
    return not turn.calls or any(_is_report(c) and c.status is ToolCallStatus.FAILED for c in turn.calls)
