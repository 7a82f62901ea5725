"""Budgets on both databases: pinned, shared without overshoot, by the day, and never a phantom left behind."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from tests.builders import drain, incident, queue_of, run_step, submits_report
from tests.fakes import ScriptedModel, calls_tools
from worker import budgeting, pipeline
from worker.budgeting import NextAsk
from worker.domain.conversation import ModelAnswer, ModelRequest, Price, Route
from worker.domain.report import Report
from worker.domain.states import AgentStatus, InvestigationStatus, Purpose, Step
from worker.domain.transcript import Amount, Claim, Spent
from worker.errors import LeaseLostError, MalformedAnswerError, ProviderUnavailableError, TransientError
from worker.investigation.budget import NextCall, Stage
from worker.services import Services
from worker.storage import agents, interventions, investigations, outbox, reports, spending, usage
from worker.storage.outbox import WakeUp
from worker.storage.tables import AgentRow, InvestigationRow, ToolCallRow, UsageRow

Open = Callable[..., Services]
LEASE = timedelta(seconds=30)
FREE = Price(input_per_mtok=0.0, output_per_mtok=0.0, source="test")
ROUTE = Route(provider="house", model="house-model", wire="openai_chat")
UNPRICED: dict[str, Any] = {
    "llm_openai_compatible_base_url": "http://127.0.0.1:9/v1",
    "llm_openai_compatible_model": "house-model",
}
TOGETHER = 4


def opened(services: Services, title: str = "checkout p99 is high", **fields: Any) -> str:
    return pipeline.accept(services, incident(title, **fields), via="test").investigation_id


def report_of(services: Services, investigation_id: str) -> Report:
    with services.database.transaction() as session:
        return reports.get(session, investigation_id)


def status_of(services: Services, investigation_id: str) -> str:
    with services.database.transaction() as session:
        return investigations.get(session, investigation_id).status


def usage_rows(services: Services) -> list[UsageRow]:
    with services.database.transaction() as session:
        return list(session.scalars(select(UsageRow).order_by(UsageRow.id)))


def outcomes(services: Services) -> list[str]:
    return [row.outcome for row in usage_rows(services)]


def spent(services: Services, investigation_id: str) -> Spent:
    with services.database.transaction() as session:
        return usage.spent(session, investigation_id)


def claim_turns(services: Services) -> list[Claim]:
    """Claim the waiting turn of every agent there is."""
    with services.database.transaction() as session:
        rows = session.scalars(select(AgentRow).where(AgentRow.status == AgentStatus.READY)).all()
        claims = [agents.claim(session, r.id, Step.TURN, turn_no=r.turn_no, lease=LEASE) for r in rows]
    return [claim for claim in claims if claim is not None]


def add_agent(services: Services, number: int) -> None:
    """Give the only investigation another agent, as a lead's dispatch would."""
    with services.database.transaction() as session:
        first = session.scalars(select(AgentRow).where(AgentRow.agent_no == 0)).one()
        fields = {c.name: getattr(first, c.name) for c in AgentRow.__table__.columns}
        session.add(AgentRow(**{**fields, "id": f"agt_{number}", "agent_no": number, "parent_id": first.id}))


def next_ask(tokens: int, *, price: Price | None = FREE, purpose: Purpose = Purpose.RCA) -> NextAsk:
    return NextAsk(purpose, ROUTE, NextCall(1, tokens, price, 20.0))


def reserve_together(services: Services, claims: list[Claim], ask: NextAsk) -> list[Stage]:
    barrier = threading.Barrier(len(claims))

    def one(claim: Claim) -> Stage:
        barrier.wait()
        return budgeting.reserve(services, claim, ask).stage

    with ThreadPoolExecutor(len(claims)) as pool:
        return list(pool.map(one, claims))


def lift(services: Services, user_path: str | None = None) -> None:
    with services.database.transaction() as session:
        spending.lift(session, user_path=user_path, reason="test")
    services.recent_day.forget()


def move_to_yesterday(services: Services) -> None:
    with services.database.transaction() as session:
        session.execute(update(UsageRow).values(created_at=datetime.now(UTC) - timedelta(days=1)))
    services.recent_day.forget()


def owed(services: Services) -> list[WakeUp]:
    """Return the messages that the outbox owes, whoever wrote them."""
    with services.database.transaction() as session:
        return outbox.take_due(session, datetime.now(UTC) + timedelta(minutes=10))


# One investigation


def test_a_change_of_settings_does_not_move_what_runs(open_services: Open) -> None:
    script = [calls_tools(("run_command", {"command": "uptime", "purpose": "load"}))]
    investigation = opened(open_services(ScriptedModel(script), rca_max_turns=2))
    later = open_services(model := ScriptedModel(script), rca_max_turns=30)

    later.send(owed(later))
    drain(later)

    assert report_of(later, investigation).partial == "the budget of 2 turns is nearly spent"
    assert model.calls_per_turn == {1: 1, 2: 1}


def test_an_event_lowers_the_limits_and_never_raises_them(open_services: Open) -> None:
    services = open_services(ScriptedModel([submits_report()]), rca_max_turns=5)
    investigation = opened(services, budget={"max_turns": 99, "max_tokens": 12_345})

    with services.database.transaction() as session:
        limits = investigations.get(session, investigation).limits

    assert limits == {"max_turns": 5, "max_tokens": 12_345, "max_cost_usd": 5.0, "max_seconds": 1800.0}


@pytest.mark.parametrize("budget", [{"max_turns": 0}, {"max_tokens": 0}])
def test_an_event_that_allows_nothing_gets_its_report_from_code(open_services: Open, budget: dict[str, int]) -> None:
    services = open_services(model := ScriptedModel([submits_report()]))

    investigation = opened(services, budget=budget)
    drain(services)

    report = report_of(services, investigation)
    assert (report.verdict, "is spent" in str(report.partial)) == ("inconclusive", True)
    assert not model.requests
    assert usage_rows(services) == []


def test_seconds_of_an_event_are_its_deadline(open_services: Open) -> None:
    services = open_services(ScriptedModel([submits_report()]))

    investigation = opened(services, budget={"max_seconds": 60})

    with services.database.transaction() as session:
        row = investigations.get(session, investigation)
        assert row.deadline_at
        assert row.admitted_at
        assert row.deadline_at - row.admitted_at == timedelta(seconds=60)


def test_a_call_is_reserved_while_it_is_made_and_booked_over_it(open_services: Open) -> None:
    seen: list[tuple[str, int | None]] = []

    def watched(request: ModelRequest) -> ModelAnswer:
        seen.extend((row.outcome, row.counted_tokens) for row in usage_rows(services))
        return submits_report()

    services = open_services(ScriptedModel([watched]))
    investigation = opened(services)
    drain(services)

    assert [outcome for outcome, _ in seen] == ["reserved"]
    assert (seen[0][1] or 0) > 2000
    assert outcomes(services) == ["ok"]
    assert spent(services, investigation).counted == Amount(110, 0.0)


def test_an_unknown_price_stays_unknown_and_counts_by_the_ceiling(open_services: Open) -> None:
    services = open_services(ScriptedModel([submits_report()]), **UNPRICED, rca_unpriced_usd_per_mtok=50)
    investigation = opened(services)
    drain(services)

    found = spent(services, investigation)

    assert [row.cost_usd for row in usage_rows(services)] == [None]
    assert (found.cost_usd, found.unpriced_calls) == (0.0, 1)
    assert found.counted == Amount(110, pytest.approx(110 * 50 / 1_000_000))


def test_a_model_of_unknown_price_is_stopped_by_a_budget_of_dollars(open_services: Open) -> None:
    services = open_services(model := ScriptedModel([submits_report()]), **UNPRICED, rca_max_cost_usd=0.001)

    investigation = opened(services)
    drain(services)

    assert "budget of $0.001 is spent" in str(report_of(services, investigation).partial)
    assert not model.requests


def test_of_agents_at_the_last_cent_one_goes_on(open_services: Open) -> None:
    services = open_services(ScriptedModel([]), rca_max_tokens=1500)
    opened(services)
    for number in range(1, TOGETHER):
        add_agent(services, number)

    stages = reserve_together(services, claim_turns(services), next_ask(1000))

    assert sorted(stages) == [Stage.LAST, *[Stage.SPENT] * (TOGETHER - 1)]
    assert [row.counted_tokens for row in usage_rows(services)] == [1000]


def test_agents_share_dollars_as_they_share_tokens(open_services: Open) -> None:
    services = open_services(ScriptedModel([]), rca_max_cost_usd=0.05)
    opened(services)
    for number in range(1, TOGETHER):
        add_agent(services, number)

    stages = reserve_together(services, claim_turns(services), next_ask(1000, price=None))  # two cents each

    assert sorted(stages) == sorted([Stage.OPEN, Stage.LAST, Stage.SPENT, Stage.SPENT])


def test_a_dead_workers_reservation_counts_nothing_and_is_gone_with_its_claim(open_services: Open) -> None:
    services = open_services(ScriptedModel([submits_report()]), rca_max_tokens=20_000)
    investigation = opened(services)
    (claim,) = claim_turns(services)
    assert budgeting.reserve(services, claim, next_ask(15_000)).stage is Stage.LAST
    assert spent(services, investigation).counted.tokens == 15_000

    with services.database.transaction() as session:
        session.execute(update(AgentRow).values(lease_until=datetime(2000, 1, 1, tzinfo=UTC)))
    with services.database.transaction() as session:
        services.send(agents.take_back_expired(session))

    assert spent(services, investigation).counted == Amount()
    assert usage_rows(services) == []
    drain(services)
    assert report_of(services, investigation).partial is None
    assert outcomes(services) == ["ok"]


def test_a_reservation_whose_claim_went_elsewhere_counts_nothing(open_services: Open) -> None:
    services = open_services(ScriptedModel([]))
    investigation = opened(services)
    (claim,) = claim_turns(services)
    budgeting.reserve(services, claim, next_ask(1000))

    with services.database.transaction() as session:
        session.execute(update(AgentRow).values(claim_token="another"))

    assert spent(services, investigation).counted == Amount()
    with pytest.raises(LeaseLostError):
        budgeting.reserve(services, claim, next_ask(1000))


def test_the_next_holder_of_a_step_reserves_over_the_last(open_services: Open) -> None:
    services = open_services(ScriptedModel([]))
    opened(services)
    (claim,) = claim_turns(services)
    budgeting.reserve(services, claim, next_ask(1000))
    with services.database.transaction() as session:
        session.execute(update(AgentRow).values(claim_token=None, status=AgentStatus.READY))

    (again,) = claim_turns(services)
    budgeting.reserve(services, again, next_ask(700))

    assert [(r.counted_tokens, r.claim_token) for r in usage_rows(services)] == [(700, again.token)]


def test_an_old_holder_books_beside_the_reservation_of_the_new_one(open_services: Open) -> None:
    services = open_services(ScriptedModel([]))
    opened(services)
    (claim,) = claim_turns(services)
    budgeting.reserve(services, claim, next_ask(1000))
    with services.database.transaction() as session:
        session.execute(update(AgentRow).values(claim_token=None, status=AgentStatus.READY))
    (again,) = claim_turns(services)
    budgeting.reserve(services, again, next_ask(700))

    with services.database.transaction() as session:
        usage.book(session, claim, usage.Call(Purpose.RCA, ROUTE, "provider_unavailable"))

    assert sorted(outcomes(services)) == ["provider_unavailable", "reserved"]


def test_a_failed_call_leaves_no_reservation_and_the_next_is_booked(open_services: Open) -> None:
    failing = iter([ProviderUnavailableError("down"), None])

    def flaky(request: ModelRequest) -> ModelAnswer:
        if error := next(failing):
            raise error
        return submits_report()

    services = open_services(ScriptedModel([flaky]))
    opened(services)
    (message,) = queue_of(services).take()
    run_step(services, message)
    assert outcomes(services) == ["provider_unavailable"]

    with services.database.transaction() as session:
        session.execute(update(AgentRow).values(not_before=datetime(2000, 1, 1, tzinfo=UTC)))
    run_step(services, message)

    assert outcomes(services) == ["provider_unavailable", "ok"]


def test_an_answer_that_nobody_could_read_is_paid_for(open_services: Open) -> None:
    services = open_services(ScriptedModel([MalformedAnswerError("truncated")]))
    investigation = opened(services)

    drain(services)

    assert outcomes(services) == ["malformed_answer"]
    assert spent(services, investigation).counted.tokens > 2000


def test_a_cancelled_agent_asks_nothing_more(open_services: Open) -> None:
    services = open_services(ScriptedModel([]))
    investigation = opened(services)
    (claim,) = claim_turns(services)
    with services.database.transaction() as session:
        interventions.cancel(session, investigation)

    with pytest.raises(TransientError, match="cancelled"):
        budgeting.reserve(services, claim, next_ask(1000))

    assert usage_rows(services) == []


def test_the_judge_leaves_the_report_its_room(open_services: Open) -> None:
    """The budget has room for a judge's small call, but not for that and another turn."""
    script = [calls_tools(("run_command", {"command": "mytool --check", "purpose": "see"})), submits_report()]
    services = open_services(model := ScriptedModel(script), **UNPRICED)
    investigation = opened(services)
    (message,) = queue_of(services).take()
    run_step(services, message)
    with services.database.transaction() as session:
        row = session.get_one(InvestigationRow, investigation)
        row.limits = {**(row.limits or {}), "max_tokens": 9000}
        session.execute(update(UsageRow).values(counted_tokens=6000))

    (message,) = queue_of(services).take()
    run_step(services, message)

    with services.database.transaction() as session:
        call = session.scalars(select(ToolCallRow)).one()
    assert message.step is Step.JUDGE
    assert (call.status, model.judge_calls) == ("denied", 0)
    assert "leaves no room for the judge: the budget of 9000 tokens is spent" in str(call.reason)


# One day


def test_a_day_that_is_spent_keeps_new_work_waiting_until_the_next(open_services: Open) -> None:
    services = open_services(ScriptedModel([submits_report()]), rca_day_tokens=100)
    first = _book_in_new_investigation(services, tokens=110)
    second = opened(services, "another")
    assert status_of(services, second) == InvestigationStatus.QUEUED
    assert "fleet's budget of the day is reached" in str(_waits(services, second))

    move_to_yesterday(services)
    pipeline.admit_waiting(services)

    assert status_of(services, second) == InvestigationStatus.RUNNING
    assert status_of(services, first) == InvestigationStatus.RUNNING
    assert _waits(services, second) is None


def _book_in_new_investigation(services: Services, *, tokens: int, **fields: Any) -> str:
    """Open one whose only call took so much; its turn stays claimed."""
    investigation = opened(services, f"spends {tokens} {fields}", **fields)
    (claim,) = claim_turns(services)
    with services.database.transaction() as session:
        usage.book(session, claim, usage.Call(Purpose.RCA, ROUTE, "ok", counted=Amount(tokens, 0.0)))
    services.recent_day.forget()
    return investigation


def _waits(services: Services, investigation_id: str) -> str | None:
    with services.database.transaction() as session:
        found = investigations.page(session, investigations.Filter())
        told = budgeting.tell_waits(services.settings, session, found)
    return next(row.waits_for for row in told if row.id == investigation_id)


def test_nothing_may_be_spent_in_a_day_of_nothing(open_services: Open) -> None:
    services = open_services(model := ScriptedModel([submits_report()]), rca_day_cost_usd=0)

    investigation = opened(services)
    drain(services)

    assert status_of(services, investigation) == InvestigationStatus.QUEUED
    assert not model.requests


def test_a_lift_lets_through_what_waits(open_services: Open) -> None:
    services = open_services(ScriptedModel([submits_report()]), rca_day_tokens=0)
    investigation = opened(services)

    lift(services)
    pipeline.admit_waiting(services)
    drain(services)

    assert status_of(services, investigation) == InvestigationStatus.COMPLETED
    assert report_of(services, investigation).partial is None


def test_a_path_that_spent_its_day_waits_and_others_go_on(open_services: Open) -> None:
    services = open_services(ScriptedModel([submits_report()]), rca_day_tokens_per_path=100)
    _book_in_new_investigation(services, tokens=110, user_path="/team/a")

    waiting = opened(services, "a again", user_path="/team/a", severity="critical")
    other = opened(services, "b", user_path="/team/b")
    below = opened(services, "c", user_path="/team/a/part")

    assert status_of(services, waiting) == InvestigationStatus.QUEUED
    assert status_of(services, other) == InvestigationStatus.RUNNING
    assert status_of(services, below) == InvestigationStatus.RUNNING
    assert "the budget of /team/a of 100 tokens a day is reached" in str(_waits(services, waiting))


@pytest.mark.parametrize(("lifted", "status"), [("/team", "running"), ("/team/b", "queued"), (None, "queued")])
def test_a_lift_of_a_path_is_for_all_below_it_and_for_no_other(
    open_services: Open, lifted: str | None, status: str
) -> None:
    services = open_services(ScriptedModel([]), rca_day_tokens_per_path=0)
    investigation = opened(services, user_path="/team/a")

    lift(services, lifted)
    pipeline.admit_waiting(services)

    assert status_of(services, investigation) == status


def test_what_runs_when_the_day_is_reached_ends_with_what_it_has(open_services: Open) -> None:
    script = [calls_tools(("run_command", {"command": "uptime", "purpose": "load"})), submits_report()]
    services = open_services(model := ScriptedModel(script), rca_day_tokens=1_000_000, rca_max_tokens=9_000_000)
    investigation = opened(services)
    for _ in range(2):
        (message,) = queue_of(services).take()
        run_step(services, message)

    with services.database.transaction() as session:
        session.execute(update(UsageRow).values(counted_tokens=999_999))
    services.recent_day.forget()
    drain(services)

    report = report_of(services, investigation)
    assert report.partial == "the fleet's budget of 1000000 tokens a day is spent"
    assert [e.status for e in report.evidence] == ["succeeded"]
    assert model.calls_per_turn == {1: 1}


def test_what_the_day_has_no_room_for_waits_for_another_before_it_has_cost_anything(open_services: Open) -> None:
    services = open_services(model := ScriptedModel([submits_report()]), rca_day_tokens=100_000)
    _book_in_new_investigation(services, tokens=94_000)
    investigation = opened(services, "another", service="other")
    assert status_of(services, investigation) == InvestigationStatus.RUNNING

    drain(services)
    pipeline.admit_waiting(services)

    assert status_of(services, investigation) == InvestigationStatus.QUEUED
    assert "fleet's budget of the day is reached" in str(_waits(services, investigation))
    assert not model.requests
    assert outcomes(services) == ["ok"]
    move_to_yesterday(services)
    pipeline.admit_waiting(services)
    drain(services)
    assert report_of(services, investigation).partial is None


def test_what_no_day_has_room_for_is_not_kept_waiting(open_services: Open) -> None:
    services = open_services(model := ScriptedModel([submits_report()]), rca_day_tokens=2000)

    investigation = opened(services)
    drain(services)

    assert report_of(services, investigation).partial == "the fleet's budget of 2000 tokens a day is spent"
    assert not model.requests


def test_of_investigations_at_the_last_cent_of_a_day_one_goes_on(open_services: Open) -> None:
    services = open_services(ScriptedModel([]), rca_day_tokens=1500)
    for number in range(TOGETHER):
        opened(services, f"alert {'abcdefgh'[number]}", service=f"service-{number}", user_path=f"/team/{number}")
    claims = claim_turns(services)
    assert len(claims) == TOGETHER

    stages = reserve_together(services, claims, next_ask(1000))

    assert sorted(stages) == [Stage.LAST, *[Stage.SPENT] * (TOGETHER - 1)]


def test_rows_of_the_code_before_count_as_what_they_say(open_services: Open) -> None:
    services = open_services(ScriptedModel([submits_report()]))
    investigation = opened(services)
    drain(services)
    with services.database.transaction() as session:
        session.execute(update(UsageRow).values(counted_tokens=None, counted_cost_usd=None, cost_usd=None))

    assert spent(services, investigation).counted == Amount(110, pytest.approx(110 * 20 / 1_000_000))


def test_what_is_reserved_is_part_of_the_day_while_its_call_is_in_flight(open_services: Open) -> None:
    services = open_services(ScriptedModel([]))
    opened(services, user_path="/team/a")
    (claim,) = claim_turns(services)
    budgeting.reserve(services, claim, next_ask(1000))

    def day() -> dict[str, Amount]:
        with services.database.transaction() as session:
            return dict(spending.read_day(session).paths)

    assert day() == {"/team/a": Amount(1000, 0.0)}
    with services.database.transaction() as session:
        agents.put_back(session, claim, delay_s=0)
    assert day() == {}
