"""A provider that stays down fails the investigation; once it is back a retry goes on where the rows end."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.system import Provider, System, counts_in, reports, runs, times_run
from worker.domain.states import InvestigationStatus

Install = Callable[..., System]


@pytest.fixture
def provider() -> Iterator[Provider]:
    """Return a provider of this test's own: it goes down."""
    own = Provider()
    yield own
    own.close()


def test_a_provider_that_stays_down_fails_it_and_a_retry_repeats_nothing_finished(
    install: Install, tmp_path: Path
) -> None:
    system = install(RCA_PROVIDER_OUTAGE_S="1", RCA_CALL_ATTEMPTS="1")
    marker, counter = "the provider goes down", tmp_path / "count"
    system.provider.play(marker, [runs(counts_in(counter)), runs("sleep 2"), reports(summary="It went on.")])
    system.start_worker()

    first = system.open(marker)
    system.wait_for_turn(marker, 2)
    system.provider.go_down()
    failed = system.wait_for_status(first, InvestigationStatus.FAILED)
    system.provider.come_back()
    again = system.rca("investigations", "retry", first)
    report = system.wait_until_completed(again)

    assert failed.failure_class == "provider_unavailable"
    assert "connection failed" in (failed.failure_reason or "")
    assert report["summary"] == "It went on."
    assert system.provider.turns(marker) == {1: 1, 2: 1, 3: 1}
    assert times_run(counter) == 1
    assert system.turns(again) == [1, 2, 3]
    assert system.investigation(first).status == InvestigationStatus.FAILED
