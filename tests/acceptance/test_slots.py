"""Slots are never held by waiting: not for the judge, not for a provider that asks for patience."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from tests.acceptance.system import ANTHROPIC_MODEL, System, counts_in, reports, runs, times_run
from tests.model_server import Reply
from worker.domain.states import AgentStatus, InvestigationStatus

Install = Callable[..., System]


def test_four_investigations_that_need_the_judge_finish_on_two_slots(install: Install, tmp_path: Path) -> None:
    system = install()
    names = [f"needs the judge for {name}" for name in ("carts", "orders", "mail", "search")]
    counters = [tmp_path / f"count-{n}" for n in range(len(names))]
    for name, counter in zip(names, counters, strict=True):
        system.provider.play(name, [runs(counts_in(counter), latency_s=0.3), reports()])

    investigations = [system.open(name) for name in names]
    system.start_worker(slots=2)
    for investigation in investigations:
        system.wait_until_completed(investigation, within_s=30)

    assert [times_run(c) for c in counters] == [1, 1, 1, 1]
    assert [system.provider.turns(n) for n in names] == [{1: 1, 2: 1}] * 4


def test_a_provider_that_asks_for_half_a_minute_gets_it_and_the_slot_is_free_meanwhile(install: Install) -> None:
    system = install()
    limited, held, other = "rate limited", "of the same account", "goes on meanwhile"
    system.provider.play(limited, [Reply(status=429, headers={"retry-after": "30"}, body=b"{}")])
    system.provider.play(other, [runs("uptime"), reports()])
    system.provider.play(held, [reports()])
    system.start_worker(slots=1)

    waiting = system.open(limited)
    system.wait_for_agent(waiting, lambda a: a.outage_since is not None)
    patient = system.open(held)
    system.wait_for_agent(patient, lambda a: a.outage_since is not None)
    system.wait_until_completed(system.open(other, model=ANTHROPIC_MODEL), within_s=5)

    agent = system.agent(waiting)
    assert (agent.status, agent.attempts, agent.losses) == (AgentStatus.READY, 0, 0)
    assert agent.outage_since is not None
    assert 29 < (agent.not_before - agent.outage_since).total_seconds() < 31
    assert agent.not_before > datetime.now(UTC)
    assert system.investigation(waiting).status == InvestigationStatus.RUNNING
    assert (system.provider.turns(limited), system.provider.turns(held)) == ({1: 1}, {})
