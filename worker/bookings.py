"""What a model call comes to: its usage row, and the metrics of it."""

import time

from worker.budgeting import NextAsk
from worker.domain.conversation import ModelAnswer
from worker.domain.transcript import Amount
from worker.errors import MalformedAnswerError, ModelRefusedError, WorkerError
from worker.investigation.budget import count_call
from worker.llm.prices import cost_usd
from worker.ops import metrics
from worker.storage import usage

BILLED_FAILURES = (MalformedAnswerError, ModelRefusedError)
"""The provider answered: what nobody could read, or what it would not say, is paid for too."""


def of_answer(asked: NextAsk, answer: ModelAnswer) -> usage.Call:
    """Return the booking of a call that was answered, by the route's model or by another in its place."""
    instead = answer.fallback
    answered_by = instead.route if instead else asked.route
    cost = cost_usd(answer.usage, answered_by.price)
    return usage.Call(
        asked.purpose,
        answered_by,
        usage.OK,
        answer.usage,
        cost_usd=cost,
        attempts=answer.attempts,
        latency_ms=answer.latency_ms,
        counted=count_call(asked.call, answer.usage, cost),
        fallback_of=asked.route.label if instead else None,
        fallback_reason=instead.reason if instead else None,
    )


def of_failure(asked: NextAsk, error: WorkerError, *, began: float) -> usage.Call:
    """Return the booking of a call that failed; it `began` at this second of the monotonic clock."""
    counted = asked.call.amount if isinstance(error, BILLED_FAILURES) else Amount()
    latency_ms = round((time.monotonic() - began) * 1000)
    return usage.Call(asked.purpose, asked.route, error.reason, latency_ms=latency_ms, counted=counted)


def count(call: usage.Call) -> None:
    """Add a call to the metrics."""
    names = {"purpose": call.purpose, "model": call.route.label}
    metrics.MODEL_CALLS.labels(**names, outcome=call.outcome).inc()
    if call.outcome != usage.OK:
        return
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
