"""Retention: what has ended long ago goes whole or not at all, and nothing that is needed goes."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from redis import Redis
from sqlalchemy import func, select, update

from tests.builders import drain, incident, submits_report
from tests.fakes import ScriptedModel, calls_tools
from worker import pipeline, retention
from worker.cli.main import main
from worker.errors import ProviderAuthError
from worker.services import Services
from worker.storage import investigations, purging, reports
from worker.storage.tables import AlertRow, Base, IncidentRow, InvestigationRow
from worker.sweeper import Sweeper

Open = Callable[..., Services]
MONTH = timedelta(days=30)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
LONG = "cat /proc/meminfo /proc/cpuinfo /proc/meminfo /proc/meminfo"
CALLS = calls_tools(("run_command", {"command": LONG, "purpose": "memory"}), ("run_command", {"command": "rm -rf /"}))


def rows(services: Services) -> dict[str, int]:
    """Count the rows of every table."""
    tables = [t for t in Base.metadata.sorted_tables if t.name not in {"leases", "verdicts", "tokens"}]
    with services.database.transaction() as session:
        counts = {t.name: session.scalar(select(func.count()).select_from(t)) or 0 for t in tables}
    return {name: number for name, number in counts.items() if number}


def finished(services: Services, title: str = "checkout p99 is high") -> str:
    taken = pipeline.accept(services, incident(title), via="test")
    drain(services)
    return taken.investigation_id


def age(services: Services, *ids: str, alerts_too: bool = True) -> None:
    """Make investigations end long ago, and their alerts come long ago."""
    with services.database.transaction() as session:
        session.execute(update(InvestigationRow).where(InvestigationRow.id.in_(ids)).values(finished_at=LONG_AGO))
        if alerts_too:
            session.execute(update(IncidentRow).values(last_seen_at=LONG_AGO))


def left(services: Services) -> set[str]:
    with services.database.transaction() as session:
        return set(session.scalars(select(InvestigationRow.id)))


def whole(open_services: Open) -> Services:
    """Return services with one finished investigation that left a row in every table it can."""
    return open_services(ScriptedModel([CALLS, submits_report()]), rca_delivery_webhook_url="http://127.0.0.1:9/x")


def test_an_old_one_goes_with_everything_of_it(open_services: Open) -> None:
    services = whole(open_services)
    age(services, finished(services))
    before = rows(services)

    gone = retention.purge(services.database, MONTH)

    assert {"artifacts", "deliveries", "llm_usage", "reports", "tool_calls", "turns", "agents"} <= set(before)
    assert rows(services) == {}
    assert {name: number for name, number in gone.rows.items() if number} == before


def test_every_table_that_hangs_on_an_investigation_is_known_to_the_purge() -> None:
    hanging = {
        t.name for t in Base.metadata.sorted_tables for k in t.foreign_keys if k.column.table.name in
        {"investigations", "agents", "incidents"}
    }  # fmt: skip
    named = {*purging.OF_AGENTS, *purging.OF_INVESTIGATIONS, *purging.OTHERS}

    assert hanging <= named


def test_young_running_and_waiting_ones_stay_whole(open_services: Open) -> None:
    services = open_services(ScriptedModel([submits_report()]), rca_max_running=1)
    finished(services, "young")
    for title in ("running", "waiting"):
        pipeline.accept(services, incident(title), via="test")
    with services.database.transaction() as session:
        session.execute(update(InvestigationRow).values(created_at=LONG_AGO))
        session.execute(update(IncidentRow).values(last_seen_at=LONG_AGO))
    before = rows(services)

    gone = retention.purge(services.database, MONTH)

    assert not any(gone.rows.values())
    assert rows(services) == before


def test_what_a_younger_retry_goes_on_from_stays(open_services: Open) -> None:
    model = ScriptedModel([CALLS, ProviderAuthError("the key was rejected")])
    services = open_services(model)
    first = finished(services)
    model.script[1] = submits_report()
    again = pipeline.retry(services, first)
    drain(services)
    age(services, first)

    kept = (retention.count(services.database, MONTH), retention.purge(services.database, MONTH), left(services))
    with services.database.transaction() as session:
        assert reports.get(session, again).evidence
    age(services, first, again)
    count = retention.count(services.database, MONTH)
    retention.purge(services.database, MONTH)

    assert (kept[0], any(kept[1].rows.values()), kept[2]) == (0, False, {first, again})
    assert (count, rows(services)) == (2, {})


def test_alerts_of_an_incident_that_stays_follow_its_newest_investigation(open_services: Open) -> None:
    services = open_services(ScriptedModel([submits_report()]))
    event = incident(idempotency_key="k")
    first = pipeline.accept(services, event, via="test").investigation_id
    drain(services)
    again = pipeline.rerun(services, first)
    drain(services)
    age(services, first)

    retention.purge(services.database, MONTH)

    assert left(services) == {again}
    assert pipeline.accept(services, event, via="test").investigation_id == again
    with services.database.transaction() as session:
        assert [
            a.attempt_no for a in investigations.attempts_at(session, session.scalars(select(IncidentRow.id)).one())
        ] == [2]


def test_the_newest_of_an_incident_stays_while_alerts_come(open_services: Open) -> None:
    services = open_services(ScriptedModel([submits_report()]))
    only = finished(services)
    age(services, only, alerts_too=False)

    retention.purge(services.database, MONTH)

    assert left(services) == {only}


def test_a_failure_in_the_middle_leaves_it_whole(open_services: Open) -> None:
    services = whole(open_services)
    found = finished(services)
    age(services, found)
    before = rows(services)

    def purge_and_break() -> None:
        with services.database.transaction() as session:
            assert purging.purge(session, found, datetime.now(UTC))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        purge_and_break()

    assert rows(services) == before


def test_many_go_batch_by_batch(open_services: Open) -> None:
    services = open_services(ScriptedModel([submits_report()]))
    ids = [finished(services, f"alert {'x' * (n + 1)}") for n in range(7)]
    age(services, *ids[:5])

    gone = retention.purge(services.database, MONTH, at_most=3)
    rest = retention.purge(services.database, MONTH)

    assert (gone.rows["investigations"], rest.rows["investigations"]) == (3, 2)
    assert left(services) == set(ids[5:])


def test_ends_that_nobody_knew_the_beginning_of_go_too(open_services: Open) -> None:
    services = open_services(ScriptedModel([]))
    pipeline.accept(services, incident(resolved=True), via="test")
    age(services)

    retention.purge(services.database, MONTH)

    assert rows(services) == {}


def test_an_alert_after_its_incident_is_gone_opens_a_new_one(open_services: Open) -> None:
    services = open_services(ScriptedModel([submits_report()]))
    first = pipeline.accept(services, incident(), via="test")
    drain(services)
    age(services, first.investigation_id)
    retention.purge(services.database, MONTH)

    again = pipeline.accept(services, incident(), via="test")

    assert again.outcome == "accepted"
    with services.database.transaction() as session:
        assert session.scalar(select(func.count()).select_from(AlertRow)) == 1


def test_the_sweeper_deletes_one_a_round_and_only_if_told_to(open_services: Open) -> None:
    for days, expected in ((0, [3, 3]), (30, [2, 1])):
        services = open_services(ScriptedModel([submits_report()]), rca_retention_days=days)
        if not left(services):
            age(services, *[finished(services, f"alert {'x' * (n + 1)}") for n in range(3)])
        sweeper = Sweeper(services, Redis(port=1))
        sweeper._holder = "one of this test"  # both have the duty

        seen = []
        for _ in range(2):
            assert sweeper.sweep()
            seen.append(len(left(services)))

        assert seen == expected


def test_the_command_asks_counts_and_tells(
    open_services: Open, database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("RCA_HOME", str(tmp_path))
    services = open_services(ScriptedModel([submits_report()]))
    age(services, finished(services))

    def run(*arguments: str, said: str = "") -> str:
        return CliRunner().invoke(main, ["purge", *arguments], input=said).output

    dry = run("--older-than", "30d", "--dry-run")
    refused = run("--older-than", "30d", said="n\n")
    stays = left(services)
    done = run("--older-than", "30d", "--yes")

    assert dry == "1 investigation would go\n"
    assert "delete 1 investigation for good?" in refused
    assert (len(stays), left(services)) == (1, set())
    assert "1 investigations" in done
    assert "1 reports" in done
    assert run("--older-than", "30d", "--yes") == "nothing was old enough\n"


@pytest.mark.parametrize("given", ["30", "0d", "12h", "d", "-3d", "1.5d", ""])
def test_an_age_that_is_none_or_too_young_is_refused(given: str) -> None:
    result = CliRunner().invoke(main, ["purge", "--older-than", given, "--yes"])

    assert result.exit_code == 2
