"""Two at once on PostgreSQL, made to overlap: each transaction waits for the other just before it commits."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fakeredis import FakeRedis
from sqlalchemy import delete, select, update

from tests.builders import build_services, close_services, drain, incident, queue_of, run_step, submits_report
from tests.fakes import CollectingQueue, ScriptedModel, calls_tools
from tests.invariants import Rows, check_all, read_rows
from tests.meeting import MeetingDatabase
from tests.servers import PostgresServer
from tests.workers import Delivery
from worker import arriving, budgeting, pipeline, retention
from worker.budgeting import NextAsk
from worker.domain.conversation import Price, Route
from worker.domain.incident import IncidentEvent
from worker.domain.states import AgentStatus, InvestigationStatus, Purpose, Step
from worker.domain.transcript import Claim
from worker.errors import NotFoundError, UserError, WorkerError
from worker.intake.events import Offer
from worker.investigation.budget import NextCall, Stage
from worker.reporting.destinations.port import Parcel
from worker.services import Services
from worker.storage import agents, investigations
from worker.storage.incidents import Accepted
from worker.storage.tables import AgentRow, Base, IncidentRow, InvestigationRow
from worker.sweeper import EPOCH_KEY, Sweeper

TIMES = 4
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
LEASE = timedelta(seconds=30)
COMMIT_OF_TURN, COMMIT_OF_REPORT = 4, 3
"""Which transaction of its step it is: before come the claim, the reading of what there is, a turn's reservation."""
LIMITS = {"rca_max_running": 2, "rca_max_running_per_path": 1}


@pytest.fixture(params=range(TIMES))
def round_no(request: pytest.FixtureRequest) -> int:
    """Have the test run so often."""
    return int(request.param)


again = pytest.mark.usefixtures("round_no")


class Silent:
    """A destination that takes everything."""

    def send(self, parcel: Parcel, *, timeout_s: float) -> None:
        return


@pytest.fixture(scope="module")
def url(postgres_server: PostgresServer) -> str:
    return postgres_server.create_migrated()


@pytest.fixture
def services(url: str) -> Iterator[Services]:
    """Return services whose model looks once and then reports, on an empty database."""
    looks = calls_tools(("read_artifact", {"id": "art_none"}))
    built = build_services(url, ScriptedModel([looks, submits_report()]), **LIMITS)
    with built.database.transaction() as session:
        for table in reversed(Base.metadata.sorted_tables):
            session.execute(delete(table))
    meeting = MeetingDatabase(url)
    yield replace(built, database=meeting, destinations={"house": Silent()})
    meeting.close()
    close_services(built)


def race(services: Services, *calls: Callable[[], Any]) -> list[Any]:
    """Make all calls at once; return what each returned, or the error that it told its caller."""
    database = services.database
    assert isinstance(database, MeetingDatabase)
    together = threading.Barrier(len(calls))

    def one(call: Callable[[], Any]) -> Any:
        together.wait()
        try:
            return call()
        except (UserError, NotFoundError) as error:
            return error

    with database.meeting(len(calls)), ThreadPoolExecutor(len(calls)) as pool:
        return [done.result(timeout=60) for done in [pool.submit(one, call) for call in calls]]


def rows_of(services: Services) -> Rows:
    """Return all rows, in order."""
    with services.database.transaction() as session:
        rows = read_rows(session)
    check_all(rows, services.settings)
    return rows


def statuses(rows: Rows) -> Counter[str]:
    return Counter(row.status for row in rows.investigations)


def opened(services: Services, title: str = "checkout is slow", **fields: Any) -> Accepted:
    return pipeline.accept(services, incident(title, **fields), via="test")


def queued(services: Services, *events: IncidentEvent) -> None:
    """Take events in without starting anything."""
    arriving.take(services, [Offer(event, "test") for event in events])


def only_agent(services: Services) -> AgentRow:
    with services.database.transaction() as session:
        return session.scalars(select(AgentRow)).one()


def claim_all(services: Services) -> list[Claim]:
    with services.database.transaction() as session:
        rows = session.scalars(select(AgentRow).where(AgentRow.status == AgentStatus.READY)).all()
        claims = [agents.claim(session, row.id, Step.TURN, turn_no=row.turn_no, lease=LEASE) for row in rows]
    return [claim for claim in claims if claim]


def fail(services: Services, investigation_id: str) -> None:
    """End an investigation as failed."""
    for claim in claim_all(services):
        with services.database.transaction() as session:
            agents.fail(session, claim, failure_class="test", reason="so that it can be retried")
    queue_of(services).take()
    with services.database.transaction() as session:
        assert investigations.get(session, investigation_id).status == InvestigationStatus.FAILED


@again
def test_two_sweepers_take_back_and_admit_each_thing_once(services: Services) -> None:
    """The duty was lost by the one without its noticing, so both are at work."""
    opened(services, user_path="/a")
    opened(services, user_path="/b")
    claim_all(services)
    queued(services, *(incident("it waits", user_path=path) for path in ("/c", "/d", "/e")))
    with services.database.transaction() as session:
        session.execute(update(AgentRow).values(lease_until=LONG_AGO))
    pair = [replace(services, send=CollectingQueue(), settings=_with(services, rca_max_running=4)) for _ in range(2)]
    redis = FakeRedis()
    redis.set(EPOCH_KEY, "remembers")  # else each sends again what the other has just admitted
    sweepers = [Sweeper(each, redis) for each in pair]
    for sweeper in sweepers:
        sweeper._holder = "both"

    race(services, *(sweeper.sweep for sweeper in sweepers))

    rows = rows_of(pair[0])
    sent = Counter(wake_up.agent_id for each in pair for wake_up in queue_of(each).sent)
    assert [row.losses for row in sorted(rows.agents, key=lambda row: row.created_at)] == [1, 1, 0, 0]
    assert statuses(rows) == {"running": 4, "queued": 1}
    assert sorted(sent.values()) == [1, 1, 1, 1]


def _with(services: Services, **fields: Any) -> Any:
    return services.settings.model_copy(update=fields)


@again
def test_two_alerts_of_one_fingerprint_open_one_investigation(services: Services) -> None:
    first, second = race(
        services,
        lambda: opened(services, idempotency_key="one"),
        lambda: opened(services, idempotency_key="two"),
    )

    rows = rows_of(services)
    assert first.investigation_id == second.investigation_id
    assert sorted([first.is_folded, second.is_folded]) == [False, True]
    assert (len(rows.investigations), len(rows.alerts)) == (1, 2)


@again
def test_two_deliveries_of_one_alert_are_one_alert(services: Services) -> None:
    first, second = race(services, *[lambda: opened(services, idempotency_key="same")] * 2)

    rows = rows_of(services)
    assert first.investigation_id == second.investigation_id
    assert sorted([first.is_new, second.is_new]) == [False, True]
    assert (len(rows.investigations), len(rows.alerts)) == (1, 1)


@again
def test_two_batches_in_opposite_order_do_not_wait_for_each_other(services: Services) -> None:
    events = [incident(f"{what} is slow", user_path=path) for what in ("disk", "network") for path in ("/a", "/b")]
    batches = [[Offer(event, "test") for event in batch] for batch in (events, events[::-1])]

    there, back = race(services, *(lambda b=b: pipeline.accept_many(services, b) for b in batches))

    assert [one.investigation_id for one in there] == [one.investigation_id for one in reversed(back)]
    assert (len(rows_of(services).investigations), len(rows_of(services).alerts)) == (4, 8)


@again
@pytest.mark.parametrize(("paths", "running"), [(("/a", "/b", "/c"), 2), (("/a", "/a", "/a"), 1)])
def test_two_admissions_stop_at_the_limit(services: Services, paths: tuple[str, ...], running: int) -> None:
    queued(services, *(incident(f"{'x' * n} waits", user_path=path) for n, path in enumerate(paths, 1)))

    race(services, *[lambda: pipeline.admit_waiting(services)] * 2)

    assert statuses(rows_of(services))["running"] == running


@again
@pytest.mark.parametrize(("calls", "stages"), [(2, [Stage.LAST, Stage.OPEN]), (1, [Stage.LAST, Stage.SPENT])])
def test_two_agents_share_the_last_of_a_budget(services: Services, calls: int, stages: list[Stage]) -> None:
    """The price is known, and the budget has room for so many calls."""
    price = Price(input_per_mtok=0.0, output_per_mtok=5.0, source="test")
    ask = NextAsk(Purpose.RCA, Route(provider="p", model="m", wire="w"), NextCall(1, 3000, price, 20.0))
    opened(services)
    _add_sibling(services, max_cost_usd=ask.call.amount.cost_usd * calls)
    claims = claim_all(services)

    bounds = race(services, *(lambda c=c: budgeting.reserve(services, c, ask) for c in claims))

    assert sorted(bound.stage for bound in bounds) == sorted(stages)


def _add_sibling(services: Services, *, max_cost_usd: float) -> None:
    """Give the only investigation a second agent, as a lead's dispatch would, and this budget."""
    with services.database.transaction() as session:
        first = session.scalars(select(AgentRow)).one()
        fields = {c.name: getattr(first, c.name) for c in AgentRow.__table__.columns}
        session.add(AgentRow(**{**fields, "id": "agt_sibling", "agent_no": 1, "parent_id": first.id}))
        owner = session.scalars(select(InvestigationRow)).one()
        owner.limits = {**(owner.limits or {}), "max_cost_usd": max_cost_usd}


@again
@pytest.mark.parametrize("steps_before", [0, 1, 2, 3])
def test_a_cancel_that_meets_a_step_ends_it_or_comes_too_late(services: Services, steps_before: int) -> None:
    """Three steps come before the report: look, act, say what to report."""
    accepted = opened(services)
    for _ in range(steps_before):
        run_step(services, queue_of(services).take()[0])
    (wake_up,) = queue_of(services).take()

    _, refused = race(
        services,
        lambda: run_step(services, wake_up),
        lambda: pipeline.cancel(services, accepted.investigation_id),
    )
    with services.database.transaction() as session:
        agents.settle_cancelled(session)
    drain(services)

    rows = rows_of(services)
    is_late = isinstance(refused, UserError) or bool(rows.reports)
    assert statuses(rows) == {"completed" if is_late else "cancelled": 1}
    assert [row.status for row in rows.agents] == ["done" if is_late else "cancelled"]


def test_what_is_cancelled_while_its_report_is_written_has_none(services: Services) -> None:
    accepted = opened(services)
    for _ in range(3):
        run_step(services, queue_of(services).take()[0])
    (publishing,) = queue_of(services).take()
    under_way = Delivery(services, publishing, stops_before=COMMIT_OF_REPORT)
    assert under_way.is_under_way

    pipeline.cancel(services, accepted.investigation_id)
    under_way.go_on()

    rows = rows_of(services)
    assert (statuses(rows), rows.reports, rows.deliveries) == ({"cancelled": 1}, [], [])


@pytest.mark.parametrize("answered", [0, 2])
def test_a_retry_goes_on_after_the_turn_that_a_cancel_met(services: Services, answered: int) -> None:
    """The answer is stored, so it is not asked for again: what it wanted is done, or reported."""
    accepted = opened(services)
    for _ in range(answered):
        run_step(services, queue_of(services).take()[0])
    (turn,) = queue_of(services).take()
    under_way = Delivery(services, turn, stops_before=COMMIT_OF_TURN)
    pipeline.cancel(services, accepted.investigation_id)
    under_way.go_on()

    pipeline.retry(services, accepted.investigation_id)
    drain(services)

    assert statuses(rows_of(services)) == {"cancelled": 1, "completed": 1}
    assert isinstance(services.model, ScriptedModel)
    assert services.model.calls_per_turn == {1: 1, 2: 1}


@again
def test_a_cancel_that_meets_an_admission_leaves_nothing_running(services: Services) -> None:
    queued(services, incident("it waits"))
    with services.database.transaction() as session:
        waiting = session.scalars(select(InvestigationRow.id)).one()

    race(services, lambda: pipeline.admit_waiting(services), lambda: pipeline.cancel(services, waiting))
    drain(services)

    assert statuses(rows_of(services)) == {"cancelled": 1}


@again
@pytest.mark.parametrize("others", [pipeline.retry, pipeline.rerun])
def test_of_two_who_retry_one_gets_a_new_attempt(services: Services, others: Any) -> None:
    accepted = opened(services)
    fail(services, accepted.investigation_id)

    results = race(
        services,
        lambda: pipeline.retry(services, accepted.investigation_id),
        lambda: others(services, accepted.investigation_id),
    )

    assert [isinstance(result, UserError) for result in results].count(True) == 1
    assert statuses(rows_of(services)) == {"failed": 1, "running": 1}


@again
def test_a_retry_that_meets_an_alert_is_one_new_attempt(services: Services) -> None:
    accepted = opened(services)
    fail(services, accepted.investigation_id)

    race(services, lambda: pipeline.retry(services, accepted.investigation_id), lambda: opened(services))

    rows = rows_of(services)
    assert statuses(rows) == {"failed": 1, "running": 1}
    assert len(rows.alerts) == 2


@again
def test_an_end_that_meets_an_alert_closes_what_no_longer_fires(services: Services) -> None:
    """Whichever comes first: what is open still fires, what is closed does not."""
    opened(services)

    race(services, lambda: opened(services, resolved=True), lambda: opened(services))

    rows = rows_of(services)
    assert (len(rows.alerts), len(rows.investigations)) in {(3, 1), (3, 2)}


@again
def test_a_purge_that_meets_a_retry_leaves_all_or_nothing(services: Services) -> None:
    accepted = opened(services)
    fail(services, accepted.investigation_id)
    with services.database.transaction() as session:
        session.execute(update(InvestigationRow).values(finished_at=LONG_AGO))
        session.execute(update(IncidentRow).values(last_seen_at=LONG_AGO))

    retried, _ = race(
        services,
        lambda: pipeline.retry(services, accepted.investigation_id),
        lambda: retention.purge(services.database, timedelta(days=1)),
    )

    rows = rows_of(services)
    is_purged = isinstance(retried, WorkerError)
    assert statuses(rows) == ({} if is_purged else {"failed": 1, "running": 1})
    assert len(rows.alerts) == (0 if is_purged else 1)


@again
def test_an_alert_that_meets_the_report_is_heard_or_kept(services: Services) -> None:
    """It joins the incident in either case; nothing of it is lost and nothing else is opened."""
    opened(services)
    for _ in range(3):
        run_step(services, queue_of(services).take()[0])
    (publishing,) = queue_of(services).take()

    race(services, lambda: run_step(services, publishing), lambda: opened(services))

    rows = rows_of(services)
    assert (statuses(rows), len(rows.alerts)) == ({"completed": 1}, 2)


@again
def test_two_wakings_of_one_step_ask_once(services: Services) -> None:
    opened(services)
    (wake_up,) = queue_of(services).take()

    race(services, *[lambda: run_step(services, wake_up)] * 2)

    assert isinstance(services.model, ScriptedModel)
    assert services.model.calls_per_turn == {1: 1}
    assert only_agent(services).status == AgentStatus.READY_TO_ACT
    rows_of(services)
