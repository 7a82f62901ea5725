"""Asks a model on behalf of a claimed step, within the step's time, and books what it cost."""

import time
from datetime import UTC, datetime
from functools import partial

from worker import spans
from worker.budgeting import NextAsk
from worker.domain.conversation import ModelAnswer, ModelRequest, ToolRequest
from worker.domain.states import Purpose
from worker.domain.transcript import Amount, Claim
from worker.errors import (
    LeaseLostError,
    LimitReachedError,
    MalformedAnswerError,
    ModelRefusedError,
    TransientError,
    WorkerError,
)
from worker.investigation.budget import count_call
from worker.llm.prices import cost_usd
from worker.ops import metrics
from worker.ops.redaction import Redactor
from worker.services import Services
from worker.settings import Settings
from worker.storage import usage

BILLED_FAILURES = (MalformedAnswerError, ModelRefusedError)
"""The provider answered: what nobody could read, or what it would not say, is paid for too."""


def ask(services: Services, claim: Claim, next_ask: NextAsk, request: ModelRequest) -> tuple[ModelAnswer, usage.Call]:
    """Ask the model what is reserved; return its answer without secrets, and the booking to store over it.

    A failed call is booked here. Raises the typed errors of the provider client, and `TransientError` when no time
    is left.
    """
    route = next_ask.route
    timeout_s = _timeout_s(services.settings, claim, next_ask.purpose)
    confirm = partial(services.heartbeat.confirm, claim.token)
    confirm()
    started = time.monotonic()
    try:
        answer = services.model.ask(request, route=route, timeout_s=timeout_s, confirm=confirm)
    except (LeaseLostError, LimitReachedError):
        raise  # nothing was asked for us: whoever takes the step up books its own call
    except WorkerError as error:
        counted = next_ask.call.amount if isinstance(error, BILLED_FAILURES) else Amount()
        _book_failure(services, claim, usage.Call(next_ask.purpose, route, error.reason, counted=counted), started)
        raise
    instead = answer.fallback
    answered_by = instead.route if instead else route
    cost = cost_usd(answer.usage, answered_by.price)
    booking = usage.Call(
        next_ask.purpose,
        answered_by,
        usage.OK,
        answer.usage,
        cost_usd=cost,
        attempts=answer.attempts,
        latency_ms=answer.latency_ms,
        counted=count_call(next_ask.call, answer.usage, cost),
        fallback_of=route.label if instead else None,
        fallback_reason=instead.reason if instead else None,
    )
    services.tracer.emit(spans.of_model_call(claim, booking, since=started, answer=answer))
    _count(booking)
    return _without_secrets(services.redactor, answer), booking


def _without_secrets(redactor: Redactor, answer: ModelAnswer) -> ModelAnswer:
    """Scrub what was said. Opaque reasoning stays: it is signed, and goes back to the provider as it came."""
    said = answer.message
    requests = tuple(_without_secrets_in(redactor, request) for request in said.tool_requests)
    clean = said.model_copy(update={"text": redactor.scrub(said.text), "tool_requests": requests})
    return answer.model_copy(update={"message": clean})


def _without_secrets_in(redactor: Redactor, request: ToolRequest) -> ToolRequest:
    arguments, raw = redactor.scrub_json(request.arguments), redactor.scrub(request.raw_arguments)
    return request.model_copy(update={"arguments": arguments, "raw_arguments": raw})


def _timeout_s(settings: Settings, claim: Claim, purpose: Purpose) -> float:
    left_s = (claim.agent.deadline_at - datetime.now(UTC)).total_seconds()
    if left_s <= 0:
        raise TransientError("the investigation's time ran out before the call")
    own_s = settings.rca_judge_timeout_s if purpose is Purpose.JUDGE else settings.rca_call_timeout_s
    return min(left_s, own_s)


def _book_failure(services: Services, claim: Claim, call: usage.Call, started: float) -> None:
    services.tracer.emit(spans.of_model_call(claim, call, since=started))
    metrics.MODEL_CALLS.labels(purpose=call.purpose, model=call.route.label, outcome=call.outcome).inc()
    with services.database.transaction() as session:
        usage.book(session, claim, call)


def _count(call: usage.Call) -> None:
    names = {"purpose": call.purpose, "model": call.route.label}
    metrics.MODEL_CALLS.labels(**names, outcome=call.outcome).inc()
    if call.fallback_of:
        metrics.FALLBACKS.labels(**names, instead_of=call.fallback_of, reason=call.fallback_reason).inc()
    metrics.MODEL_RETRIES.labels(provider=call.route.provider).inc(call.attempts - 1)
    metrics.MODEL_CALL_SECONDS.labels(**names).observe(call.latency_ms / 1000)
    for kind in ("input", "cached_input", "output", "reasoning"):
        metrics.TOKENS.labels(**names, kind=kind).inc(getattr(call.usage, f"{kind}_tokens") or 0)
    if call.cost_usd is None:
        metrics.UNPRICED_CALLS.labels(model=call.route.label).inc()
    else:
        metrics.COST_USD.labels(**names).inc(call.cost_usd)
