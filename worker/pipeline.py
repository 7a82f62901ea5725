"""The story on one page: accept → admit → turn → judge → act → (join) → verify → publish.

Each step claims its agent's row first and commits its result together with what comes next, so it is safe to call
again. What goes wrong inside a step becomes a state in `worker.steps`. Start reading here.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

import structlog
from sqlalchemy.orm import Session

from worker import (
    acting,
    arriving,
    budgeting,
    judging,
    material,
    orchestrating,
    parts,
    steps,
    turning,
    verifying,
)
from worker.asking import ask
from worker.budgeting import NextAsk
from worker.committing import commit
from worker.domain.incident import IncidentEvent
from worker.domain.orchestration import PinnedRoutes
from worker.domain.report import Report
from worker.domain.states import AgentStatus, InvestigationStatus, Step, ToolCallStatus
from worker.domain.transcript import Claim
from worker.errors import ByoCredentialExpiredError, ProviderUnavailableError, RouteError, WorkerError
from worker.intake.events import Offer
from worker.investigation import budget, decisions, messages
from worker.investigation.conclusion import conclude
from worker.investigation.decisions import Outcome
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
)
from worker.storage.admission import Routes
from worker.storage.incidents import Accepted
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
            routes = _routes(services, event, investigation.user_path)
        except ProviderUnavailableError:
            return False  # a caller's key is kept in Redis, which is away
        except (RouteError, ByoCredentialExpiredError) as error:
            failed = InvestigationStatus.FAILED
            investigations.finish(session, investigation.id, failed, failure_class=error.reason, reason=str(error))
            return True
        wake_ups = admission.admit(session, investigation, routes, limits=budgeting.limits_of(settings, event.budget))
    services.send(wake_ups)
    return True


def _routes(services: Services, event: IncidentEvent, user_path: str) -> Routes:
    """Return the routes as they are now. Raises RouteError where there are none, or the path may not use them."""
    generation = services.router.generation
    if event.llm is not None and event.llm.handle:
        return _callers_routes(services, event, user_path)
    judge = services.router.judge_route(local_only=event.local_only)  # None: what no rule allows is denied
    cards = services.roles.cards.values()
    pinned = services.router.pinned(cards, named=event.model, local_only=event.local_only)
    if pinned is not None:
        services.router.require_access(pinned.all, user_path=user_path)
        return Routes(pinned.orchestrator, judge, pinned, generation)
    route = services.router.route(Role.RCA, named=event.model, local_only=event.local_only)
    services.router.require_access([route], user_path=user_path)
    return Routes(route, judge, generation=generation)


def _callers_routes(services: Services, event: IncidentEvent, user_path: str) -> Routes:
    """Return the routes of an incident that brings its own account: to it alone, but for the operator's judge."""
    account = services.callers.find(event.llm.handle or "" if event.llm else "", user_path=user_path)
    own = services.router.callers_route(account, local_only=event.local_only)
    judge = own if account.for_all else services.router.judge_route(local_only=event.local_only)
    is_team = services.settings.orchestrator_enabled
    pinned = PinnedRoutes(orchestrator=own, subagent=own) if is_team else None
    return Routes(own, judge, pinned, services.router.generation)


def take_turn(services: Services, agent_id: str, turn_no: int) -> None:
    """Ask the model once and store the answer with what comes next."""
    steps.run(services, Step.TURN, agent_id, turn_no=turn_no, body=_turn)


def _turn(services: Services, claim: Claim) -> None:
    part = parts.cast(services, claim)
    if detour := orchestrating.find_detour(part):
        turning.store(services, claim, part, detour)
        return
    request = messages.build_request(part.draft, budget.Bound(budget.Stage.OPEN))
    next_ask = budgeting.expect(services, claim, part.purpose, route=part.agent.route, request=request)
    bound = budgeting.reserve(services, claim, next_ask)
    if bound.is_of_day and claim.agent.turn_no == 1:
        _queue_again(services, claim, next_ask)
        return
    bound = turning.narrowed(services, part, bound)
    if bound.stage is budget.Stage.SPENT:
        turning.store(services, claim, part, Outcome((), part.draft.ending.to, partial=bound.reason))
        return
    if bound.stage is budget.Stage.LAST:
        request = messages.build_request(part.draft, bound)
    try:
        answer, booking = ask(services, claim, next_ask, request)
    except WorkerError as error:
        outcome = orchestrating.after_failure(services, claim, part, error)
        if outcome is None:
            raise
        turning.store(services, claim, part, outcome)
        return
    outcome = part.follow(services, answer, bound)
    turning.store(services, claim, part, outcome, said=turning.Said(answer, booking, bound))


def _queue_again(services: Services, claim: Claim, next_ask: NextAsk) -> None:
    """Let an investigation wait for another day that this one has no room for, before it has cost anything."""
    with services.database.transaction() as session:
        openings.queue_again(session, claim, next_ask.call.amount)
    log.info("investigation_queued_again", investigation=claim.agent.investigation_id)


def judge_commands(services: Services, agent_id: str, turn_no: int) -> None:
    """Let the judge decide all commands of the turn that no rule decided."""
    steps.run(services, Step.JUDGE, agent_id, turn_no=turn_no, body=_judge)


def _judge(services: Services, claim: Claim) -> None:
    with services.database.transaction() as session:
        agents.require_wanted(session, claim)
        calls = transcripts.calls_of(session, claim.agent.id)[claim.agent.turn_no]
        path = investigations.get(session, claim.agent.investigation_id).user_path
    judged = judging.judge(services, claim, calls=calls, user_path=path)
    commit(services, claim, decisions.next_status(judged.calls), store=lambda s: judging.store(s, claim, judged))


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
    commit(services, claim, AgentStatus.READY)


def verify(services: Services, agent_id: str, turn_no: int) -> None:
    """Let a second call try to refute the report's root causes."""
    steps.run(services, Step.VERIFY, agent_id, turn_no=turn_no, body=_verify)


def _verify(services: Services, claim: Claim) -> None:
    with services.database.transaction() as session:
        agents.require_wanted(session, claim)
    verified = verifying.verify(services, claim, material.gather(services, claim.agent))
    commit(services, claim, AgentStatus.PUBLISHING, store=lambda s: verifying.store(s, claim, verified))


def publish(services: Services, agent_id: str) -> None:
    """Write the report from the rows, check its claims, and end the investigation."""
    steps.run(services, Step.PUBLISH, agent_id, turn_no=None, body=_publish)


def _publish(services: Services, claim: Claim) -> None:
    found = material.gather(services, claim.agent)
    report = conclude(found)
    clean = Report.model_validate(services.redactor.scrub_json(report.model_dump(mode="json")))

    def store(session: Session) -> None:
        completed = InvestigationStatus.COMPLETED
        if not investigations.finish(session, clean.investigation_id, completed, verdict=clean.verdict):
            return  # cancelled while the report was written: nobody is sent it
        reports.add(session, clean)
        deliveries.owe(session, clean.investigation_id, services.destinations)

    commit(services, claim, AgentStatus.DONE, store=store)
    if found.event.llm is not None and found.event.llm.handle:
        services.callers.drop(found.event.llm.handle)
    metrics.INVESTIGATION_SECONDS.labels(status=InvestigationStatus.COMPLETED).observe(clean.duration_s or 0.0)
    metrics.INVESTIGATIONS_ENDED.labels(status=InvestigationStatus.COMPLETED, verdict=clean.verdict).inc()


def cancel(services: Services, investigation_id: str, *, user_path: str = "/") -> None:
    """End an investigation: after this commit no new call of it starts."""
    with services.database.transaction() as session:
        interventions.cancel(session, investigation_id, user_path=user_path)
        llm = investigations.event_of(session, investigation_id).llm
    if llm is not None and llm.handle:
        services.callers.drop(llm.handle)
    log.info("investigation_cancelled", investigation=investigation_id)


def cancel_agent(services: Services, investigation_id: str, *, agent_no: int, user_path: str = "/") -> str:
    """End one sub-agent and return its status; what it would have found is a gap. Its lead and its sisters go on."""
    with services.database.transaction() as session:
        status = interventions.cancel_agent(session, investigation_id, agent_no=agent_no, user_path=user_path)
    log.info("agent_cancelled", investigation=investigation_id, agent_no=agent_no)
    return status


def retry(services: Services, investigation_id: str, *, user_path: str = "/", llm_handle: str | None = None) -> str:
    """Try again from the last finished turn; return the new investigation's id. The old one stays as it is.

    `llm_handle` is that of a caller's account to be asked from now on.
    """
    with services.database.transaction() as session:
        new = interventions.requeue(session, investigation_id, user_path=user_path, llm_handle=llm_handle)
    log.info("investigation_retried", investigation=investigation_id, retry=new)
    admit_waiting(services)
    return new


def rerun(services: Services, investigation_id: str, *, user_path: str = "/", llm_handle: str | None = None) -> str:
    """Investigate the same incident from scratch; return the new investigation's id. The old ones stay as they are.

    `llm_handle` is that of a caller's account to be asked in it.
    """
    with services.database.transaction() as session:
        new = interventions.rerun(session, investigation_id, user_path=user_path, llm_handle=llm_handle)
    log.info("investigation_rerun", investigation=investigation_id, rerun=new)
    admit_waiting(services)
    return new
