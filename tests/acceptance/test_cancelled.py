"""Cancelled from outside: nothing new starts, and what runs is ended."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.system import System, counts_in, reports, runs, times_run, wait_for
from worker.domain.states import AgentStatus, InvestigationStatus

Install = Callable[..., System]


def cancel(system: System, investigation: str) -> None:
    system.rca("investigations", "cancel", investigation)


def test_cancelled_between_two_turns_nothing_new_starts(install: Install, tmp_path: Path) -> None:
    system, marker, counter = install(), "cancelled between turns", tmp_path / "count"
    system.provider.play(marker, [runs(counts_in(counter)), reports()])
    system.start_worker(queues=("rca", "guardrail"))

    investigation = system.open(marker)
    system.wait_for_agent(investigation, lambda a: a.status == AgentStatus.READY_TO_ACT)
    cancel(system, investigation)
    system.start_worker()
    system.wait_for_status(investigation, InvestigationStatus.CANCELLED, within_s=3)
    time.sleep(1.5)

    assert system.provider.turns(marker) == {1: 1}
    assert times_run(counter) == 0
    assert system.agent(investigation).status == AgentStatus.CANCELLED


def test_cancelled_while_the_model_thinks_its_answer_starts_nothing(system: System) -> None:
    marker = "cancelled while asking"
    system.provider.play(marker, [runs("uptime"), reports()], slow_once={1: 9})

    investigation = system.open(marker)
    system.wait_for_turn(marker, 1)
    cancel(system, investigation)
    system.wait_for_status(investigation, InvestigationStatus.CANCELLED, within_s=15)

    assert system.agent(investigation).status == AgentStatus.CANCELLED
    assert [c.status for c in system.tool_calls(investigation).values()] in ([], ["allowed"])
    assert system.provider.turns(marker) == {1: 1}


@pytest.mark.parametrize("rest", ["sleep 30", "sleep 30 & wait"], ids=["in-front", "behind"])
def test_a_running_command_ends_with_the_investigation_it_runs_for(system: System, tmp_path: Path, rest: str) -> None:
    counter = tmp_path / "count"
    marker = f"cancelled while this runs: {rest}"
    command = f"{counts_in(counter)}; {rest}; {counts_in(counter)}"
    system.provider.play(marker, [runs(command), reports()])

    investigation = system.open(marker)
    wait_for(lambda: times_run(counter), within_s=10, otherwise=lambda: system.describe(investigation))
    cancel(system, investigation)
    system.wait_for_status(investigation, InvestigationStatus.CANCELLED, within_s=4)

    assert not _processes_with(str(counter))
    assert times_run(counter) == 1
    assert system.provider.turns(marker) == {1: 1}


def test_messages_revoked_before_they_started_cancel_their_investigations(install: Install) -> None:
    system, busy, names = install(), "has the only slot", ("revoked in line for it", "revoked in the queue")
    for name in (busy, *names):
        system.provider.play(name, [reports()], slow_once={1: 8} if name == busy else None)
    system.start_worker(slots=1)

    first = system.open(busy)
    system.wait_for_turn(busy, 1)
    others = [system.open(name) for name in names]
    places = [system.revoke(system.agent(other).id) for other in others]
    for other in others:
        system.wait_for_status(other, InvestigationStatus.CANCELLED, within_s=15)

    assert places == ["in line", "queued"]
    assert system.wait_until_completed(first)
    assert [system.provider.turns(name) for name in names] == [{}, {}]


def _processes_with(text: str) -> list[str]:
    """Return the command lines of this machine's processes that hold a text."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue  # it ended meanwhile
    return [line for line in lines if text in line]
