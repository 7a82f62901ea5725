"""A burst of alerts of few incidents: each alert is on disk, each incident is investigated once, over both doors."""

from collections.abc import Callable

import pytest

from tests.acceptance.system import System, reports, wait_for
from tests.benchmarks import storm
from tests.servers import free_port

Install = Callable[..., System]
ALERTS, INCIDENTS = 600, 20
pytestmark = pytest.mark.services


def test_a_burst_on_the_stream_loses_nothing_and_is_investigated_once(install: Install) -> None:
    system = install(RCA_LOG_LEVEL="INFO")
    system.provider.play(storm.MARKER, [reports()])
    system.start_worker()
    system.start_intake()

    storm.send_to_stream(system, storm.storm_of(ALERTS, INCIDENTS))
    storm.wait_for_alerts(system, ALERTS, within_s=60)
    wait_for(lambda: not system.pending_messages(), within_s=10, otherwise=lambda: "some are not acknowledged")

    assert storm.counts(system) == storm.Counts(ALERTS, INCIDENTS, INCIDENTS)
    assert all(count == 1 for count in system.provider.turns(storm.MARKER).values()) or INCIDENTS > 1


def test_a_burst_over_http_is_taken_whole(install: Install) -> None:
    system, port = install(RCA_LOG_LEVEL="INFO"), free_port()
    system.start_web(port=port)

    answered = storm.send_over_http(port, storm.storm_of(ALERTS, INCIDENTS))

    assert dict(answered.statuses) == {202: ALERTS}
    assert storm.counts(system) == storm.Counts(ALERTS, INCIDENTS, INCIDENTS)
