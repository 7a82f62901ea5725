"""Fan-out and fan-in: whoever ends last wakes the lead, once, whatever happens to whom."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fakeredis import FakeRedis
from sqlalchemy import delete, select, update

from tests.builders import build_services, close_services, drain, queue_of, submits_report
from tests.meeting import MeetingDatabase
from tests.orchestra import (
    ENABLED,
    ERRORS,
    GENERAL,
    LOOKS,
    RUNTIME,
    Orchestra,
    finds,
    orchestrated_incident,
    sends,
    write_two_sources,
)
from tests.servers import PostgresServer
from worker import pipeline
from worker.domain.states import AgentKind, AgentStatus, InvestigationStatus, Step, ToolCallStatus
from worker.domain.transcript import Claim, ToolCall
from worker.errors import ProviderUnavailableError
from worker.services import Services
from worker.storage import agents, children, findings, investigations, reports, sharing, transcripts
from worker.storage.tables import AgentRow, Base, FindingRow, OutboxRow, SharedCallRow, ToolCallRow, TurnRow
from worker.sweeper import Sweeper

Open = Callable[..., Services]
LEASE = timedelta(seconds=30)
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
LATE = "it was still at work when the time of its wave ran out"
TIMES = 4
LOOK = ToolCall(1, "a1e1.1", "call_1", "rank_metric_changes", {}, ToolCallStatus.ALLOWED)


@pytest.fixture(scope="module")
def recorded_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_two_sources(tmp_path_factory.mktemp("recorded"))


@pytest.fixture
def open_orchestrated(open_services: Open, recorded_root: Path) -> Open:
    def build(model: Orchestra, **fields: Any) -> Services:
        return open_services(model, rca_recorded_root=recorded_root, **{**ENABLED, **fields})

    return build


def orchestra(*roles: str) -> Orchestra:
    scripts = {role: [finds(f"{role} found it.")] for role in roles}
    return Orchestra({"lead": [sends(*roles), submits_report()], **scripts})


def fan_out(services: Services) -> list[AgentRow]:
    """Open an investigation, let its lead plan, and return the sub-agents."""
    pipeline.accept(services, orchestrated_incident(), via="test")
    pipeline.take_turn(services, lead_of(services).id, 1)
    queue_of(services).take()
    return subs_of(services)


def rows_of(services: Services, table: type[Any]) -> list[Any]:
    with services.database.transaction() as session:
        return list(session.scalars(select(table)).all())


def lead_of(services: Services) -> AgentRow:
    return next(a for a in rows_of(services, AgentRow) if a.kind == AgentKind.LEAD)


def subs_of(services: Services) -> list[AgentRow]:
    return sorted((a for a in rows_of(services, AgentRow) if a.kind == AgentKind.SUB), key=lambda a: a.agent_no)


def set_agent(services: Services, agent_id: str, **values: object) -> None:
    with services.database.transaction() as session:
        session.execute(update(AgentRow).where(AgentRow.id == agent_id).values(**values))


def sweep(services: Services) -> None:
    assert Sweeper(services, FakeRedis()).sweep()


def claim(services: Services, agent_id: str, step: Step = Step.TURN) -> Claim:
    with services.database.transaction() as session:
        found = agents.claim(session, agent_id, step, turn_no=1, lease=LEASE)
    assert found is not None
    return found


def reasons(services: Services) -> dict[str, str | None]:
    with services.database.transaction() as session:
        investigation_id = session.scalars(select(AgentRow.investigation_id)).first()
    return reasons_of(services, str(investigation_id))


def reasons_of(services: Services, investigation_id: str) -> dict[str, str | None]:
    with services.database.transaction() as session:
        return {c.assignment.role: c.missing for c in findings.of_investigation(session, investigation_id)}


def test_children_and_their_messages_are_there_in_one_commit(open_orchestrated: Open) -> None:
    services = open_orchestrated(orchestra(ERRORS, RUNTIME))

    subs = fan_out(services)

    owed = {(row.agent_id, row.queue) for row in rows_of(services, OutboxRow)}
    assert owed == {(sub.id, "subagents") for sub in subs}
    assert [sub.agent_no for sub in subs] == [1, 2]


def test_the_lead_waits_while_one_is_at_work_and_goes_on_after_the_last(open_orchestrated: Open) -> None:
    services = open_orchestrated(orchestra(ERRORS, RUNTIME))
    first, second = fan_out(services)

    pipeline.take_turn(services, first.id, 1)
    assert lead_of(services).status == AgentStatus.WAITING_CHILDREN
    pipeline.take_turn(services, second.id, 1)

    lead = lead_of(services)
    assert (lead.status, lead.turn_no) == (AgentStatus.READY, 2)
    assert [(w.step, w.agent_id) for w in queue_of(services).take()] == [(Step.TURN, lead.id)]


@pytest.mark.parametrize("round_no", range(TIMES))
def test_two_that_end_at_once_wake_the_lead_once(
    postgres_server: PostgresServer, recorded_root: Path, meeting_url: str, round_no: int
) -> None:
    built = build_services(meeting_url, orchestra(ERRORS, RUNTIME), rca_recorded_root=recorded_root, **ENABLED)
    with built.database.transaction() as session:
        for table in reversed(Base.metadata.sorted_tables):
            session.execute(delete(table))
    meeting = MeetingDatabase(meeting_url)
    services = replace(built, database=meeting)
    subs = fan_out(services)

    with meeting.meeting(2), ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(pipeline.take_turn, services, sub.id, 1) for sub in subs]:
            done.result()

    lead = lead_of(services)
    assert (lead.status, lead.turn_no) == (AgentStatus.READY, 2)
    assert [w.agent_id for w in queue_of(services).take() if w.agent_id == lead.id] == [lead.id]
    meeting.close()
    close_services(built)


@pytest.fixture(scope="module")
def meeting_url(postgres_server: PostgresServer) -> str:
    return postgres_server.create_migrated()


def test_a_lead_whose_children_have_ended_without_a_word_is_moved_on_by_the_sweeper(open_orchestrated: Open) -> None:
    services = open_orchestrated(orchestra(ERRORS, RUNTIME))
    for sub in fan_out(services):
        set_agent(services, sub.id, status=AgentStatus.FAILED, finished_at=LONG_AGO)

    sweep(services)

    assert lead_of(services).status == AgentStatus.READY


def test_a_child_whose_time_is_up_ends_as_a_gap(open_orchestrated: Open) -> None:
    services = open_orchestrated(orchestra(ERRORS, RUNTIME))
    first, second = fan_out(services)
    pipeline.take_turn(services, second.id, 1)
    set_agent(services, first.id, deadline_at=LONG_AGO)

    sweep(services)

    assert subs_of(services)[0].status == AgentStatus.FAILED
    assert reasons(services) == {ERRORS: "it failed (time_ran_out)", RUNTIME: None}
    assert lead_of(services).status == AgentStatus.READY


def test_a_child_that_comes_late_is_recorded_and_changes_nothing(open_orchestrated: Open) -> None:
    model = Orchestra(
        {
            "lead": [sends(ERRORS, RUNTIME), submits_report()],
            ERRORS: [finds("Too late.")],
            RUNTIME: [finds("In time.")],
        }
    )
    services = open_orchestrated(model)
    first, second = fan_out(services)
    pipeline.take_turn(services, second.id, 1)
    frozen, done = threading.Event(), threading.Event()
    model.before(ERRORS, lambda: (done.set(), frozen.wait(20)))
    late = threading.Thread(target=pipeline.take_turn, args=(services, first.id, 1))
    late.start()
    assert done.wait(20)
    set_agent(services, first.id, deadline_at=LONG_AGO)
    sweep(services)
    assert lead_of(services).status == AgentStatus.READY

    frozen.set()
    late.join(20)
    drain(services)

    assert {row.agent_id: row.is_late for row in rows_of(services, FindingRow)} == {first.id: True, second.id: False}
    assert "Too late." not in model.requests["lead"][-1].messages[-1].text
    assert "In time." in model.requests["lead"][-1].messages[-1].text
    assert (lead_of(services).status, lead_of(services).turn_no) == (AgentStatus.DONE, 2)


def test_a_child_that_loses_its_worker_again_and_again_ends_alone(open_orchestrated: Open) -> None:
    services = open_orchestrated(orchestra(ERRORS, RUNTIME))
    first, second = fan_out(services)
    pipeline.take_turn(services, second.id, 1)
    for _ in range(agents.LOSSES_TO_FAIL):
        claim(services, first.id)
        set_agent(services, first.id, lease_until=LONG_AGO)
        with services.database.transaction() as session:
            agents.take_back_expired(session)

    sweep(services)

    assert reasons(services)[ERRORS] == "it failed (worker_lost)"
    assert lead_of(services).status == AgentStatus.READY


def test_a_provider_that_stays_down_for_one_child_is_a_gap(open_orchestrated: Open) -> None:
    model = Orchestra(
        {
            "lead": [sends(ERRORS, RUNTIME), submits_report()],
            ERRORS: [ProviderUnavailableError("down")],
            RUNTIME: [finds("Slow.")],
        }
    )
    services = open_orchestrated(model, rca_provider_outage_s=60)
    first, second = fan_out(services)
    pipeline.take_turn(services, first.id, 1)
    set_agent(services, first.id, outage_since=LONG_AGO, not_before=LONG_AGO)
    pipeline.take_turn(services, second.id, 1)

    pipeline.take_turn(services, first.id, 1)

    assert reasons(services)[ERRORS] == "it failed (provider_unavailable)"
    assert lead_of(services).status == AgentStatus.READY


def test_a_cancelled_investigation_takes_its_sub_agents_along(open_orchestrated: Open) -> None:
    services = open_orchestrated(orchestra(ERRORS, RUNTIME))
    first, _ = fan_out(services)
    running = claim(services, first.id)

    pipeline.cancel(services, running.agent.investigation_id)
    sweep(services)

    statuses = {a.agent_no: (a.status, a.cancel_requested_at is not None) for a in rows_of(services, AgentRow)}
    assert statuses == {0: ("cancelled", True), 1: ("asking", True), 2: ("cancelled", True)}
    with services.database.transaction() as session:
        row = investigations.get(session, running.agent.investigation_id)
    assert row.status == InvestigationStatus.CANCELLED
    assert rows_of(services, FindingRow) == []


def begin_again(services: Services, investigation_id: str) -> dict[int, AgentRow]:
    """Cancel the investigation, try it again at once, and return the new agents by their numbers."""
    pipeline.cancel(services, investigation_id)
    queue_of(services).take()
    resumed = pipeline.retry(services, investigation_id)
    return {a.agent_no: a for a in rows_of(services, AgentRow) if a.investigation_id == resumed}


def test_a_sub_agent_still_at_work_is_begun_again_where_it_stands(open_orchestrated: Open) -> None:
    model = Orchestra({"lead": [sends(RUNTIME), submits_report()], RUNTIME: [LOOKS, finds()]})
    services = open_orchestrated(model)
    (sub,) = fan_out(services)
    pipeline.take_turn(services, sub.id, 1)
    acting = claim(services, sub.id, Step.ACT)

    again = begin_again(services, acting.agent.investigation_id)
    drain(services)

    assert again[1].status == AgentStatus.READY_TO_ACT
    assert model.asked[RUNTIME, 2] == 1
    assert {a.status for a in rows_of(services, AgentRow) if a.id in {again[0].id, again[1].id}} == {AgentStatus.DONE}


def test_a_plan_that_comes_with_a_cancel_is_followed_by_the_retry(open_orchestrated: Open) -> None:
    services = open_orchestrated(model := orchestra(ERRORS, RUNTIME))
    accepted = pipeline.accept(services, orchestrated_incident(), via="test")
    model.before("lead", lambda: pipeline.cancel(services, accepted.investigation_id))
    pipeline.take_turn(services, lead_of(services).id, 1)
    model.before("lead", lambda: None)
    assert {a.status for a in rows_of(services, AgentRow)} == {AgentStatus.CANCELLED}

    resumed = pipeline.retry(services, accepted.investigation_id)
    drain(services)

    with services.database.transaction() as session:
        report = reports.get(session, resumed)
    assert [(s.role, s.missing) for s in report.sub_agents] == [(ERRORS, None), (RUNTIME, None)]
    assert model.asked["lead", 1] == 1


def test_a_finding_that_comes_with_a_cancel_counts_in_the_retry(open_orchestrated: Open) -> None:
    services = open_orchestrated(model := orchestra(RUNTIME))
    (sub,) = fan_out(services)
    model.before(RUNTIME, lambda: pipeline.cancel(services, sub.investigation_id))
    pipeline.take_turn(services, sub.id, 1)

    resumed = pipeline.retry(services, sub.investigation_id)
    sweep(services)
    drain(services)

    with services.database.transaction() as session:
        report = reports.get(session, resumed)
    assert [(s.summary, s.missing) for s in report.sub_agents] == [(f"{RUNTIME} found it.", None)]
    assert model.asked[RUNTIME, 1] == 1


def test_a_late_sub_agent_is_not_begun_again(open_orchestrated: Open) -> None:
    services = open_orchestrated(model := orchestra(ERRORS, RUNTIME))
    first, second = fan_out(services)
    pipeline.take_turn(services, second.id, 1)
    claim(services, first.id)
    set_agent(services, first.id, deadline_at=LONG_AGO)
    with services.database.transaction() as session:
        children.rejoin_all(session)

    again = begin_again(services, first.investigation_id)
    sweep(services)
    drain(services)

    assert (again[0].status, again[0].turn_no) == (AgentStatus.READY, 2)
    assert model.asked[ERRORS, 1] == 0
    assert reasons_of(services, again[0].investigation_id)[ERRORS] == LATE


def test_a_revoked_message_of_a_sub_agent_cancels_it_alone(open_orchestrated: Open) -> None:
    services = open_orchestrated(orchestra(ERRORS, RUNTIME))
    first, second = fan_out(services)

    with services.database.transaction() as session:
        agents.cancel_agent(session, first.id)
    pipeline.take_turn(services, second.id, 1)
    sweep(services)
    drain(services)

    assert subs_of(services)[0].status == AgentStatus.CANCELLED
    assert lead_of(services).status == AgentStatus.DONE


def test_a_lead_that_is_done_sends_late_children_home(open_orchestrated: Open) -> None:
    services = open_orchestrated(orchestra(ERRORS, RUNTIME))
    first, second = fan_out(services)
    pipeline.take_turn(services, second.id, 1)
    claim(services, first.id)
    set_agent(services, first.id, deadline_at=LONG_AGO)

    sweep(services)
    drain(services)

    assert lead_of(services).status == AgentStatus.DONE
    assert subs_of(services)[0].cancel_requested_at is not None


def test_agents_of_one_investigation_share_one_budget(open_orchestrated: Open) -> None:
    model = orchestra(ERRORS, RUNTIME)
    services = open_orchestrated(model, rca_max_tokens=40_000)
    fan_out(services)
    asked_before = sum(model.asked.values())

    with services.database.transaction() as session:
        for row in session.scalars(select(AgentRow)):
            investigation = investigations.get(session, row.investigation_id)
            investigation.limits = {**(investigation.limits or {}), "max_tokens": 10}
    for sub in subs_of(services):
        pipeline.take_turn(services, sub.id, 1)

    assert sum(model.asked.values()) == asked_before
    assert all("tokens is spent" in str(reason) for reason in reasons(services).values())


def test_a_role_has_turns_of_its_own(open_orchestrated: Open, tmp_path: Path) -> None:
    (tmp_path / "quick.md").write_text(
        "---\nname: quick\ndescription: Quick.\ntools: ['*']\nmax_turns: 2\n---\nBe quick.\n"
    )
    looks = [LOOKS, LOOKS]
    model = Orchestra({"lead": [sends("quick"), submits_report()], "quick": [*looks, finds()]})
    services = open_orchestrated(model, rca_roles_dir=tmp_path)
    fan_out(services)
    with services.database.transaction() as session:
        queue_of(services)(children.rejoin_all(session))
    (sub,) = subs_of(services)
    pipeline.take_turn(services, sub.id, 1)
    drain(services)

    forced = [r.forced_tool for r in model.requests["quick"]]
    assert forced == [None, "submit_finding"]
    assert "its budget of 2 turns" in str(reasons(services)["quick"])


@pytest.fixture
def wave(open_orchestrated: Open) -> tuple[Services, Claim, Claim]:
    """Return two sub-agents that are about to make the same call."""
    model = Orchestra(
        {"lead": [sends(GENERAL, RUNTIME), submits_report()], GENERAL: [LOOKS, finds()], RUNTIME: [LOOKS, finds()]}
    )
    services = open_orchestrated(model)
    first, second = fan_out(services)
    for sub in (first, second):
        pipeline.take_turn(services, sub.id, 1)
    return services, claim(services, first.id, Step.ACT), claim(services, second.id, Step.ACT)


def take(services: Services, claim: Claim) -> sharing.Standing:
    with services.database.transaction() as session:
        return sharing.take(session, claim, LOOK)


def finish(services: Services, claim: Claim, status: ToolCallStatus) -> None:
    done = replace(LOOK, status=status, text="found", evidence_id=f"a{claim.agent.agent_no}e1.1")
    with services.database.transaction() as session:
        transcripts.put_call(session, claim, done)


def test_who_comes_second_waits_and_takes_the_result(wave: tuple[Services, Claim, Claim]) -> None:
    services, first, second = wave
    assert take(services, first).turn is sharing.Turn.OURS
    assert take(services, second).turn is sharing.Turn.THEIRS

    finish(services, first, ToolCallStatus.SUCCEEDED)

    standing = take(services, second)
    assert standing.turn is sharing.Turn.DONE
    assert standing.result is not None
    assert (standing.result.text, standing.result.evidence_id) == ("found", "a1e1.1")


def test_a_failed_call_serves_nobody_else(wave: tuple[Services, Claim, Claim]) -> None:
    services, first, second = wave
    take(services, first)

    finish(services, first, ToolCallStatus.FAILED)

    assert take(services, second).turn is sharing.Turn.OURS


def test_a_call_whose_holder_is_gone_is_taken_over(wave: tuple[Services, Claim, Claim]) -> None:
    services, first, second = wave
    take(services, first)

    set_agent(services, first.agent.id, lease_until=LONG_AGO)

    assert take(services, second).turn is sharing.Turn.OURS
    assert [row.agent_id for row in rows_of(services, SharedCallRow)] == [second.agent.id]


def test_a_stale_result_is_asked_for_anew(wave: tuple[Services, Claim, Claim]) -> None:
    services, first, second = wave
    take(services, first)
    finish(services, first, ToolCallStatus.SUCCEEDED)
    with services.database.transaction() as session:
        session.execute(update(ToolCallRow).values(finished_at=LONG_AGO))

    assert take(services, second).turn is sharing.Turn.OURS


def test_after_a_kill_the_holder_runs_its_call_again(wave: tuple[Services, Claim, Claim]) -> None:
    services, first, _ = wave

    assert take(services, first).turn is sharing.Turn.OURS
    assert take(services, replace(first, token="another")).turn is sharing.Turn.OURS


def test_no_turn_of_the_lead_is_added_while_it_waits(open_orchestrated: Open) -> None:
    services = open_orchestrated(orchestra(ERRORS, RUNTIME))
    fan_out(services)

    for turn_no in (1, 2):
        pipeline.take_turn(services, lead_of(services).id, turn_no)

    assert [t.turn_no for t in rows_of(services, TurnRow)] == [1]
