"""An investigation's activity in lines: all of it, or what is new since somebody last looked."""

from collections.abc import Iterator
from datetime import datetime

from worker.cli.tree import shortened, tell_began, tell_ended, tell_verification, who
from worker.domain.states import AgentStatus, InvestigationStatus, Purpose, ToolCallStatus
from worker.investigation.findings import FINDING_TOOL
from worker.investigation.planning import DISPATCH_TOOL, TRIAGE_TOOL
from worker.investigation.submission import TOOL_NAME
from worker.reporting import words
from worker.reporting.inert import one_line
from worker.reporting.words import several
from worker.storage.activity import Activity, DoneCall, DoneTurn, FailedAsk
from worker.storage.deliveries import Listed

JUDGE = "judge"

Happened = tuple[datetime, int, list[str]]
"""When, its place among what happened in the same commit, and the lines that tell it."""

_TELLING = {TOOL_NAME: "verdict", FINDING_TOOL: "strength", TRIAGE_TOOL: "approach", DISPATCH_TOOL: None}
"""The argument worth a line of what hands something in or sends somebody out: the rest is told in its own place."""
_ASIDE: dict[str, str] = {Purpose.JUDGE: "the judge", Purpose.VERIFY: "the verifier"}


def tell_news(before: Activity | None, after: Activity) -> list[str]:
    """Return a line for each thing that happened in between, in the order of turns.

    What sub-agents do is indented and named after them, so that parallel work can be told apart.
    """
    tellers = (_turns, _notes, _comings, _failures)
    happened = sorted((found for tell in tellers for found in tell(before, after)), key=lambda found: found[:2])
    lines = [line for _, _, told in happened for line in told]
    return [*_beginning(before, after), *lines, *_verifications(before, after)]


def tell_turn(turn: DoneTurn) -> str:
    asked = ", ".join(one_line(call.tool) for call in turn.calls) or "no tool"
    name = f"  {who(turn.agent_no, turn.role)}, " if turn.agent_no else ""
    return f"{words.clock(turn.finished_at)}  {name}turn {turn.turn_no}: {asked}"


def tell_call(call: DoneCall) -> str:
    """Return evidence id, tool, what it was asked, and how it stands."""
    indent = "  " if call.agent_no else ""
    return f"            {indent}{call.evidence_id} {one_line(call.tool)}{_asked(call)}: {outcome(call)}"


def tell_failed_ask(ask: FailedAsk) -> str:
    name = f"  {who(ask.agent_no, ask.role)}: " if ask.agent_no else ""
    asked = _ASIDE.get(ask.purpose, "the model")
    return f"{words.clock(ask.failed_at)}  {name}{asked} did not answer: {ask.outcome} ({one_line(ask.model)})"


def tell_delivery(row: Listed) -> str:
    """Return one line: which report, where to, how it stands, why not."""
    why = f": {one_line(row.failure)}" if row.failure else ""
    again = f", again at {words.utc(row.next_attempt_at)}" if row.next_attempt_at and row.attempts else ""
    tried = f" after {several(row.attempts, 'attempt')}" if row.attempts else ""
    return f"{row.id}  {row.investigation_id}  {one_line(row.destination)}  {row.status}{tried}{again}{why}"


def outcome(call: DoneCall) -> str:
    """Say how a call stands, who decided it and why."""
    if call.repeats:
        return f"asked before, see {one_line(call.repeats)}"
    by_judge = " (allowed by the judge)" if call.layer == JUDGE else ""
    why = f": {one_line(call.reason)}" if call.reason else ""
    took = f" in {call.duration_ms} ms" if call.duration_ms is not None else ""
    return {
        ToolCallStatus.PROPOSED: "waits for the judge",
        ToolCallStatus.ALLOWED: f"allowed by the judge{why}" if by_judge else "allowed",
        ToolCallStatus.DENIED: f"denied by {call.layer or 'a guardrail'}{why}",
        ToolCallStatus.FAILED: f"failed{took}{why}",
        ToolCallStatus.SUCCEEDED: f"succeeded{took}{by_judge}",
    }[ToolCallStatus(call.status)]


def tell_status(activity: Activity) -> str:
    """Return one line: what goes on now, how far it is, what it cost."""
    calls = sum(len(turn.calls) for turn in activity.turns)
    counts = (several(len(activity.turns), "turn"), several(calls, "call"))
    parts = (_doing(activity), *counts, tell_cost(activity))
    return " · ".join((*parts, words.duration(activity.elapsed_s)))


def tell_cost(activity: Activity) -> str:
    """Return tokens and dollars; a price that is unknown is said to be."""
    known = words.dollars(activity.cost_usd)
    unpriced = several(activity.unpriced_calls, "call")
    unknown = f" and {unpriced} of unknown price" if activity.unpriced_calls else ""
    return f"{words.count(activity.tokens)} tokens, {known}{unknown}"


def _turns(before: Activity | None, after: Activity) -> Iterator[Happened]:
    known_turns = {(t.agent_no, t.turn_no) for t in before.turns} if before else set()
    known_calls = {_key(c): c for t in before.turns for c in t.calls} if before else {}
    for turn in after.turns:
        is_new = (turn.agent_no, turn.turn_no) not in known_turns
        calls = [tell_call(call) for call in turn.calls if _is_news(known_calls.get(_key(call)), call)]
        yield turn.finished_at, 2 if turn.agent_no else 0, [*([tell_turn(turn)] if is_new else []), *calls]


def _comings(before: Activity | None, after: Activity) -> Iterator[Happened]:
    """Tell which sub-agents were sent out, and which came back with what."""
    known = {a.id: a for a in before.agents} if before else {}
    for agent in after.agents:
        if not agent.is_sub_agent:
            continue
        if agent.id not in known:
            first_turns = (t.finished_at for t in after.turns if t.agent_no == agent.agent_no)
            yield min((agent.created_at, *first_turns)), 1, [tell_began(agent)]
        if agent.finished_at and (agent.id not in known or known[agent.id].is_at_work):
            yield agent.finished_at, 3, [tell_ended(agent)]


def _failures(before: Activity | None, after: Activity) -> Iterator[Happened]:
    known = {ask.id for ask in before.failed_asks} if before else set()
    yield from ((ask.failed_at, 2, [tell_failed_ask(ask)]) for ask in after.failed_asks if ask.id not in known)


def _notes(before: Activity | None, after: Activity) -> Iterator[Happened]:
    """Tell why a lead sent sub-agents out, just before they are told, or why it did not."""
    known = {a.note for a in before.agents} if before else set()
    for agent in after.agents:
        if agent.note and agent.note not in known:
            sent = (a.created_at for a in after.agents if a.parent_id == agent.id)
            yield min(sent, default=agent.created_at), 1, [f"            {shortened(agent.note)}"]


def _verifications(before: Activity | None, after: Activity) -> list[str]:
    known = {a.id for a in before.agents if a.verification} if before else set()
    new = [a.verification for a in after.agents if a.verification and a.id not in known]
    return [f"            {line}" for found in new for line in tell_verification(found)]


def _beginning(before: Activity | None, after: Activity) -> list[str]:
    if after.agents and not (before and before.agents):
        at = words.clock(after.admitted_at or after.investigation.created_at)
        return [f"{at}  investigated by {', '.join(one_line(a.model) for a in after.agents if not a.is_sub_agent)}"]
    if before is None and after.investigation.status == InvestigationStatus.QUEUED:
        return [f"{words.clock(after.investigation.created_at)}  queued: it starts when a worker has room"]
    return []


def _doing(activity: Activity) -> str:
    if activity.investigation.status != InvestigationStatus.RUNNING:
        return activity.investigation.status
    live = [a for a in activity.agents if a.is_at_work and a.status != AgentStatus.WAITING_CHILDREN]
    doing = ", ".join(dict.fromkeys(words.doing(agent.status) for agent in live))
    sub_agents = sum(a.is_sub_agent for a in live)
    return f"{several(sub_agents, 'sub-agent')} at work ({doing})" if sub_agents else doing or "ends"


def _is_news(before: DoneCall | None, now: DoneCall) -> bool:
    """Hide what a rule allowed until it has run: the turn's line has named it."""
    changed = before is None or before.status != now.status
    return changed and (now.status != ToolCallStatus.ALLOWED or now.layer == JUDGE)


def _asked(call: DoneCall) -> str:
    arguments = call.arguments or {}
    if call.tool in _TELLING:
        arguments = {name: arguments[name] for name in arguments if name == _TELLING[call.tool]}
    shown = shortened(call.command or words.arguments_line(arguments))
    return f" {shown}" if shown else ""


def _key(call: DoneCall) -> tuple[int, int, int]:
    return (call.agent_no, call.turn_no, call.seq)
