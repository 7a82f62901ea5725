"""A burst of alerts of few incidents: each alert is on disk, each incident is investigated once, over both doors."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import psycopg
import pytest
from psycopg import sql

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
    wait_for(
        lambda: system.provider.turns(storm.MARKER) == {1: INCIDENTS},
        within_s=30,
        otherwise=lambda: f"asked {system.provider.turns(storm.MARKER)}",
    )


def test_a_burst_over_http_is_taken_whole(install: Install) -> None:
    system, port = install(RCA_LOG_LEVEL="INFO"), free_port()
    system.start_web(port=port)

    answered = storm.send_over_http(port, storm.storm_of(ALERTS, INCIDENTS))

    assert dict(answered.statuses) == {202: ALERTS}
    assert storm.counts(system) == storm.Counts(ALERTS, INCIDENTS, INCIDENTS)


def test_while_the_database_is_away_http_refuses_clearly_and_takes_what_comes_after(install: Install) -> None:
    system, port = install(RCA_LOG_LEVEL="INFO"), free_port()
    system.start_web(port=port)
    alerts = storm.storm_of(40, 4)
    assert dict(storm.send_over_http(port, alerts[:20]).statuses) == {202: 20}

    with database_away(system.database_dsn):
        refused = storm.send_over_http(port, alerts[20:])
        answer = httpx.post(f"http://127.0.0.1:{port}/v1/incidents", content=alerts[20])
    again = storm.send_over_http(port, alerts[20:])

    assert dict(refused.statuses) == {503: 20}
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json()["detail"]["error"] == "storage_unavailable"
    assert dict(again.statuses) == {202: 20}
    assert storm.counts(system) == storm.Counts(40, 4, 4)


@contextmanager
def database_away(dsn: str) -> Iterator[None]:
    """Let nobody reach this one database, and end whoever is there."""
    server, name = dsn.rsplit("/", 1)
    with psycopg.connect(f"{server}/postgres", autocommit=True) as operator:
        allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
        operator.execute(allow.format(sql.Identifier(name), sql.Literal(False)))
        operator.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        try:
            yield
        finally:
            operator.execute(allow.format(sql.Identifier(name), sql.Literal(True)))
