"""What follows from a model's answer: which calls may run, what the next status is."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from worker.domain.conversation import ModelAnswer, ToolDefinition, ToolRequest
from worker.domain.ids import evidence_id
from worker.domain.orchestration import Approach, Finding, Plan
from worker.domain.report import Submission
from worker.domain.states import AgentStatus, ToolCallStatus
from worker.domain.transcript import Agent, ToolCall, Transcript, Turn
from worker.errors import ToolInputError
from worker.guardrails.decision import Decision, DecisionVerdict
from worker.investigation import submission
from worker.investigation.budget import Bound, Stage
from worker.investigation.endings import REPORT, Ending
from worker.investigation.findings import FINDING_TOOL, parse_finding
from worker.investigation.planning import PLANNING_TOOLS, TRIAGE_TOOL, Staff, parse_plan

MAX_BAD_ANSWERS = 2
"""Answers in a row that should have been a report, a finding or a plan, or a tool call, and were none."""


class Tools(Protocol):
    """What decisions need to know of the tools an agent was offered."""

    def definitions(self) -> tuple[ToolDefinition, ...]: ...

    def command_of(self, name: str, arguments: Mapping[str, Any]) -> str | None: ...


@dataclass(frozen=True)
class Outcome:
    """What a turn leads to: its tool calls as they stand, the next status, and why the report is not whole.

    `plan` is a wave of sub-agents to be created; `single_because` says why a lead goes on as a single agent.
    """

    calls: tuple[ToolCall, ...]
    to: AgentStatus
    partial: str | None = None
    plan: Plan | None = None
    single_because: str | None = None

    @property
    def finding(self) -> Finding | None:
        """What a sub-agent handed in; None where it is for code to write."""
        taken = (c for c in self.calls if c.status is ToolCallStatus.SUCCEEDED and c.arguments is not None)
        return next((parse_finding(c.arguments or {}) for c in taken if c.tool == FINDING_TOOL), None)


@dataclass(frozen=True)
class Rules:
    """How an answer is read: the tools on offer, the guardrail's decision, the bound of this turn.

    `judges_all` sends what the rules allow to the judge as well. `staff` is whom a lead may send; None for others.
    """

    tools: Tools
    decide: Callable[[str], Decision]
    bound: Bound
    judges_all: bool = False
    ending: Ending | None = REPORT
    staff: Staff | None = None


def follow(answer: ModelAnswer, *, transcript: Transcript, agent: Agent, rules: Rules) -> Outcome:
    """Decide what comes after this answer."""
    calls = _calls(answer, transcript, agent, rules)
    if any(_is_taken(c, rules) for c in calls):
        return _ended(calls, rules, None)
    is_last = rules.bound.stage is Stage.LAST
    if rules.staff is not None and not is_last and (planned := _find_planned(calls)):
        plan = parse_plan(planned.tool, planned.arguments or {}, rules.staff)
        return Outcome(_settled(calls, keep=planned), AgentStatus.WAITING_CHILDREN, plan=plan)
    if not calls or any(_is_ending(c, rules) for c in calls):
        bad = 1 + _bad_answers(transcript, rules)
        if bad >= MAX_BAD_ANSWERS:
            return _given_up(calls, transcript, rules)
    if is_last:
        return _ended(calls, rules, rules.bound.reason)
    return Outcome(calls, next_status(calls))


def follow_triage(answer: ModelAnswer, *, transcript: Transcript, agent: Agent, rules: Rules) -> Outcome:
    """Decide what comes after a triage: a wave of sub-agents, one agent, or one more try."""
    calls = _calls(answer, transcript, agent, replace(rules, ending=None))
    planned = _find_planned(calls)
    if planned is None or rules.staff is None:
        is_last_try = len(transcript.turns) + 1 >= MAX_BAD_ANSWERS
        because = "triage gave no plan that can be followed" if is_last_try else None
        return Outcome(_settled(calls), AgentStatus.READY, single_because=because)
    plan = parse_plan(planned.tool, planned.arguments or {}, rules.staff)
    calls = _settled(calls, keep=planned)
    if plan.approach is Approach.FAN_OUT:
        return Outcome(calls, AgentStatus.WAITING_CHILDREN, plan=plan)
    calls = tuple(replace(c, status=ToolCallStatus.SUCCEEDED) if c.seq == planned.seq else c for c in calls)
    return Outcome(calls, AgentStatus.READY, single_because=f"triage chose so: {plan.reason}")


def is_triaged(transcript: Transcript) -> bool:
    """Say whether a lead has a plan already."""
    return any(c.tool == TRIAGE_TOOL and c.status is not ToolCallStatus.FAILED for c in transcript.calls)


def _calls(answer: ModelAnswer, transcript: Transcript, agent: Agent, rules: Rules) -> tuple[ToolCall, ...]:
    requests = answer.message.tool_requests
    return _once(_call(r, i, transcript=transcript, agent=agent, rules=rules) for i, r in enumerate(requests, 1))


def _ended(calls: tuple[ToolCall, ...], rules: Rules, partial: str | None) -> Outcome:
    to = rules.ending.to if rules.ending else AgentStatus.PUBLISHING
    return Outcome(_settled(calls), to, partial)


def _given_up(calls: tuple[ToolCall, ...], transcript: Transcript, rules: Rules) -> Outcome:
    """End without what was asked for. A lead of whose report nothing is left has failed: others' work waits for it."""
    ended = _ended(calls, rules, f"the model did not hand in a valid {_noun(rules)}")
    if rules.staff is None or find_submission(transcript, beside=calls)[0] is not None:
        return ended
    return replace(ended, to=AgentStatus.FAILED)


def _find_planned(calls: Iterable[ToolCall]) -> ToolCall | None:
    """Return the first planning call that was taken."""
    return next((c for c in calls if c.tool in PLANNING_TOOLS and c.status is ToolCallStatus.ALLOWED), None)


def next_status(calls: tuple[ToolCall, ...]) -> AgentStatus:
    """Return where an agent with these calls goes: to the judge, to act, or to its next turn."""
    statuses = {c.status for c in calls}
    if ToolCallStatus.PROPOSED in statuses:
        return AgentStatus.AWAITING_JUDGE
    return AgentStatus.READY_TO_ACT if ToolCallStatus.ALLOWED in statuses else AgentStatus.READY


def find_submission(transcript: Transcript, *, beside: tuple[ToolCall, ...] = ()) -> tuple[Submission | None, bool]:
    """Return the report the model handed in, and whether it was whole; a broken one is salvaged.

    `beside` are calls that are not in the transcript yet.
    """
    reports = [c for c in (*transcript.calls, *beside) if c.tool == REPORT.tool.name]
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
    if rules.ending is not None and request.name == rules.ending.tool.name:
        return _ending_status(request.arguments, rules.ending)
    offered = [d.name for d in rules.tools.definitions()]
    if request.name not in offered:
        return ToolCallStatus.FAILED, {"text": f"There is no tool {request.name!r}. There are: {', '.join(offered)}."}
    if request.name in PLANNING_TOOLS and rules.staff is not None:
        return _plan_status(request.name, request.arguments, rules.staff)
    earlier = _same_call(request, transcript)
    if earlier is not None:
        text = f"Asked before with the same arguments: the answer is {earlier}."
        return ToolCallStatus.SUCCEEDED, {"text": text, "repeats": earlier}
    return _guarded(rules.tools.command_of(request.name, request.arguments), rules)


def _ending_status(arguments: dict[str, Any], ending: Ending) -> tuple[ToolCallStatus, dict[str, Any]]:
    try:
        ending.parse(arguments)
    except ToolInputError as error:
        return ToolCallStatus.FAILED, {"text": str(error)}
    return ToolCallStatus.SUCCEEDED, {"text": f"The {ending.noun} is taken."}


def _plan_status(tool: str, arguments: dict[str, Any], staff: Staff) -> tuple[ToolCallStatus, dict[str, Any]]:
    """Let a plan that can be followed wait for its findings: they will be its result."""
    try:
        parse_plan(tool, arguments, staff)
    except ToolInputError as error:
        return ToolCallStatus.FAILED, {"text": str(error)}
    return ToolCallStatus.ALLOWED, {}


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


def _is_ending(call: ToolCall, rules: Rules) -> bool:
    return rules.ending is not None and call.tool == rules.ending.tool.name


def _is_taken(call: ToolCall, rules: Rules) -> bool:
    return _is_ending(call, rules) and call.status is ToolCallStatus.SUCCEEDED


def _noun(rules: Rules) -> str:
    return rules.ending.noun if rules.ending else "answer"


def _settled(calls: tuple[ToolCall, ...], *, keep: ToolCall | None = None) -> tuple[ToolCall, ...]:
    """Settle what was asked for beside an end or a plan: nothing more runs now."""
    text = "Not run: it came together with a plan or the end."
    return tuple(
        c if c.status.is_final or c is keep else replace(c, status=ToolCallStatus.FAILED, text=text) for c in calls
    )


def _bad_answers(transcript: Transcript, rules: Rules) -> int:
    """Count the turns at the end that were neither a tool call nor a valid ending."""
    count = 0
    for turn in reversed(transcript.turns):
        if not _was_bad(turn, rules):
            break
        count += 1
    return count


def _was_bad(turn: Turn, rules: Rules) -> bool:
    return not turn.calls or any(_is_ending(c, rules) and c.status is ToolCallStatus.FAILED for c in turn.calls)
