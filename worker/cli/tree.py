"""The agents of an investigation as a tree in lines: a lead, or one that works alone, and below it who it sent out."""

from worker.domain.report import Verification
from worker.reporting import words
from worker.reporting.inert import one_line
from worker.reporting.words import several
from worker.storage.activity import Activity
from worker.storage.progress import AgentProgress

SHOWN_CHARS = 120


def tell_tree(activity: Activity) -> list[str]:
    """Return a line for each agent, sub-agents below whoever sent them out, with what they are for."""
    lines = []
    for agent in activity.agents:
        indent = "  " if agent.is_sub_agent else ""
        lines.append(f"{indent}{tell_agent(agent)}")
        lines += [f"{indent}  {shortened(text)}" for text in (agent.purpose, agent.note) if text]
        lines += [f"  {line}" for line in (tell_verification(agent.verification) if agent.verification else ())]
    return lines


def tell_team(activity: Activity) -> list[str]:
    """Return a short line for each sub-agent that is at work."""
    team = [agent for agent in activity.agents if agent.is_sub_agent and agent.is_at_work]
    return [f"  {who(agent.agent_no, agent.role)}: {_standing(agent)}, {_taken(agent)}" for agent in team]


def tell_agent(agent: AgentProgress) -> str:
    """Return one line: who it is, how it stands, what it took."""
    kind = ", ".join(dict.fromkeys((agent.kind, agent.role)))
    wave = f", wave {agent.wave_no}" if agent.is_sub_agent else ""
    return f"agent {agent.agent_no}: {kind}{wave}, {_standing(agent)}, {_taken(agent)}, {one_line(agent.model)}"


def tell_began(agent: AgentProgress) -> str:
    """Return the line of a sub-agent that was sent out."""
    limits = f"{one_line(agent.model)}, until {words.clock(agent.deadline_at)}"
    name = f"{who(agent.agent_no, agent.role)}, wave {agent.wave_no}"
    return f"{words.clock(agent.created_at)}    {name}: {shortened(agent.purpose or '')} ({limits})"


def tell_ended(agent: AgentProgress) -> str:
    """Return the line of a sub-agent that has ended."""
    at = words.clock(agent.finished_at or agent.deadline_at)
    return f"{at}    {who(agent.agent_no, agent.role)}: {_found(agent)} after {_taken(agent)}"


def tell_verification(found: Verification) -> list[str]:
    """Return what the verify pass said, cause by cause, or why it said nothing."""
    checks = [f"  {one_line(words.check_title(c))}: {shortened(c.reason)}" for c in found.checks]
    problem = f": {shortened(found.problem)}" if found.problem else ""
    return [f"{one_line(words.verification_title(found))}{problem}", *checks]


def who(agent_no: int, role: str) -> str:
    return f"agent {agent_no} {role}"


def shortened(text: str) -> str:
    shown = one_line(text)
    return shown if len(shown) <= SHOWN_CHARS else shown[:SHOWN_CHARS] + "…"


def _standing(agent: AgentProgress) -> str:
    if not agent.is_at_work:
        return _found(agent) if agent.is_sub_agent else agent.status
    doing = "is being cancelled" if agent.is_being_cancelled else words.doing(agent.status)
    return f"{doing} (until {words.clock(agent.deadline_at)})"


def _found(agent: AgentProgress) -> str:
    if agent.strength:
        return f"{agent.strength} finding"
    return f"no finding: {one_line(agent.missing)}" if agent.missing else agent.status


def _taken(agent: AgentProgress) -> str:
    turns, calls = several(agent.turns, "turn"), several(sum(agent.tool_calls.values()), "call")
    return f"{turns}, {calls}, {words.count(agent.tokens)} tokens, {words.dollars(agent.cost_usd)}"
