"""Claims, leases and crashes: whatever happens to a step, it is committed once and nothing waits for ever."""

import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from tests.builders import build_services, close_services, drain, incident, queue_of, run_step, submits_report
from tests.fakes import ScriptedModel, calls_tools
from worker import pipeline
from worker.domain.conversation import ModelAnswer, ModelRequest
from worker.domain.states import AgentStatus, InvestigationStatus, Queue, Step
from worker.domain.transcript import Claim
from worker.errors import LeaseLostError, LimitReachedError, ProviderUnavailableError
from worker.services import Services
from worker.storage import agents, investigations, outbox
from worker.storage.tables import AgentRow, InvestigationRow, OutboxRow, ReportRow, ToolCallRow, TurnRow, UsageRow
from worker.storage.usage import RESERVED

Open = Callable[..., Services]
LEASE = timedelta(seconds=4)
THREADS = 8


def opened(services: Services) -> AgentRow:
    """Open one investigation and return its agent's row."""
    pipeline.accept(services, incident(), via="test")
    return agent_of(services)


def agent_of(services: Services) -> AgentRow:
    with services.database.transaction() as session:
        return session.scalars(select(AgentRow)).one()


def count(services: Services, table: type[object]) -> int:
    with services.database.transaction() as session:
        return len(session.scalars(select(table)).all())


def set_agent(services: Services, **values: object) -> None:
    with services.database.transaction() as session:
        session.execute(update(AgentRow).values(**values))


def let_leases_run_out(services: Services) -> None:
    set_agent(services, lease_until=datetime(2000, 1, 1, tzinfo=UTC))


def sweep(services: Services) -> None:
    """Do what the sweeper does with steps, without its thread."""
    with services.database.transaction() as session:
        wake_ups = agents.take_back_expired(session) + agents.expire_deadlines(session)
        agents.settle_cancelled(session)
    services.send(wake_ups)


def test_of_many_threads_that_claim_one_step_one_wins(open_services: Open) -> None:
    services = open_services(ScriptedModel([submits_report()]))
    agent = opened(services)
    together = threading.Barrier(THREADS)

    def claim() -> Claim | None:
        together.wait()
        with services.database.transaction() as session:
            return agents.claim(session, agent.id, Step.TURN, turn_no=1, lease=LEASE)

    with ThreadPoolExecutor(THREADS) as pool:
        claims = [f.result() for f in [pool.submit(claim) for _ in range(THREADS)]]

    assert sum(c is not None for c in claims) == 1


def _take_turn_in_a_process(
    url: str, agent_id: str, together: threading.Barrier, calls: "multiprocessing.Queue[int]"
) -> None:
    model = ScriptedModel([submits_report()])
    services = build_services(url, model)
    together.wait()
    pipeline.take_turn(services, agent_id, 1)
    calls.put(model.calls_per_turn[1])
    close_services(services)


def test_of_two_processes_that_take_one_turn_one_asks_the_model(open_services: Open, database_url: str) -> None:
    services = open_services(ScriptedModel([]))
    agent = opened(services)
    context = multiprocessing.get_context("spawn")
    together, calls = context.Barrier(2), context.Queue()
    arguments = (database_url, agent.id, together, calls)
    processes = [context.Process(target=_take_turn_in_a_process, args=arguments) for _ in range(2)]

    for process in processes:
        process.start()
    made = sorted(calls.get(timeout=60) for _ in processes)
    for process in processes:
        process.join(timeout=60)

    assert made == [0, 1]
    assert count(services, TurnRow) == 1


def test_a_second_delivery_of_a_finished_step_does_nothing(open_services: Open) -> None:
    model = ScriptedModel([submits_report()])
    services = open_services(model)
    opened(services)
    deliveries = queue_of(services).take()

    for wake_up in deliveries * 3:
        run_step(services, wake_up)
    drain(services)
    for wake_up in deliveries:
        run_step(services, wake_up)

    assert model.calls_per_turn == {1: 1}
    assert count(services, ReportRow) == 1


def test_a_step_that_lost_its_lease_cannot_write(open_services: Open) -> None:
    services = open_services(ScriptedModel([]))
    agent = opened(services)
    with services.database.transaction() as session:
        frozen = agents.claim(session, agent.id, Step.TURN, turn_no=1, lease=LEASE)
    assert frozen is not None
    let_leases_run_out(services)
    sweep(services)
    with services.database.transaction() as session:
        second = agents.claim(session, agent.id, Step.TURN, turn_no=1, lease=LEASE)
    assert second is not None

    def write(session: Session, claim: Claim) -> None:
        agents.advance(session, claim, AgentStatus.READY, turn_no=2)

    lost = False
    try:
        with services.database.transaction() as session:
            write(session, frozen)
    except LeaseLostError:
        lost = True
    with services.database.transaction() as session:
        write(session, second)

    assert lost
    assert agent_of(services).turn_no == 2


def test_a_thread_that_outlives_its_lease_leaves_one_turn_behind(open_services: Open) -> None:
    taken_over: list[int] = []

    def slow(_: ModelRequest) -> object:
        if not taken_over:
            taken_over.append(1)
            let_leases_run_out(services)
            sweep(services)
            drain(services)  # another worker takes the step and goes on to the end
        return submits_report()

    model = ScriptedModel([slow])  # type: ignore[list-item]  # the function's answer is a ModelAnswer
    services = open_services(model)
    opened(services)

    drain(services)

    assert model.calls_per_turn == {1: 2}
    assert count(services, TurnRow) == 1
    assert count(services, ReportRow) == 1


def test_an_unexpected_error_is_tried_again_and_then_fails_the_agent(open_services: Open) -> None:
    model = ScriptedModel([ZeroDivisionError("a defect")])
    services = open_services(model, rca_step_attempts=2)
    opened(services)

    for _ in range(2):
        set_agent(services, not_before=datetime(2000, 1, 1, tzinfo=UTC))
        agent = agent_of(services)
        pipeline.take_turn(services, agent.id, 1)

    with services.database.transaction() as session:
        row = session.scalars(select(InvestigationRow)).one()
    assert (row.status, row.failure_class) == (InvestigationStatus.FAILED, "unexpected")
    assert row.failure_reason == "its turn step raised ZeroDivisionError 2 times"
    assert services.heartbeat.running() == []


def test_a_provider_that_is_down_is_waited_for_and_then_fails_the_agent(open_services: Open) -> None:
    services = open_services(ScriptedModel([ProviderUnavailableError("refused")]), rca_provider_outage_s=60)
    agent = opened(services)

    pipeline.take_turn(services, agent.id, 1)
    waiting = agent_of(services)
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    set_agent(services, outage_since=an_hour_ago, not_before=an_hour_ago)
    pipeline.take_turn(services, agent.id, 1)

    assert waiting.status == AgentStatus.READY
    assert waiting.not_before > datetime.now(UTC)
    with services.database.transaction() as session:
        row = session.scalars(select(InvestigationRow)).one()
    assert (row.status, row.failure_class) == (InvestigationStatus.FAILED, "provider_unavailable")


def test_a_provider_that_names_a_time_is_asked_again_no_sooner(open_services: Open) -> None:
    limited = ProviderUnavailableError("later", retry_after_s=30)
    services = open_services(ScriptedModel([limited]))
    agent = opened(services)

    pipeline.take_turn(services, agent.id, 1)

    wait_s = (agent_of(services).not_before - datetime.now(UTC)).total_seconds()
    assert 25 < wait_s <= 30
    assert services.heartbeat.running() == []


def test_a_limit_of_our_own_is_waited_for_and_is_no_outage(open_services: Open) -> None:
    services = open_services(ScriptedModel([LimitReachedError("later", retry_after_s=30)]), rca_provider_outage_s=60)
    agent = opened(services)

    pipeline.take_turn(services, agent.id, 1)

    waiting = agent_of(services)
    assert waiting.status == AgentStatus.READY
    assert waiting.outage_since is None
    assert (waiting.not_before - datetime.now(UTC)).total_seconds() > 25
    with services.database.transaction() as session:
        assert session.scalars(select(UsageRow).where(UsageRow.outcome != RESERVED)).all() == []  # nobody was asked


def test_a_judge_that_a_limit_holds_back_denies_nothing(open_services: Open, tmp_path: Path) -> None:
    waits = [LimitReachedError("later", retry_after_s=30)]
    allows = calls_tools(("decide_commands", {"decisions": [{"id": "e1.1", "verdict": "allow", "reason": "fine"}]}))

    def judge(_: ModelRequest) -> ModelAnswer:
        if waits:
            raise waits.pop()
        return allows

    asked = calls_tools(("run_command", {"command": f"echo one >> {tmp_path / 'seen'}", "purpose": "to see"}))
    model = ScriptedModel([asked, submits_report()], judge=judge)
    services = open_services(model, openai_api_key="k", rca_model="openai/gpt-4.1-mini")
    agent = opened(services)
    pipeline.take_turn(services, agent.id, 1)
    pipeline.judge_commands(services, agent.id, 1)
    assert agent_of(services).status == AgentStatus.AWAITING_JUDGE
    set_agent(services, not_before=datetime(2000, 1, 1, tzinfo=UTC))

    pipeline.judge_commands(services, agent.id, 1)

    with services.database.transaction() as session:
        call = session.scalars(select(ToolCallRow).where(ToolCallRow.tool == "run_command")).one()
    assert (waits, call.layer, call.reason) == ([], "judge", "fine")


def test_two_lost_leases_send_a_step_to_quarantine_and_two_more_fail_it(open_services: Open) -> None:
    services = open_services(ScriptedModel([]))
    agent = opened(services)
    queues = []

    for _ in range(4):
        with services.database.transaction() as session:
            assert agents.claim(session, agent.id, Step.TURN, turn_no=1, lease=LEASE)
        let_leases_run_out(services)
        sweep(services)
        with services.database.transaction() as session:
            queues.append(session.scalar(select(OutboxRow.queue)))

    assert queues == [Queue.RCA, Queue.QUARANTINE, Queue.QUARANTINE, None]
    with services.database.transaction() as session:
        row = session.scalars(select(InvestigationRow)).one()
    assert row.failure_class == "worker_lost"


def test_a_step_put_back_by_a_deploy_is_no_loss(open_services: Open) -> None:
    services = open_services(ScriptedModel([submits_report()]))
    agent = opened(services)
    with services.database.transaction() as session:
        claim = agents.claim(session, agent.id, Step.TURN, turn_no=1, lease=LEASE)
        assert claim is not None

    with services.database.transaction() as session:
        put_back = agents.release_all(session, [claim.token])

    assert put_back == 1
    assert (agent_of(services).losses, agent_of(services).status) == (0, AgentStatus.READY)


def test_the_outbox_sends_again_until_the_step_is_claimed(open_services: Open) -> None:
    services = open_services(ScriptedModel([]))
    agent = opened(services)
    start = datetime.now(UTC)
    sent_at = []
    for seconds in range(60):
        with services.database.transaction() as session:
            if outbox.take_due(session, start + timedelta(seconds=seconds)):
                sent_at.append(seconds)

    with services.database.transaction() as session:
        agents.claim(session, agent.id, Step.TURN, turn_no=1, lease=LEASE)
    with services.database.transaction() as session:
        after = outbox.take_due(session, start + timedelta(days=1))

    assert len(sent_at) == 3
    assert sent_at[1] - sent_at[0] < sent_at[2] - sent_at[1]
    assert after == []


def test_when_the_queue_lost_its_memory_everything_owed_is_due(open_services: Open) -> None:
    services = open_services(ScriptedModel([]))
    opened(services)
    now = datetime.now(UTC)

    with services.database.transaction() as session:
        before = outbox.take_due(session, now)
        outbox.make_all_due(session, now)
        after = outbox.take_due(session, now)

    assert (len(before), len(after)) == (0, 1)


def test_cancelling_between_turns_ends_the_investigation_at_once(open_services: Open) -> None:
    model = ScriptedModel([submits_report()])
    services = open_services(model)
    accepted = pipeline.accept(services, incident(), via="test")

    pipeline.cancel(services, accepted.investigation_id)
    drain(services)

    with services.database.transaction() as session:
        row = investigations.get(session, accepted.investigation_id)
    assert row.status == InvestigationStatus.CANCELLED
    assert model.requests == []


def test_cancelling_during_a_turn_keeps_the_answer_and_starts_nothing_more(open_services: Open) -> None:
    def cancelled_meanwhile(_: ModelRequest) -> object:
        pipeline.cancel(services, accepted.investigation_id)
        return calls_tools(("run_command", {"command": "uptime", "purpose": "load"}))

    services = open_services(ScriptedModel([cancelled_meanwhile]))  # type: ignore[list-item]  # returns an answer
    accepted = pipeline.accept(services, incident(), via="test")

    drain(services)

    assert agent_of(services).status == AgentStatus.CANCELLED
    assert count(services, TurnRow) == 1
    assert count(services, OutboxRow) == 0


def test_a_retry_goes_on_from_the_last_finished_turn(open_services: Open) -> None:
    model = ScriptedModel(
        [
            calls_tools(("run_command", {"command": "uptime", "purpose": "load"})),
            ProviderUnavailableError("down"),
        ]
    )
    services = open_services(model, rca_provider_outage_s=0.001)
    accepted = pipeline.accept(services, incident(), via="test")
    drain(services)
    set_agent(services, not_before=datetime(2000, 1, 1, tzinfo=UTC), outage_since=datetime(2000, 1, 1, tzinfo=UTC))
    pipeline.take_turn(services, agent_of(services).id, 2)

    model.script[1] = submits_report()
    again = pipeline.retry(services, accepted.investigation_id)
    drain(services)

    with services.database.transaction() as session:
        old, new = investigations.get(session, accepted.investigation_id), investigations.get(session, again)
    assert (old.status, new.status) == (InvestigationStatus.FAILED, InvestigationStatus.COMPLETED)
    assert (new.retry_of, new.attempt_no) == (old.id, 2)
    assert model.calls_per_turn == {1: 1, 2: 3}


def test_a_deadline_that_passes_publishes_what_there_is(open_services: Open) -> None:
    services = open_services(ScriptedModel([calls_tools(("run_command", {"command": "uptime", "purpose": "load"}))]))
    accepted = pipeline.accept(services, incident(), via="test")
    run_step(services, queue_of(services).take()[0])
    queue_of(services).take()
    set_agent(services, deadline_at=datetime(2000, 1, 1, tzinfo=UTC))

    sweep(services)
    drain(services)

    with services.database.transaction() as session:
        row = investigations.get(session, accepted.investigation_id)
    assert (row.status, row.verdict) == (InvestigationStatus.COMPLETED, "inconclusive")
