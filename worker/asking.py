"""Asks a model on behalf of a claimed step, within the step's time, and books what it cost."""

import time
from datetime import UTC, datetime
from functools import partial

from worker import bookings, spans
from worker.budgeting import NextAsk
from worker.domain.conversation import ModelAnswer, ModelRequest, ToolRequest
from worker.domain.states import Purpose
from worker.domain.transcript import Claim
from worker.errors import LeaseLostError, LimitReachedError, TransientError, WorkerError
from worker.ops.redaction import Redactor
from worker.services import Services
from worker.settings import Settings
from worker.storage import usage


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
        booking = bookings.of_failure(next_ask, error, began=started)
        services.tracer.emit(spans.of_model_call(claim, booking, since=started))
        bookings.count(booking)
        with services.database.transaction() as session:
            usage.book(session, claim, booking)
        raise
    booking = bookings.of_answer(next_ask, answer)
    services.tracer.emit(spans.of_model_call(claim, booking, since=started, answer=answer))
    bookings.count(booking)
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
