"""A worker that freezes past its lease and wakes up again: its step was taken over, and it writes nothing."""

from collections.abc import Callable

from sqlalchemy import text

from tests.acceptance.system import System, reports, runs
from worker.domain.states import AgentStatus

Install = Callable[..., System]


def test_a_frozen_worker_that_wakes_up_writes_nothing(install: Install) -> None:
    system, marker = install(RCA_LEASE_S="2", RCA_HEARTBEAT_S="0.5"), "frozen"
    system.provider.play(marker, [runs("uptime"), reports(summary="Once.")], slow_once={1: 3})
    frozen = system.start_worker()

    investigation = system.open(marker)
    system.wait_for_turn(marker, 1)
    frozen.freeze()
    system.start_worker()
    report = system.wait_until_completed(investigation)
    before = _rows(system)
    frozen.thaw()
    frozen.wait_for_line('"outcome": "lease_lost"', within_s=10)

    assert report["summary"] == "Once."
    assert system.provider.turns(marker) == {1: 2, 2: 1}
    assert system.turns(investigation) == [1, 2]
    assert _rows(system) == before
    assert system.agent(investigation).status == AgentStatus.DONE


def _rows(system: System) -> dict[str, list[str]]:
    """Return what the tables hold, but for the sweeper's duty, which changes hands."""
    tables = ("investigations", "agents", "turns", "tool_calls", "reports", "llm_usage", "outbox", "artifacts")
    with system.services.database.transaction() as session:
        return {t: sorted(str(r[0]) for r in session.execute(text(f"SELECT {t}::text FROM {t}"))) for t in tables}  # noqa: S608 - our own names
