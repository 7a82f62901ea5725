"""One model call of a step: within its time, booked whatever comes of it, without secrets when it returns."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.fakes import ScriptedModel, calls_tools, says
from tests.unit.spine.claims import first_claim, seconds_from_now
from worker import asking, budgeting
from worker.domain.conversation import Confirm, ModelAnswer, ModelRequest, Route, UserMessage
from worker.domain.states import Purpose
from worker.domain.transcript import Claim
from worker.errors import (
    MalformedAnswerError,
    ModelRefusedError,
    ProviderAuthError,
    ProviderUnavailableError,
    TransientError,
    WorkerError,
)
from worker.services import Services
from worker.storage import usage
from worker.storage.tables import UsageRow

Open = Callable[..., Services]
REQUEST = ModelRequest(messages=(UserMessage(text="hello"),))


class TimedModel:
    """Answers with a script's line and remembers how much time it was given."""

    def __init__(self, line: ModelAnswer | WorkerError) -> None:
        self._script = ScriptedModel([line])
        self.timeouts: list[float] = []

    def ask(
        self, request: ModelRequest, *, route: Route, timeout_s: float, confirm: Confirm | None = None
    ) -> ModelAnswer:
        self.timeouts.append(timeout_s)
        return self._script.ask(request, route=route, timeout_s=timeout_s)


def ask(services: Services, claim: Claim, purpose: Purpose = Purpose.RCA) -> tuple[ModelAnswer, usage.Call]:
    """Reserve and ask, as a step does."""
    wanted = budgeting.expect(services, claim, purpose, route=claim.agent.route, request=REQUEST)
    budgeting.reserve(services, claim, wanted)
    return asking.ask(services, claim, wanted, REQUEST)


def rows(services: Services) -> list[UsageRow]:
    with services.database.transaction() as session:
        return list(session.query(UsageRow))


@pytest.mark.parametrize(("purpose", "setting"), [(Purpose.RCA, 33.0), (Purpose.JUDGE, 7.0)])
def test_a_call_has_the_time_of_its_purpose(open_services: Open, purpose: Purpose, setting: float) -> None:
    model = TimedModel(says("hello"))
    services = open_services(model, rca_call_timeout_s=33, rca_judge_timeout_s=7)

    ask(services, first_claim(services), purpose)

    assert model.timeouts == [setting]


def test_no_call_outlasts_the_deadline(open_services: Open) -> None:
    model = TimedModel(says("hello"))
    services = open_services(model)

    ask(services, first_claim(services, deadline_at=seconds_from_now(5)))

    assert 0 < model.timeouts[0] <= 5


def test_after_the_deadline_nothing_is_asked(open_services: Open) -> None:
    model = TimedModel(says("hello"))
    services = open_services(model)

    with pytest.raises(TransientError, match="time ran out"):
        ask(services, first_claim(services, deadline_at=seconds_from_now(-1)))

    assert model.timeouts == []


def test_what_is_said_comes_back_without_secrets(open_services: Open) -> None:
    hidden = "password=hunter2hunter2"
    answer = calls_tools(
        ("run_command", {"command": f"curl -d {hidden}", "nested": [{"token": "abcdefgh"}]}), text=hidden
    )
    answer = answer.model_copy(
        update={"message": answer.message.model_copy(update={"reasoning": ({"signature": hidden},)})}
    )
    services = open_services(ScriptedModel([answer]))

    clean, _ = ask(services, first_claim(services))

    said = clean.message
    assert "hunter2" not in said.text + str(said.tool_requests)
    assert "abcdefgh" not in str(said.tool_requests)
    assert said.reasoning == ({"signature": hidden},)  # signed: it goes back as it came


def test_an_answer_is_not_booked_before_the_step_stores_it(open_services: Open) -> None:
    services = open_services(ScriptedModel([says("hello")]))

    _, booking = ask(services, first_claim(services))

    assert (booking.outcome, booking.usage.input_tokens, booking.counted.tokens) == (usage.OK, 100, 110)
    assert [row.outcome for row in rows(services)] == [usage.RESERVED]


@pytest.mark.parametrize(
    ("error", "is_billed"),
    [
        (ProviderUnavailableError(), False),
        (ProviderAuthError(), False),
        (MalformedAnswerError(), True),
        (ModelRefusedError(), True),
    ],
)
def test_a_failed_call_is_booked_over_its_reservation(open_services: Open, error: Any, *, is_billed: bool) -> None:
    services = open_services(ScriptedModel([error]))

    with pytest.raises(type(error)):
        ask(services, first_claim(services))

    (row,) = rows(services)
    assert (row.outcome, row.purpose) == (error.reason, Purpose.RCA)
    assert ((row.counted_tokens or 0) > 0) == is_billed
