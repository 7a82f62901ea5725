"""Plans: the tools by which a lead says who investigates what, and how they are read."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError

from worker.domain.conversation import JsonObject, ToolDefinition
from worker.domain.orchestration import Approach, Assignment, Brief, Plan, StartingPoint
from worker.errors import ToolInputError
from worker.investigation.arguments import explain, tidied
from worker.investigation.roles import RoleCard
from worker.investigation.submission import strict_schema

TRIAGE_TOOL, DISPATCH_TOOL = "triage", "dispatch"
PLANNING_TOOLS = frozenset({TRIAGE_TOOL, DISPATCH_TOOL})
MAX_SUB_AGENTS = 6
MAX_WAVES = 2


@dataclass(frozen=True)
class Staff:
    """Whom a lead may send: roles by name. `assigned` are the sub-agents of the waves before, `evidence` known ids."""

    roles: Mapping[str, RoleCard]
    assigned: tuple[Assignment, ...] = ()
    evidence: Collection[str] = field(default_factory=frozenset)
    waves: int = 0


def planning_tools(roles: Iterable[RoleCard]) -> tuple[ToolDefinition, ToolDefinition]:
    """Return `triage`, which begins an investigation, and `dispatch`, which asks for one more wave."""
    names = [role.name for role in roles]
    schema = strict_schema(Plan.model_json_schema())
    schema["properties"]["sub_agents"]["items"]["properties"]["role"]["enum"] = names
    later = {name: value for name, value in schema["properties"].items() if name != "approach"}
    return (
        ToolDefinition(
            name=TRIAGE_TOOL,
            description=(
                "Say how this incident is investigated: `single` by one agent, or `fan_out` to sub-agents that work in"
                f" parallel, {MAX_SUB_AGENTS} at most, each with a question of its own. This comes first."
            ),
            parameters=schema,
        ),
        ToolDefinition(
            name=DISPATCH_TOOL,
            description=(
                "Send one more wave of sub-agents, for what the findings left open and what would change the answer."
            ),
            parameters={**schema, "properties": later, "required": list(later)},
        ),
    )


def parse_plan(tool: str, arguments: JsonObject, staff: Staff) -> Plan:
    """Read a plan; `ToolInputError` tells the lead what cannot be done. Ids of evidence not there are dropped."""
    asked = {**arguments, "approach": Approach.FAN_OUT} if tool == DISPATCH_TOOL else arguments
    try:
        plan = Plan.model_validate(tidied(asked, lists=("sub_agents",), words=("approach",), cites=False))
    except ValidationError as error:
        raise ToolInputError(explain(error, tool)) from error
    if plan.approach is Approach.SINGLE:
        return plan.model_copy(update={"sub_agents": ()})
    if problems := list(_find_problems(plan, staff)):
        raise ToolInputError("\n".join((f"This plan cannot be followed. Call {tool} again:", *problems)))
    return plan.model_copy(update={"sub_agents": tuple(_with_known(a, staff) for a in plan.sub_agents)})


def _find_problems(plan: Plan, staff: Staff) -> Iterable[str]:
    if staff.waves >= MAX_WAVES:
        yield f"- there were {MAX_WAVES} waves already; answer from what they found"
    if not 1 <= len(plan.sub_agents) <= MAX_SUB_AGENTS:
        yield f"- {len(plan.sub_agents)} sub-agents; a wave has 1 to {MAX_SUB_AGENTS}"
    for name in dict.fromkeys(a.role for a in plan.sub_agents if a.role not in staff.roles):
        yield f"- there is no role {name!r} here; there are: {', '.join(staff.roles)}"
    known = {_key(a) for a in staff.assigned}
    for assignment in plan.sub_agents:
        if _key(assignment) in known:
            yield f"- {assignment.role} has this task already: {assignment.purpose[:200]!r}"
        known.add(_key(assignment))


def _key(assignment: Assignment) -> tuple[str, str, str]:
    """Return what makes two assignments the same, in whatever case and spacing."""
    window = assignment.window.model_dump_json() if assignment.window else ""
    return assignment.role, " ".join(assignment.purpose.lower().split()), window


def _with_known(assignment: Assignment, staff: Staff) -> Assignment:
    return assignment.model_copy(update={"evidence": tuple(i for i in assignment.evidence if i in staff.evidence)})


def brief(assignment: Assignment, card: RoleCard, starting_points: tuple[StartingPoint, ...]) -> Brief:
    """Return what a sub-agent is told, whatever becomes of the role's file."""
    return Brief(
        assignment=assignment,
        instructions=card.instructions,
        tools=card.tools,
        max_turns=card.max_turns,
        max_seconds=card.max_seconds,
        starting_points=starting_points,
    )
