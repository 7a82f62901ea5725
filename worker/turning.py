"""What a turn leaves behind: the answer with its tool calls, what it cost, and whoever goes on from it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from worker import orchestrating, verifying
from worker.committing import commit
from worker.domain.conversation import ModelAnswer
from worker.domain.orchestration import gathered
from worker.domain.states import AgentKind, AgentStatus, ToolCallStatus
from worker.domain.transcript import Claim, Turn
from worker.investigation import budget, loops, messages
from worker.investigation.budget import Bound
from worker.investigation.decisions import Outcome
from worker.ops import metrics
from worker.parts import Part
from worker.services import Services
from worker.steps import PATIENCE_S
from worker.storage import agents, findings, transcripts, usage
from worker.storage.outbox import WakeUp
from worker.storage.tables import AgentRow

SYNTHESIS_FAILED = "synthesis_failed"


@dataclass(frozen=True)
class Said:
    """What a model answered, what it cost, and the bound it was asked under."""

    answer: ModelAnswer
    booking: usage.Call
    bound: Bound


def narrowed(services: Services, part: Part, bound: Bound) -> Bound:
    """Return the bound of the turn: the incident may be over, or the agent may be going in circles."""
    is_over = part.transcript.resolved_at is not None and services.settings.rca_on_resolve == "finish"
    return loops.after_loops(budget.after_resolve(bound, is_over=is_over), part.transcript)


def store(services: Services, claim: Claim, part: Part, outcome: Outcome, *, said: Said | None = None) -> None:
    """Commit the turn with what follows from it. Without an answer the agent takes the same turn in another way."""

    def work(session: Session) -> list[WakeUp]:
        if said is not None:
            transcripts.add_turn(session, claim, _turn(part, outcome, said))
            usage.book(session, claim, said.booking)
        for call in part.answered:
            transcripts.put_call(session, claim, call, turn_no=part.transcript.turns[-1].turn_no)
        return _go_on(session, claim, part, outcome)

    if outcome.to is AgentStatus.FAILED:
        _fail(services, claim, outcome, work)
        return
    to = _next_status(services, part, outcome)
    commit(services, claim, to, partial=outcome.partial, store=work, is_same_turn=said is None)
    if part.agent.kind is AgentKind.SUB and outcome.to is AgentStatus.DONE:
        metrics.FINDINGS.labels(role=part.agent.role, by="model" if outcome.finding else "code").inc()
    if said is not None:
        metrics.TURNS.labels(purpose=part.purpose, model=said.booking.route.label).inc()


def _fail(services: Services, claim: Claim, outcome: Outcome, store: Callable[[Session], object]) -> None:
    """Keep the turn, which is paid for, and end the agent; a retry goes on with the next one."""

    def work(session: Session) -> None:
        store(session)
        reason = outcome.partial or "it gave up"
        agents.fail(session, claim, failure_class=SYNTHESIS_FAILED, reason=reason, turn_no=claim.agent.turn_no + 1)

    services.database.insist(work, for_s=PATIENCE_S)


def _turn(part: Part, outcome: Outcome, said: Said) -> Turn:
    return Turn(
        turn_no=part.agent.turn_no,
        message=said.answer.message,
        note=messages.note_before(part.draft, said.bound),
        heard_alert_no=part.transcript.alert_count,
        purpose=part.purpose,
        stop_reason=said.answer.stop_reason,
        model=said.booking.route.label,
        notes=said.answer.notes,
        prompt_versions=messages.prompt_versions(),
        calls=outcome.calls,
    )


def _next_status(services: Services, part: Part, outcome: Outcome) -> AgentStatus:
    """Let a whole report be verified before it is published."""
    is_whole = outcome.to is AgentStatus.PUBLISHING and outcome.partial is None
    if is_whole and verifying.is_wanted(services.settings, part.agent):
        return AgentStatus.AWAITING_VERIFY
    return outcome.to


def _go_on(session: Session, claim: Claim, part: Part, outcome: Outcome) -> list[WakeUp]:
    """Do what the outcome asks for beside the agent's own next step."""
    if outcome.plan is not None and part.staff is not None:
        return orchestrating.dispatch(session, claim, outcome.plan, part.staff)
    if outcome.single_because is not None:
        orchestrating.become_single(session, claim, outcome.single_because)
    if part.agent.kind is AgentKind.SUB and outcome.to is AgentStatus.DONE:
        _add_finding(session, part, outcome)
    return []


def _add_finding(session: Session, part: Part, outcome: Outcome) -> None:
    """Store what the sub-agent handed in, as far as its results go, or what code can say in its place."""
    child, seen = session.get_one(AgentRow, part.agent.id), _seen_ids(part)
    if outcome.finding is not None:
        findings.add(session, child, outcome.finding.citing_only(seen))
        return
    reason = outcome.partial or "it handed in nothing"
    findings.add(session, child, gathered(reason, seen), reason=reason)


def _seen_ids(part: Part) -> Sequence[str]:
    """Return the ids of the results that the agent has seen, by which they are cited."""
    succeeded = [c for c in part.transcript.calls if c.status is ToolCallStatus.SUCCEEDED]
    shown = [p.evidence_id for p in part.agent.brief.starting_points] if part.agent.brief else []
    return list(dict.fromkeys((*(c.repeats or c.evidence_id for c in succeeded), *shown)))
