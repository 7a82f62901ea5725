"""One call of a model for another program, by the names, rules, limits, prices and budgets of an investigation's."""

import time
from dataclasses import dataclass

from worker import bookings, budgeting
from worker.budgeting import NextAsk
from worker.domain.conversation import ModelAnswer, ModelRequest
from worker.domain.states import Purpose
from worker.errors import BudgetExceededError, InvalidRequestError, LimitReachedError, WorkerError
from worker.investigation.budget import NextCall
from worker.investigation.messages import request_tokens
from worker.llm.routing import Role
from worker.services import Services
from worker.storage import spending, usage

OFFLINE = "offline"
PATIENCE_S = 15.0
"""For how long a database that is away is waited for: what was paid for is worth it, and the caller still waits."""


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
    asked = NextAsk(Purpose.GATEWAY, route, expected)
    return Answered(_ask(services, request, asked, user_path=user_path), model or route.picked)


def _require_room(services: Services, user_path: str, expected: NextCall) -> None:
    if not budgeting.has_day_limits(services.settings):
        return
    with services.database.transaction() as session:
        day = spending.read_day(session)
    if waits := budgeting.find_wait(services.settings, day, user_path, opening=expected.amount):
        raise BudgetExceededError(waits)


def _ask(services: Services, request: ModelRequest, asked: NextAsk, *, user_path: str) -> ModelAnswer:
    """Ask, and book what came of it."""
    began = time.monotonic()
    try:
        answer = services.model.ask(request, route=asked.route, timeout_s=services.settings.rca_call_timeout_s)
    except LimitReachedError:
        raise  # nobody was asked
    except WorkerError as error:
        _book(services, bookings.of_failure(asked, error, began=began), user_path)
        raise
    _book(services, bookings.of_answer(asked, answer), user_path)
    return answer


def _book(services: Services, booking: usage.Call, user_path: str) -> None:
    bookings.count(booking)
    services.database.insist(lambda s: usage.book_alone(s, booking, user_path=user_path), for_s=PATIENCE_S)
    services.recent_day.forget()
