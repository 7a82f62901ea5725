"""`rca budget` and what else tells of a day's budget: lists, the API, metrics."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.builders import drain, incident, submits_report
from tests.fakes import ScriptedModel
from tests.web_client import FAR, client_of, token_for
from worker import pipeline
from worker.cli.main import main
from worker.services import Services

Open = Callable[..., Services]
Run = Callable[..., Result]
LIMITS = {"rca_day_tokens": 1000, "rca_day_tokens_per_path": 100}


@pytest.fixture
def run(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("RCA_HOME", str(tmp_path))
    for name, limit in LIMITS.items():
        monkeypatch.setenv(name.upper(), str(limit))
    return lambda *arguments: CliRunner().invoke(main, arguments)


@pytest.fixture
def waiting(open_services: Open) -> str:
    """Spend 110 tokens of /team/a without limits, then let it wait for its hundred; return the one that waits."""
    unbound = open_services(ScriptedModel([submits_report()]), **dict.fromkeys(LIMITS))
    pipeline.accept(unbound, incident("first", user_path="/team/a"), via="test")
    drain(unbound)
    bound = open_services(ScriptedModel([submits_report()]), **LIMITS)
    return pipeline.accept(bound, incident("second", service="other", user_path="/team/a"), via="test").investigation_id


def test_the_day_is_shown_with_who_waits_and_why(run: Run, waiting: str) -> None:
    shown = run("budget")

    assert shown.exit_code == 0, shown.output
    assert "the fleet: 110 of 1,000 tokens, $0.00, 1 investigation queued" in shown.stdout
    assert "/team/a: 110 of 100 tokens, $0.00, 1 investigation queued" in shown.stdout
    assert "the budget of /team/a of 100 tokens a day is reached: it waits until 00:00 UTC" in shown.stdout


def test_scripts_get_the_day_as_json(run: Run, waiting: str) -> None:
    day = json.loads(run("budget", "--json").stdout)

    assert (day["fleet"]["tokens"], day["fleet"]["max_tokens"], day["fleet"]["waits_for"]) == (110, 1000, None)
    assert [(p["user_path"], p["waiting"]) for p in day["paths"]] == [("/team/a", 1)]


def test_a_lift_is_written_shown_and_lets_the_path_start(run: Run, waiting: str, open_services: Open) -> None:
    lifted = run("budget", "lift", "--user-path", "team/a", "--reason", "the outage matters more")
    services = open_services(ScriptedModel([submits_report()]), **LIMITS)
    pipeline.admit_waiting(services)
    drain(services)

    assert "of /team/a and below does not bind until" in lifted.stdout
    shown = run("budget").stdout
    assert "lifted for /team/a" in shown
    assert "the outage matters more" in shown
    assert "is reached" not in shown
    assert "completed" in run("investigations", "show", waiting).stdout


@pytest.mark.parametrize("reason", [[], ["--reason", "  "]])
def test_a_lift_wants_a_reason(run: Run, reason: list[str]) -> None:
    assert run("budget", "lift", *reason).exit_code == 2


def test_lists_say_that_it_waits_for_the_day(run: Run, waiting: str) -> None:
    assert "day's budget" in run("investigations", "list", "--status", "queued").stdout
    assert "queued: the budget of /team/a of 100 tokens a day" in run("investigations", "show", waiting).stdout


def test_the_api_tells_each_path_its_own(open_services: Open, waiting: str) -> None:
    services = open_services(ScriptedModel([]), **LIMITS)
    everybody, own, other = (
        token_for(services, "reports:read", user_path=path) for path in ("/", "/team/a", "/team/b")
    )

    with client_of(services, peer=FAR) as client:
        whole = client.get("/v1/budget", headers=everybody).json()
        mine = client.get("/v1/budget", headers=own).json()
        theirs = client.get("/v1/budget", headers=other).json()
        told = client.get(f"/v1/investigations/{waiting}", headers=own).json()["waits_for"]

    assert (whole["fleet"]["tokens"], whole["fleet"]["max_tokens"]) == (110, 1000)
    assert (mine["fleet"], [p["waiting"] for p in mine["paths"]]) == (None, [1])
    assert (theirs["fleet"], theirs["paths"]) == (None, [])
    assert told == mine["paths"][0]["waits_for"]


def test_metrics_tell_the_day(open_services: Open, waiting: str) -> None:
    services = open_services(ScriptedModel([]), **LIMITS)

    with client_of(services) as client:
        shown = client.get("/metrics").text

    assert "rca_day_tokens 110.0" in shown
    assert "rca_day_tokens_limit 1000.0" in shown
    assert "rca_day_cost_usd_limit +Inf" in shown
    assert "rca_day_investigations_held 1.0" in shown
