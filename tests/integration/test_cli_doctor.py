"""The doctor with a real Redis and real databases."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import update

from tests.builders import incident, submits_report
from tests.fakes import ScriptedModel
from tests.servers import RedisServer
from worker import pipeline
from worker.cli.main import main
from worker.domain.states import AgentKind, DeliveryStatus
from worker.services import Services
from worker.storage import deliveries, leases
from worker.storage.database import Database
from worker.storage.standing import SWEEPER
from worker.storage.tables import AgentRow, DeliveryRow
from worker.sweeper import DUTY

Open = Callable[..., Services]


@pytest.fixture(autouse=True)
def environment(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("RCA_HOME", str(tmp_path))


def examine() -> tuple[int, dict[str, dict[str, str]]]:
    """Return the exit code and the checks by name."""
    result = CliRunner().invoke(main, ["doctor", "--json"])
    return result.exit_code, {check["name"]: check for check in json.loads(result.stdout)}


def test_the_duty_looked_for_is_the_one_that_workers_hold() -> None:
    assert SWEEPER == DUTY


def test_a_database_of_this_version_is_well_and_a_worker_is_missed() -> None:
    code, checks = examine()

    assert code == 0
    assert [checks[name]["status"] for name in ("database", "schema", "database clock")] == ["ok"] * 3
    assert checks["workers"]["detail"] == "none alive, never seen"


def test_a_worker_is_alive_while_it_holds_its_duty(database: Database) -> None:
    with database.transaction() as session:
        leases.hold(session, DUTY, holder="w", lease=timedelta(seconds=3))

    _, checks = examine()

    assert checks["workers"]["status"] == "ok"


def test_work_that_waits_without_a_worker_fails(open_services: Open, database: Database) -> None:
    with database.transaction() as session:
        leases.hold(session, DUTY, holder="w", lease=timedelta(minutes=-2))
    pipeline.accept(open_services(ScriptedModel([submits_report()])), incident(), via="test")

    code, checks = examine()

    assert code == 1
    assert checks["workers"]["status"] == "fail"
    assert "0 investigations queued, 1 running" in checks["workers"]["detail"]
    assert "last seen 20" in checks["workers"]["detail"]


def test_what_did_not_arrive_and_who_waits_too_long_is_counted(open_services: Open, database: Database) -> None:
    opened = pipeline.accept(open_services(ScriptedModel([submits_report()])), incident(), via="test")
    long_ago = datetime(2000, 1, 1, tzinfo=UTC)
    with database.transaction() as session:
        deliveries.owe(session, opened.investigation_id, ["webhook"])
        session.flush()
        session.execute(update(DeliveryRow).values(status=DeliveryStatus.FAILED))
        session.execute(update(AgentRow).values(kind=AgentKind.SUB, deadline_at=long_ago))

    _, checks = examine()

    assert checks["deliveries"]["detail"] == "1 report did not arrive"
    assert checks["sub-agents"]["detail"] == "1 sub-agent still waiting past the deadline"
    with database.transaction() as session:
        session.execute(update(AgentRow).values(claim_token="held"))
    assert examine()[1]["sub-agents"]["status"] == "ok"


@pytest.mark.services
def test_a_redis_that_keeps_nothing_is_a_warning(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", redis_server.url)

    _, checks = examine()

    assert checks["Redis"]["status"] == "ok"
    assert checks["Redis persistence"] == {
        "name": "Redis persistence",
        "status": "warn",
        "detail": "no append-only file",
        "fix": "set `appendonly yes`: events between their XADD and the intake live only in Redis",
    }
    assert checks["Redis memory"]["status"] == "ok"
