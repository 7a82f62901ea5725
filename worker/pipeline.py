"""The story on one page: accept → admit → turn → judge → act → publish.

Each step claims its agent's row first and commits its result together with what comes next, so it is safe to call
again. What goes wrong inside a step becomes a state in `worker.steps`. Start reading here.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace

import structlog
from sqlalchemy.orm import Session

from worker import acting, arriving, budgeting, judging, material, steps
from worker.asking import ask
from worker.budgeting import NextAsk
from worker.domain.conversation import ModelAnswer
from worker.domain.incident import IncidentEvent
from worker.domain.report import Report
from worker.domain.states import AgentStatus, InvestigationStatus, Purpose, Step, ToolCallStatus
from worker.domain.transcript import Agent, Claim, ToolCall, Turn
from worker.errors import RouteError
from worker.guardrails.pipeline import decide
from worker.intake.events import Offer
from worker.investigation import budget, decisions, messages
from worker.investigation.conclusion import conclude
from worker.llm.routing import Role
from worker.ops import metrics
from worker.services import Services
from worker.storage import (
    admission,
    agents,
    deliveries,
    interventions,
    investigations,
    openings,
    reports,
    transcripts,
    usage,
)
from worker.storage.admission import Routes
from worker.storage.incidents import Accepted
from worker.storage.outbox import WakeUp
from worker.storage.queue import Room

log = structlog.get_logger()

MAX_PARALLEL_CALLS = 8


def accept(services: Services, event: IncidentEvent, *, via: str, delivery: str | None = None) -> Accepted:
    """Take an event in: when this returns it is on disk. `delivery` identifies the message where the event does not.

    The same idempotency key again is answered with the first ids.
    """
    (accepted,) = accept_many(services, [Offer(event, via, delivery)])
    return accepted


def accept_many(services: Services, offers: Sequence[Offer]) -> list[Accepted]:
    """Take many in, all or none, and start as many investigations at once as they opened, if those may run."""
    accepted = arriving.take(services, offers)
    admit_waiting(services, at_most=sum(one.opened for one in accepted))
    return accepted


def admit_waiting(services: Services, *, at_most: int | None = None) -> int:
    """Start queued investigations while more may run. Returns how many were looked at."""
    admitted = 0
    while admitted != at_most and _admit_one(services):
        admitted += 1
    return admitted


def _admit_one(services: Services) -> bool:
    settings = services.settings
    room = Room(settings.rca_max_running, settings.rca_max_running_per_path)
    with services.database.transaction() as session:
        gate = budgeting.DayGate(services, session)
        found = None if gate.is_closed else admission.next_to_admit(session, room=room, may_run=gate.may_run)
        if found is None:
            return False
        investigation, event = found
        try:
            routes = _routes(services, event)
        except RouteError as error:
            failed = InvestigationStatus.FAILED
            investigations.finish(session, investigation.id, failed, failure_class=error.reason, reason=str(error))
            return True
        wake_up = admission.admit(session, investigation, routes, limits=budgeting.limits_of(settings, event.budget))
    services.send([wake_up] if wake_up else [])
    return True


def _routes(services: Services, event: IncidentEvent) -> Routes:
    route = services.router.route(Role.RCA, named=event.model)
    judge = services.router.judge_route()
    if event.local_only and route.data_leaves_host:
        raise RouteError(f"the incident is local_only and {route.label} is not on this host: name a local model")
    if event.local_only and judge is not None and judge.data_leaves_host:
        judge = None  # nobody may judge: what no rule allows is denied
    return Routes(route, judge)


def take_turn(services: Services, agent_id: str, turn_no: int) -> None:
    """Ask the model once and store the answer with what comes next."""
    steps.run(services, Step.TURN, agent_id, turn_no=turn_no, body=_turn)


def _turn(services: Services, claim: Claim) -> None:
    agent = claim.agent
    with services.database.transaction() as session:
        agents.require_wanted(session, claim)
        transcript = transcripts.load_for_turn(session, agent)
    toolbox = acting.toolbox_for(services, transcript)
    scene = messages.Scene(agent.nonce, material.window_of(services, transcript), toolbox.sources())
    draft = messages.Draft(transcript, scene, toolbox.definitions(), agent.route)
    request = messages.build_request(draft, budget.Bound(budget.Stage.OPEN))
    next_ask = budgeting.expect(services, claim, Purpose.RCA, route=agent.route, request=request)
    bound = budgeting.reserve(services, claim, next_ask)
    if bound.is_of_day and not transcript.turns:
        _queue_again(services, claim, next_ask)
        return
    is_over = transcript.resolved_at is not None and services.settings.rca_on_resolve == "finish"
    bound = budget.after_resolve(bound, is_over=is_over)
    if bound.stage is budget.Stage.SPENT:
        _commit(services, claim, AgentStatus.PUBLISHING, partial=bound.reason)
        return
    if bound.stage is budget.Stage.LAST:
        request = messages.build_request(draft, bound)
    answer, booking = ask(services, claim, next_ask, request)
    judges_all = services.settings.guardrails_judge == "every"
    rules = decisions.Rules(toolbox, lambda command: decide(command, policy=services.policy), bound, judges_all)
    outcome = decisions.follow(answer, transcript=transcript, agent=agent, rules=rules)
    turn = replace(
        _finished(agent, answer, calls=outcome.calls),
        note=messages.note_before(transcript, bound, agent.nonce),
        heard_alert_no=transcript.alert_count,
    )

    def store(session: Session) -> None:
        transcripts.add_turn(session, claim, turn)
        usage.book(session, claim, booking)

    _commit(services, claim, outcome.to, partial=outcome.partial, store=store)
    metrics.TURNS.labels(purpose=Purpose.RCA, model=agent.route.label).inc()


def _queue_again(services: Services, claim: Claim, next_ask: NextAsk) -> None:
    """Let an investigation wait for another day that this one has no room for, before it has cost anything."""
    with services.database.transaction() as session:
        openings.queue_again(session, claim, next_ask.call.amount)
    log.info("investigation_queued_again", investigation=claim.agent.investigation_id)


def _finished(agent: Agent, answer: ModelAnswer, *, calls: tuple[ToolCall, ...]) -> Turn:
    return Turn(
        turn_no=agent.turn_no,
        message=answer.message,
        stop_reason=answer.stop_reason,
        model=agent.route.label,
        notes=answer.notes,
        prompt_versions=messages.prompt_versions(),
        calls=calls,
    )


def _commit(
    services: Services,
    claim: Claim,
    to: AgentStatus,
    *,
    partial: str | None = None,
    store: Callable[[Session], None] | None = None,
) -> None:
    """Commit a step with what comes next, or nothing at all; then wake a worker for it."""
    next_turn = claim.agent.turn_no + 1 if to is AgentStatus.READY else None

    def work(session: Session) -> WakeUp | None:
        wake_up = agents.advance(session, claim, to, turn_no=next_turn, partial=partial)
        if store is not None:
            store(session)
        return wake_up

    wake_up = services.database.insist(work, for_s=steps.PATIENCE_S)
    services.send([wake_up] if wake_up else [])


def judge_commands(services: Services, agent_id: str, turn_no: int) -> None:
    """Let the judge decide all commands of the turn that no rule decided."""
    steps.run(services, Step.JUDGE, agent_id, turn_no=turn_no, body=_judge)


def _judge(services: Services, claim: Claim) -> None:
    with services.database.transaction() as session:
        agents.require_wanted(session, claim)
        calls = transcripts.calls_of(session, claim.agent.id)[claim.agent.turn_no]
        path = investigations.get(session, claim.agent.investigation_id).user_path
    judged = judging.judge(services, claim, calls=calls, user_path=path)
    _commit(services, claim, decisions.next_status(judged.calls), store=lambda s: judging.store(s, claim, judged))


def act(services: Services, agent_id: str, turn_no: int) -> None:
    """Run what was allowed, in parallel, and commit each result as it finishes."""
    steps.run(services, Step.ACT, agent_id, turn_no=turn_no, body=_act)


def _act(services: Services, claim: Claim) -> None:
    with services.database.transaction() as session:
        transcript = transcripts.load(session, claim.agent.id)
    toolbox = acting.toolbox_for(services, transcript)
    allowed = [c for c in transcript.turns[-1].calls if c.status is ToolCallStatus.ALLOWED]
    with ThreadPoolExecutor(max_workers=MAX_PARALLEL_CALLS, thread_name_prefix="act") as pool:
        running = [
            pool.submit(acting.run_call, services, claim, toolbox=toolbox, transcript=transcript, call=call)
            for call in allowed
        ]
        for done in as_completed(running):
            done.result()
    _commit(services, claim, AgentStatus.READY)


def publish(services: Services, agent_id: str) -> None:
    """Write the report from the rows, check its claims, and end the investigation."""
    steps.run(services, Step.PUBLISH, agent_id, turn_no=None, body=_publish)


def _publish(services: Services, claim: Claim) -> None:
    report = conclude(material.gather(services, claim.agent))
    clean = Report.model_validate(services.redactor.scrub_json(report.model_dump(mode="json")))

    def store(session: Session) -> None:
        completed = InvestigationStatus.COMPLETED
        if not investigations.finish(session, clean.investigation_id, completed, verdict=clean.verdict):
            return  # cancelled while the report was written: nobody is sent it
        reports.add(session, clean)
        deliveries.owe(session, clean.investigation_id, services.destinations)

    _commit(services, claim, AgentStatus.DONE, store=store)
    metrics.INVESTIGATION_SECONDS.labels(status=InvestigationStatus.COMPLETED).observe(clean.duration_s or 0.0)
    metrics.INVESTIGATIONS_ENDED.labels(status=InvestigationStatus.COMPLETED, verdict=clean.verdict).inc()


def cancel(services: Services, investigation_id: str, *, user_path: str = "/") -> None:
    """End an investigation: after this commit no new call of it starts."""
    with services.database.transaction() as session:
        interventions.cancel(session, investigation_id, user_path=user_path)
    log.info("investigation_cancelled", investigation=investigation_id)


def retry(services: Services, investigation_id: str, *, user_path: str = "/") -> str:
    """Try again from the last finished turn; return the new investigation's id. The old one stays as it is."""
    with services.database.transaction() as session:
        new = interventions.requeue(session, investigation_id, user_path=user_path)
    log.info("investigation_retried", investigation=investigation_id, retry=new)
    admit_waiting(services)
    return new


def rerun(services: Services, investigation_id: str, *, user_path: str = "/") -> str:
    """Investigate the same incident from scratch; return the new investigation's id. The old ones stay as they are."""
    with services.database.transaction() as session:
        new = interventions.rerun(session, investigation_id, user_path=user_path)
    log.info("investigation_rerun", investigation=investigation_id, rerun=new)
    admit_waiting(services)
    return new
