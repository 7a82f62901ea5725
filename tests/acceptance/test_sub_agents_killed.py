"""Sub-agents as tasks of their own: killed at every stage, failing in every way, on few slots."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.ensemble import (
    OWN,
    OWN_S,
    ROLES,
    claims_a_cause,
    environment,
    finds,
    holds,
    looks,
    measures,
    sends,
    write_own_role,
)
from tests.acceptance.system import Process, System, reports, wait_for
from tests.model_server import Reply
from tests.orchestra import CASE, CHANGES, DEPENDENCIES, ERRORS, GENERAL, RUNTIME, write_two_sources
from worker import pipeline
from worker.domain.states import AgentStatus

Install = Callable[..., System]
LONG_S = 20
WITHOUT_SUBAGENTS = ("rca", "guardrail", "tools", "reports")
WITHOUT_LEADS = ("subagents", "guardrail", "tools", "reports")


@pytest.fixture(scope="module")
def recorded_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_two_sources(tmp_path_factory.mktemp("recorded"))


@pytest.fixture
def system(install: Install, recorded_root: Path, tmp_path: Path) -> System:
    return install(RCA_LEASE_S="2", RCA_HEARTBEAT_S="0.5", **environment(recorded_root, write_own_role(tmp_path)))


def play(system: System, marker: str, *, slow_once: dict[tuple[str, int], float] | None = None) -> None:
    """Play a wave of two, which both look once, a report of a cause, and its verification."""
    script = {
        "lead": [sends(RUNTIME, ERRORS), claims_a_cause()],
        RUNTIME: [measures(), finds("Latency rose.")],
        ERRORS: [looks(), finds("Lock waits.")],
        "verify": [holds()],
    }
    system.provider.play_parts(marker, script, slow_once=slow_once)


def expected(**twice: tuple[str, int]) -> dict[tuple[str, int], int]:
    """Return every call of `play` once, the one that was in flight at a kill twice."""
    once = [(part, turn) for part in ("lead", RUNTIME, ERRORS) for turn in (1, 2)]
    calls = dict.fromkeys([*once, ("verify", 1)], 1)
    return calls | dict.fromkeys(twice.values(), 2)


def open_orchestrated(system: System, marker: str) -> str:
    return system.open(marker, severity="high", labels={"recorded_case": CASE})


def replace_killed(system: System, worker: Process) -> None:
    worker.kill()
    system.start_worker(slots=8)


def status_of_lead(system: System, investigation: str, status: AgentStatus) -> Callable[[], bool]:
    return lambda: system.agent(investigation).status == status


def wait_for_lead(system: System, investigation: str, status: AgentStatus) -> None:
    look = status_of_lead(system, investigation, status)
    wait_for(look, within_s=20, otherwise=lambda: system.describe(investigation))


def check_the_report(system: System, investigation: str) -> None:
    report = system.wait_until_completed(investigation, within_s=40)
    assert [s["missing"] for s in report["sub_agents"]] == [None, None]
    assert report["root_causes"][0]["entity"] == "db"
    assert [c["outcome"] for c in report["verification"]["checks"]] == ["holds"]
    assert sorted(a.status for a in system.agents(investigation).values()) == ["done"] * 3


def test_killed_after_the_plan_was_stored_the_wave_starts_elsewhere(system: System) -> None:
    marker = "killed after triage"
    play(system, marker)
    worker = system.start_worker(queues=WITHOUT_SUBAGENTS)

    investigation = open_orchestrated(system, marker)
    wait_for_lead(system, investigation, AgentStatus.WAITING_CHILDREN)
    replace_killed(system, worker)

    check_the_report(system, investigation)
    assert system.provider.asked(marker) == expected()


def test_killed_in_the_middle_of_a_wave_only_the_call_in_flight_is_repeated(system: System) -> None:
    marker = "killed in a wave"
    play(system, marker, slow_once={(ERRORS, 2): LONG_S})
    worker = system.start_worker(slots=8)

    investigation = open_orchestrated(system, marker)
    system.wait_for_part(marker, ERRORS, 2)
    wait_for(
        lambda: system.agents(investigation)[RUNTIME].status == AgentStatus.DONE,
        within_s=20,
        otherwise=lambda: system.describe(investigation),
    )
    replace_killed(system, worker)

    check_the_report(system, investigation)
    assert system.provider.asked(marker) == expected(in_flight=(ERRORS, 2))


def test_killed_between_the_last_child_and_the_synthesis_no_child_is_asked_again(system: System) -> None:
    marker = "killed before synthesis"
    play(system, marker)
    first = system.start_worker(queues=WITHOUT_SUBAGENTS)
    investigation = open_orchestrated(system, marker)
    wait_for_lead(system, investigation, AgentStatus.WAITING_CHILDREN)
    first.kill()

    second = system.start_worker(queues=WITHOUT_LEADS)
    wait_for_lead(system, investigation, AgentStatus.READY)
    replace_killed(system, second)

    check_the_report(system, investigation)
    assert system.provider.asked(marker) == expected()


def test_killed_in_the_synthesis_it_is_asked_once_more_and_stored_once(system: System) -> None:
    marker = "killed in synthesis"
    play(system, marker, slow_once={("lead", 2): LONG_S})
    worker = system.start_worker(slots=8)

    investigation = open_orchestrated(system, marker)
    system.wait_for_part(marker, "lead", 2)
    replace_killed(system, worker)

    check_the_report(system, investigation)
    assert system.provider.asked(marker) == expected(in_flight=("lead", 2))
    assert system.turns(investigation) == [1, 2]


def test_killed_in_the_verify_pass_only_that_is_asked_again(system: System) -> None:
    marker = "killed in verify"
    play(system, marker, slow_once={("verify", 1): LONG_S})
    worker = system.start_worker(slots=8)

    investigation = open_orchestrated(system, marker)
    system.wait_for_part(marker, "verify", 1)
    replace_killed(system, worker)

    check_the_report(system, investigation)
    assert system.provider.asked(marker) == expected(in_flight=("verify", 1))


def test_children_that_fail_in_every_way_are_named_gaps(system: System) -> None:
    marker = "failing in every way"
    script = {
        "lead": [sends(*ROLES), reports(summary="What is left tells enough.")],
        ERRORS: [Reply(status=401, body=b'{"error": {"message": "no access"}}')],
        RUNTIME: [Reply(tool_calls=[("submit_finding", {"strength": "certain"})])],
        CHANGES: [Reply(text="Nonsense."), Reply(text="More of it.")],
        DEPENDENCIES: [looks(latency_s=0.5)],
        GENERAL: [measures(), finds("It is the pool.")],
        OWN: [Reply(text="Hm.", latency_s=OWN_S + 10)],
    }
    system.provider.play_parts(marker, script)
    system.start_worker(slots=8)

    investigation = open_orchestrated(system, marker)
    system.wait_for_part(marker, DEPENDENCIES, 1)
    cancelled = system.agents(investigation)[DEPENDENCIES]
    pipeline.cancel_agent(system.services, investigation, agent_no=cancelled.agent_no)
    report = system.wait_until_completed(investigation, within_s=40)

    missing = {s["role"]: s["missing"] for s in report["sub_agents"]}
    assert missing == {
        ERRORS: "it failed (provider_auth)",
        RUNTIME: "the model did not hand in a valid finding",
        CHANGES: "the model did not hand in a valid finding",
        DEPENDENCIES: "it was cancelled",
        GENERAL: None,
        OWN: "it failed (time_ran_out)",
    }
    named = {gap["wanted"].partition(":")[0] for gap in report["gaps"]}
    assert named >= set(ROLES) - {GENERAL}


def test_six_sub_agents_end_on_eight_slots_and_one_queue(system: System) -> None:
    marker = "one queue"
    turns = [looks(turn, latency_s=0.2) for turn in range(1, 5)]
    script = {"lead": [sends(*ROLES), reports()], **{role: [*turns, finds()] for role in ROLES}}
    system.provider.play_parts(marker, script)
    system.start_worker(slots=8)

    investigations = [open_orchestrated(system, f"{marker} {i}") for i in range(3)]
    for investigation in investigations:
        system.wait_until_completed(investigation, within_s=60)

    assert all(system.provider.asked(f"{marker} {i}")[role, 5] == 1 for i in range(3) for role in ROLES)


def test_a_sub_agent_whose_message_is_revoked_is_a_gap_and_nothing_else(system: System) -> None:
    marker = "revoked"
    play(system, marker, slow_once={(RUNTIME, 1): 3})
    system.start_worker(queues=WITHOUT_SUBAGENTS)
    system.start_worker(queues=("subagents",), slots=1)

    investigation = open_orchestrated(system, marker)
    system.wait_for_part(marker, RUNTIME, 1)
    assert system.revoke(system.agents(investigation)[ERRORS].id, queue="subagents")
    report = system.wait_until_completed(investigation, within_s=40)

    assert {s["role"]: s["missing"] for s in report["sub_agents"]} == {RUNTIME: None, ERRORS: "it was cancelled"}
    assert system.provider.asked(marker).get((ERRORS, 1)) is None
