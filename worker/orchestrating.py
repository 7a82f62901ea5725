"""What a lead decides is put into rows: a wave of sub-agents, or that one agent goes on alone."""

from collections.abc import Mapping, Sequence

from sqlalchemy.orm import Session

from worker import steps
from worker.domain.incident import Severity
from worker.domain.orchestration import Plan
from worker.domain.states import AgentKind, AgentStatus
from worker.domain.transcript import Claim
from worker.errors import PermanentError, StorageUnavailableError, TransientError, WorkerError
from worker.investigation.decisions import Outcome
from worker.investigation.planning import Staff, brief
from worker.ops import metrics
from worker.parts import Part
from worker.services import Services
from worker.storage import children, evidence, investigations
from worker.storage.children import Child
from worker.storage.outbox import WakeUp
from worker.storage.tables import AgentRow

SINGLE_ROLE = "single"
NOT_A_SOURCE = frozenset({"topology"})
"""It tells where to look, not what is wrong."""


def find_detour(part: Part) -> Outcome | None:
    """Return what follows without asking the lead's model; None where it is to be asked."""
    if part.is_triage and not part.transcript.turns and (because := _needs_no_triage(part)):
        return Outcome((), AgentStatus.READY, single_because=because)
    if part.answered and not any(c.is_by_model and not c.is_late for c in part.contributions):
        count = len(part.contributions)
        partial = f"none of the {count} sub-agents handed in a finding"
        return Outcome((), AgentStatus.PUBLISHING, partial=partial)
    return None


def _needs_no_triage(part: Part) -> str | None:
    """Say why one agent will do: little is at stake, or there is little to divide."""
    event, sources = part.transcript.event, _sources(part)
    if event.severity in {Severity.LOW, Severity.INFO}:
        return f"the severity is {event.severity}"
    if len(sources) <= 1:
        return f"there is one source to ask: {sources[0]}" if sources else "there is no source to ask"
    if part.staff is None or not part.staff.roles:
        return "no role has a tool that exists for this incident"
    return None


def _sources(part: Part) -> Sequence[str]:
    kinds: Mapping[str, str] = part.draft.scene.sources
    commands = ["commands"] if part.has_commands else []
    return [*(kind for kind in kinds if kind not in NOT_A_SOURCE), *commands]


def after_failure(services: Services, claim: Claim, part: Part, error: WorkerError) -> Outcome | None:
    """Return what follows when a triage cannot be asked: one agent investigates. None: the error goes its way."""
    if not part.is_triage or isinstance(error, StorageUnavailableError):
        return None
    is_over = isinstance(error, TransientError) and steps.is_outage_over(services, claim)
    if not is_over and not isinstance(error, PermanentError):
        return None
    return Outcome((), AgentStatus.READY, single_because=f"triage failed ({error.reason})")


def dispatch(session: Session, claim: Claim, plan: Plan, staff: Staff) -> list[WakeUp]:
    """Create the plan's sub-agents. Where the lead was cancelled meanwhile a retry begins them."""
    lead = session.get_one(AgentRow, claim.agent.id)
    lead.note = lead.note or f"triage chose {len(plan.sub_agents)} sub-agents: {plan.reason}"
    routes = investigations.pinned_routes(session, lead.investigation_id)
    wave = []
    for assignment in plan.sub_agents:
        known = evidence.starting_points(session, lead.investigation_id, assignment.evidence)
        route = routes.of(assignment.role)
        wave.append(Child(brief(assignment, staff.roles[assignment.role], known), route))
        metrics.SUB_AGENTS.labels(role=assignment.role).inc()
    return children.create(session, lead, wave)


def become_single(session: Session, claim: Claim, because: str) -> None:
    """Let a lead go on alone, on the sub-agents' model."""
    row = session.get_one(AgentRow, claim.agent.id)
    routes = investigations.pinned_routes(session, row.investigation_id)
    row.kind, row.role = AgentKind.SINGLE, SINGLE_ROLE
    row.route = routes.subagent.model_dump(mode="json")
    row.note = f"One agent investigated, because {because}."
