"""One call of a model for another program, by the names, rules, limits, prices and budgets of an investigation's."""

import time
from dataclasses import dataclass

from worker import budgeting
from worker.domain.conversation import ModelAnswer, ModelRequest, Route
from worker.domain.states import Purpose
from worker.domain.transcript import Amount
from worker.errors import BudgetExceededError, InvalidRequestError, LimitReachedError, WorkerError
from worker.investigation.budget import NextCall, count_call
from worker.investigation.messages import request_tokens
from worker.llm.prices import cost_usd
from worker.llm.routing import Role
from worker.ops import metrics
from worker.services import Services
from worker.storage import spending, usage

OFFLINE = "offline"


@dataclass(frozen=True)
class Answered:
    """What came back, and the name that the caller asked by."""

    answer: ModelAnswer
    name: str


def call(services: Services, request: ModelRequest, *, model: str | None, user_path: str) -> Answered:
    """Ask the model of this name; no name: that of follow-up questions.

    Raises RouteError, ModelAccessDeniedError, BudgetExceededError, and the errors of the provider client.
    """
    route = services.router.route(Role.MAIN, named=model)
    services.router.require_access([route], user_path=user_path)
    if route.wire == OFFLINE:
        raise InvalidRequestError(f"{route.label} only looks into incidents; name another model")
    expected = NextCall(1, request_tokens(request), route.price, services.settings.rca_unpriced_usd_per_mtok)
    _require_room(services, user_path, expected)
    return Answered(_ask(services, request, route, expected, user_path=user_path), model or route.picked)


def _require_room(services: Services, user_path: str, expected: NextCall) -> None:
    if not budgeting.has_day_limits(services.settings):
        return
    with services.database.transaction() as session:
        day = spending.read_day(session)
    if waits := budgeting.find_wait(services.settings, day, user_path, opening=expected.amount):
        raise BudgetExceededError(waits)


def _ask(services: Services, request: ModelRequest, route: Route, expected: NextCall, *, user_path: str) -> ModelAnswer:
    """Ask, and book what came of it."""
    began = time.monotonic()
    try:
        answer = services.model.ask(request, route=route, timeout_s=services.settings.rca_call_timeout_s)
    except LimitReachedError:
        raise  # nobody was asked
    except WorkerError as error:
        latency_ms = round((time.monotonic() - began) * 1000)
        _book(services, usage.Call(Purpose.GATEWAY, route, error.reason, latency_ms=latency_ms), user_path)
        raise
    answered_by = answer.fallback.route if answer.fallback else route
    cost = cost_usd(answer.usage, answered_by.price)
    booking = usage.Call(
        Purpose.GATEWAY,
        answered_by,
        usage.OK,
        answer.usage,
        cost_usd=cost,
        attempts=answer.attempts,
        latency_ms=answer.latency_ms,
        counted=count_call(expected, answer.usage, cost),
        fallback_of=route.label if answer.fallback else None,
        fallback_reason=answer.fallback.reason if answer.fallback else None,
    )
    _book(services, booking, user_path)
    return answer


def _book(services: Services, booking: usage.Call, user_path: str) -> None:
    metrics.MODEL_CALLS.labels(purpose=booking.purpose, model=booking.route.label, outcome=booking.outcome).inc()
    if booking.outcome != usage.OK:
        booking = usage.with_counted(booking, Amount())
    with services.database.transaction() as session:
        usage.book_alone(session, booking, user_path=user_path)
    services.recent_day.forget()
