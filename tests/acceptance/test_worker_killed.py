"""A worker killed with -9 in any state: another goes on, and nothing finished is done again."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from tests.acceptance.system import Process, System, counts_in, reports, runs, times_run, wait_for
from worker.domain.states import AgentStatus

Install = Callable[..., System]
LONG_S = 20


@pytest.fixture
def system(install: Install) -> System:
    return install(RCA_LEASE_S="2", RCA_HEARTBEAT_S="0.5")


def replace_killed(system: System, worker: Process) -> None:
    worker.kill()
    system.start_worker()


def test_killed_while_the_model_thinks_only_the_call_in_flight_is_repeated(system: System, tmp_path: Path) -> None:
    marker, counter = "killed while asking", tmp_path / "count"
    system.provider.play(marker, [runs(counts_in(counter)), runs("uptime"), reports()], slow_once={2: LONG_S})
    worker = system.start_worker()

    investigation = system.open(marker)
    system.wait_for_turn(marker, 2)
    assert system.agent(investigation).status == AgentStatus.ASKING
    replace_killed(system, worker)
    system.wait_until_completed(investigation)

    assert system.provider.turns(marker) == {1: 1, 2: 2, 3: 1}
    assert system.turns(investigation) == [1, 2, 3]
    assert (times_run(counter), system.provider.judge_calls(str(counter))) == (1, 1)


def test_killed_before_the_judge_was_asked_no_turn_is_repeated(system: System, tmp_path: Path) -> None:
    marker, counter = "killed awaiting the judge", tmp_path / "count"
    system.provider.play(marker, [runs("uptime"), runs(counts_in(counter)), reports()])
    worker = system.start_worker(queues=("rca", "tools", "reports"))

    investigation = system.open(marker)
    system.wait_for_agent(investigation, lambda a: a.status == AgentStatus.AWAITING_JUDGE)
    replace_killed(system, worker)
    system.wait_until_completed(investigation)

    assert system.provider.turns(marker) == {1: 1, 2: 1, 3: 1}
    assert (times_run(counter), system.provider.judge_calls(str(counter))) == (1, 1)


def test_killed_while_the_judge_thinks_only_the_judge_is_asked_again(system: System, tmp_path: Path) -> None:
    marker, counter = "killed while judging", tmp_path / "count"
    system.provider.play(marker, [runs("uptime"), runs(counts_in(counter)), reports()])
    system.provider.delay_judge_once(str(counter), LONG_S)
    worker = system.start_worker()

    investigation = system.open(marker)
    system.wait_for_agent(investigation, lambda a: a.status == AgentStatus.JUDGING)
    wait_for(lambda: system.provider.judge_calls(str(counter)), within_s=5, otherwise=lambda: "the judge is not asked")
    replace_killed(system, worker)
    system.wait_until_completed(investigation)

    assert system.provider.turns(marker) == {1: 1, 2: 1, 3: 1}
    assert (times_run(counter), system.provider.judge_calls(str(counter))) == (1, 2)


def test_killed_while_commands_run_only_the_unfinished_one_runs_again(system: System, tmp_path: Path) -> None:
    marker, quick, slow = "killed while acting", tmp_path / "quick", tmp_path / "slow"
    system.provider.play(marker, [runs(counts_in(quick), f"{counts_in(slow)}; sleep 3"), reports()])
    worker = system.start_worker()

    investigation = system.open(marker)
    wait_for(
        lambda: times_run(slow) and system.tool_calls(investigation)["e1.1"].status == "succeeded",
        within_s=20,
        otherwise=lambda: system.describe(investigation),
    )
    assert system.agent(investigation).status == AgentStatus.ACTING
    first = system.tool_calls(investigation)["e1.1"].finished_at
    replace_killed(system, worker)
    system.wait_until_completed(investigation)

    calls = system.tool_calls(investigation)
    assert (calls["e1.1"].finished_at, calls["e1.2"].status) == (first, "succeeded")
    assert (times_run(quick), times_run(slow)) == (1, 2)
    assert system.provider.turns(marker) == {1: 1, 2: 1}
    assert system.provider.judge_calls(str(quick)) == 1


def test_killed_before_the_report_was_written_it_is_written_once(system: System) -> None:
    marker = "killed before publishing"
    system.provider.play(marker, [runs("uptime"), reports()])
    worker = system.start_worker(queues=("rca", "tools", "guardrail"))

    investigation = system.open(marker)
    system.wait_for_agent(investigation, lambda a: a.status == AgentStatus.PUBLISHING)
    replace_killed(system, worker)
    system.wait_until_completed(investigation)

    assert system.provider.turns(marker) == {1: 1, 2: 1}


def test_killed_in_the_middle_of_writing_the_report_it_is_written_once(system: System) -> None:
    marker = "killed while publishing"
    system.provider.play(marker, [runs("uptime"), reports()])
    worker = system.start_worker()

    with psycopg.connect(system.database_dsn) as blocker:
        blocker.execute("LOCK TABLE reports IN ACCESS EXCLUSIVE MODE")
        investigation = system.open(marker)
        system.wait_for_agent(investigation, lambda a: a.status == AgentStatus.PUBLISHING and a.claim_token is not None)
        wait_for(lambda: _waits_for_a_lock(system), within_s=5, otherwise=lambda: "nothing waits for the lock")
        worker.kill()
    system.start_worker()
    system.wait_until_completed(investigation)

    assert system.agent(investigation).status == AgentStatus.DONE
    assert system.provider.turns(marker) == {1: 1, 2: 1}


def _waits_for_a_lock(system: System) -> bool:
    with system.services.database.transaction() as session:
        waiting = text(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database "
            "WHERE datname = current_database())"
        )
        return bool(session.scalar(waiting))
