"""An investigation's activity in lines: all of it, or what is new since somebody last looked."""

from worker.domain.states import AgentStatus, InvestigationStatus, ToolCallStatus
from worker.investigation.submission import TOOL_NAME
from worker.reporting import words
from worker.reporting.inert import one_line
from worker.storage.activity import Activity, DoneCall, DoneTurn, FailedAsk
from worker.storage.deliveries import Listed

JUDGE = "judge"
ARGUMENT_CHARS = 120

_DOING = {
    AgentStatus.READY: "waits for a worker",
    AgentStatus.ASKING: "the model is asked",
    AgentStatus.AWAITING_JUDGE: "commands wait for the judge",
    AgentStatus.JUDGING: "the judge decides",
    AgentStatus.READY_TO_ACT: "tools wait for a worker",
    AgentStatus.ACTING: "tools run",
    AgentStatus.WAITING_CHILDREN: "sub-agents work",
    AgentStatus.PUBLISHING: "the report is written",
}


def tell_news(before: Activity | None, after: Activity) -> list[str]:
    """Return a line for each thing that happened in between, in the order of turns."""
    known_turns = {(t.agent_no, t.turn_no) for t in before.turns} if before else set()
    known_calls = {_key(c): c for t in before.turns for c in t.calls} if before else {}
    known_asks = {ask.id for ask in before.failed_asks} if before else set()
    lines = _beginning(before, after)
    for turn in after.turns:
        if (turn.agent_no, turn.turn_no) not in known_turns:
            lines.append(tell_turn(turn))
        lines += [tell_call(call) for call in turn.calls if _is_news(known_calls.get(_key(call)), call)]
    return lines + [tell_failed_ask(ask) for ask in after.failed_asks if ask.id not in known_asks]


def tell_turn(turn: DoneTurn) -> str:
    asked = ", ".join(one_line(call.tool) for call in turn.calls) or "no tool"
    return f"{words.clock(turn.finished_at)}  {_who(turn.agent_no)}turn {turn.turn_no}: {asked}"


def tell_call(call: DoneCall) -> str:
    """Return evidence id, tool, what it was asked, and how it stands."""
    return f"            {call.evidence_id} {one_line(call.tool)}{_asked(call)}: {outcome(call)}"


def tell_failed_ask(ask: FailedAsk) -> str:
    who = "the judge" if ask.purpose == JUDGE else "the model"
    return f"{words.clock(ask.failed_at)}  {who} did not answer: {ask.outcome} ({one_line(ask.model)})"


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


def several(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _beginning(before: Activity | None, after: Activity) -> list[str]:
    if after.agents and not (before and before.agents):
        at = words.clock(after.admitted_at or after.investigation.created_at)
        return [f"{at}  investigated by {', '.join(dict.fromkeys(one_line(a.model) for a in after.agents))}"]
    if before is None and after.investigation.status == InvestigationStatus.QUEUED:
        return [f"{words.clock(after.investigation.created_at)}  queued: it starts when a worker has room"]
    return []


def _doing(activity: Activity) -> str:
    if activity.investigation.status != InvestigationStatus.RUNNING:
        return activity.investigation.status
    live = [a.status for a in activity.agents if not AgentStatus(a.status).is_final]
    return ", ".join(dict.fromkeys(_DOING[AgentStatus(status)] for status in live)) or "ends"


def _is_news(before: DoneCall | None, now: DoneCall) -> bool:
    """Hide what a rule allowed until it has run: the turn's line has named it."""
    changed = before is None or before.status != now.status
    return changed and (now.status != ToolCallStatus.ALLOWED or now.layer == JUDGE)


def _asked(call: DoneCall) -> str:
    arguments = call.arguments or {}
    if call.tool == TOOL_NAME:
        arguments = {name: arguments[name] for name in arguments if name == "verdict"}  # the rest is the report
    text = one_line(call.command or words.arguments_line(arguments))
    shown = text if len(text) <= ARGUMENT_CHARS else text[:ARGUMENT_CHARS] + "…"
    return f" {shown}" if shown else ""


def _who(agent_no: int) -> str:
    return f"agent {agent_no} " if agent_no else ""


def _key(call: DoneCall) -> tuple[int, int, int]:
    return (call.agent_no, call.turn_no, call.seq)
