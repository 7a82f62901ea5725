"""One turn's open commands: decided by what the judge said of them before, or by the judge in one call."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from worker.asking import ask
from worker.budgeting import expect, reserve
from worker.domain.conversation import Route
from worker.domain.states import JudgeVerdict, Purpose, ToolCallStatus
from worker.domain.transcript import Claim, ToolCall
from worker.errors import LeaseLostError, LimitReachedError, StorageUnavailableError, WorkerError
from worker.guardrails import judge as guard
from worker.guardrails.judge import JudgedCommand, Judgement
from worker.investigation.budget import Stage
from worker.ops import metrics
from worker.services import Services
from worker.storage import transcripts, usage, verdicts

LAYER = "judge"


@dataclass(frozen=True)
class Judged:
    """A turn's calls after the judge, with what is to be stored besides: new verdicts by key, the call's booking."""

    calls: tuple[ToolCall, ...]
    fresh: Mapping[str, Judgement]
    booking: usage.Call | None
    model: str


@dataclass(frozen=True)
class _Asked:
    judgements: dict[str, Judgement]
    booking: usage.Call | None = None


def judge(services: Services, claim: Claim, *, calls: tuple[ToolCall, ...], user_path: str) -> Judged:
    """Decide every open command of the turn. Whatever goes wrong on the way is a denial, never an allowance."""
    route = claim.agent.judge_route
    model = route.label if route else "none"
    commands = [_command(c, claim.agent.role) for c in calls if c.status is ToolCallStatus.PROPOSED]
    keys = {
        c.id: guard.cache_key(c, user_path=user_path, policy_version=services.policy.version, model=model)
        for c in commands
    }
    with services.database.transaction() as session:
        kept = verdicts.find(session, list(keys.values()))
    known = {i: Judgement(*kept[key]) for i, key in keys.items() if key in kept}
    unknown = [c for c in commands if c.id not in known]
    asked = _ask(services, claim, route, commands=unknown) if unknown else _Asked({})
    fresh = {keys[i]: judgement for i, judgement in asked.judgements.items() if judgement.is_answered}
    return Judged(_settled(calls, known | asked.judgements), fresh, asked.booking, model)


def store(session: Session, claim: Claim, judged: Judged) -> None:
    """Write the decided calls, the new verdicts, and what the judge cost."""
    for call in judged.calls:
        transcripts.put_call(session, claim, call)
    for key, judgement in sorted(judged.fresh.items()):  # in one order everywhere, or two judges wait for each other
        verdicts.keep(session, key, verdict=judgement.verdict, reason=judgement.reason, model=judged.model)
    if judged.booking is not None:
        usage.book(session, claim, judged.booking)


def _command(call: ToolCall, role: str) -> JudgedCommand:
    return JudgedCommand(id=call.evidence_id, command=call.command or "", tool=call.tool, role=role)


def _ask(services: Services, claim: Claim, route: Route | None, *, commands: list[JudgedCommand]) -> _Asked:
    ids = [c.id for c in commands]
    if route is None:
        return _Asked(guard.denied_all(ids, "no rule proves it read-only and there is no model to judge it"))
    request = guard.judge_request(commands)
    next_ask = expect(services, claim, Purpose.JUDGE, route=route, request=request)
    bound = reserve(services, claim, next_ask)
    if bound.stage is Stage.SPENT:
        reason = f"no rule proves it read-only and the budget leaves no room for the judge: {bound.reason}"
        return _Asked(guard.denied_all(ids, reason))
    try:
        answer, booking = ask(services, claim, next_ask, request)
    except (LeaseLostError, LimitReachedError, StorageUnavailableError):
        raise  # says nothing of the judge: the step is tried again
    except WorkerError as error:
        return _Asked(guard.denied_all(ids, f"the judge did not answer ({error.reason})"))
    return _Asked(guard.parse_verdicts(answer, ids), booking)


def _settled(calls: tuple[ToolCall, ...], judgements: Mapping[str, Judgement]) -> tuple[ToolCall, ...]:
    return tuple(_decided(c, judgements[c.evidence_id]) if c.evidence_id in judgements else c for c in calls)


def _decided(call: ToolCall, judgement: Judgement) -> ToolCall:
    metrics.JUDGE_VERDICTS.labels(verdict=judgement.verdict).inc()
    metrics.GUARDRAIL_DECISIONS.labels(layer=LAYER, verdict=judgement.verdict).inc()
    if judgement.verdict is JudgeVerdict.ALLOW:
        return replace(call, status=ToolCallStatus.ALLOWED, layer=LAYER, reason=judgement.reason)
    metrics.DENIALS.labels(layer=LAYER).inc()
    text = f"Denied by {LAYER}: {judgement.reason}"
    return replace(call, status=ToolCallStatus.DENIED, layer=LAYER, reason=judgement.reason, text=text)
