"""A lead's plans: who looks at which kind of signal, and who looks once more."""

from collections.abc import Iterable
from dataclasses import dataclass

from worker.domain.orchestration import Approach, Assignment, Plan
from worker.investigation.offline.reading import Record

_EMPTY = frozenset({"no rows", "none"})
"""What is told of a source that holds nothing."""
_LEAST_SIGNALS = 2


@dataclass(frozen=True)
class _Post:
    """A role with the kinds of source it asks: the first is its signal, others help to read it."""

    role: str
    kinds: tuple[str, ...]
    purpose: str


_MEASURING = _Post("runtime_state_investigator", ("metrics",), "Which measurements left their usual range, and when?")
_POSTS = (
    _MEASURING,
    _Post("error_signal_investigator", ("logs",), "Which complaints are new or more frequent, and about whom?"),
    _Post("dependency_investigator", ("traces", "topology"), "Along which calls is time lost, and who fails first?"),
    _Post("recent_change_investigator", ("changes",), "What was changed before it began, and what of it fits?"),
    _Post("general_investigator", ("recordings",), "What do all other tools tell that is not as it should be?"),
)


def write_plan(record: Record, tool: str) -> Plan:
    """Send one for each kind of signal; where there is but one kind, there is nothing to divide."""
    there = [kind for kind, told in record.sources.items() if told not in _EMPTY]
    posts = [p for p in _POSTS if p.role in _roles(record, tool) and any(kind in there for kind in p.kinds)]
    signals = [p.kinds[0] for p in posts if p.kinds[0] in there]
    if len(signals) < _LEAST_SIGNALS:
        return Plan(approach=Approach.SINGLE, reason="there are no two kinds of signal to look at side by side")
    shared = {p: [k for other in posts if other is not p for k in other.kinds if k in there] for p in posts}
    return Plan(
        approach=Approach.FAN_OUT,
        reason=f"these can be looked at side by side: {', '.join(signals)}",
        sub_agents=tuple(
            Assignment(role=p.role, purpose=p.purpose, boundary=", ".join(others)) for p, others in shared.items()
        ),
    )


def write_closer_look(record: Record, tool: str, entities: Iterable[str]) -> Plan | None:
    """Send one to measure these closer; None where nobody can be sent for it."""
    focus = ", ".join(entities)[:1000]
    if not focus or _MEASURING.role not in _roles(record, tool) or _MEASURING.kinds[0] not in record.sources:
        return None
    purpose = "Did these leave their usual range, who are blamed or called by who is?"
    return Plan(
        approach=Approach.FAN_OUT,
        reason="before an entity is blamed, everything it calls is measured closer",
        sub_agents=(Assignment(role=_MEASURING.role, purpose=purpose, focus=focus),),
    )


def _roles(record: Record, tool: str) -> frozenset[str]:
    """Return whom the tool lets a lead send; nobody where it is not offered."""
    plan = record.offered.get(tool, {}).get("properties", {})
    return frozenset(plan.get("sub_agents", {}).get("items", {}).get("properties", {}).get("role", {}).get("enum", ()))
