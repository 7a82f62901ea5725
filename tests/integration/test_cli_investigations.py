"""The commands over investigations and reports, on both databases, with what a scripted model left there."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import update

from tests.builders import drain, incident, submits_report
from tests.fakes import ScriptedModel, calls_tools
from worker import pipeline
from worker.cli.main import main
from worker.errors import ProviderAuthError
from worker.services import Services
from worker.storage.tables import ToolCallRow

Open = Callable[..., Services]
Run = Callable[..., Result]
CAUSE = {
    "entity": "kernel", "category": "node", "statement": "An old kernel.", "evidence": [{"evidence_id": "e1.1"}],
}  # fmt: skip


@pytest.fixture
def run(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("RCA_HOME", str(tmp_path))
    return lambda *arguments: CliRunner().invoke(main, arguments)


def completed(open_services: Open, title: str = "checkout p99 is high", **fields: object) -> str:
    """Investigate one incident with a command allowed, one denied, and a report; return its id."""
    calls = (
        ("run_command", {"command": "uname -r", "purpose": "kernel"}),
        ("run_command", {"command": "rm -rf /", "purpose": "havoc"}),
    )
    services = open_services(
        ScriptedModel([calls_tools(*calls), submits_report(summary="The kernel is old.", root_causes=[CAUSE])])
    )
    accepted = pipeline.accept(services, incident(title, **fields), via="test")
    drain(services)
    return accepted.investigation_id


def failed(open_services: Open) -> str:
    services = open_services(ScriptedModel([ProviderAuthError("the key was rejected")]))
    accepted = pipeline.accept(services, incident("login fails", service="login"), via="test")
    drain(services)
    return accepted.investigation_id


def queued(open_services: Open) -> str:
    """Open one that no worker takes on: another fills the only place."""
    services = open_services(ScriptedModel([submits_report()]), rca_max_running=1)
    pipeline.accept(services, incident("first"), via="test")
    return pipeline.accept(services, incident("second"), via="test").investigation_id


def test_the_list_is_newest_first_and_filtered(open_services: Open, run: Run) -> None:
    old, new = completed(open_services), failed(open_services)

    lines = run("investigations", "list").stdout.splitlines()

    assert [line.split()[0] for line in lines] == [new, old]
    assert "failed     provider_auth" in lines[0]
    assert run("investigations", "list", "--status", "completed").stdout.split()[0] == old
    assert run("investigations", "list", "--service", "login").stdout.split()[0] == new
    assert run("investigations", "list", "--before", new).stdout.split()[0] == old


def test_a_full_page_says_how_to_see_the_next(open_services: Open, run: Run) -> None:
    completed(open_services)
    new = failed(open_services)

    result = run("investigations", "list", "--limit", "1", "--json")

    assert [row["id"] for row in json.loads(result.stdout)] == [new]
    assert result.stderr == f"older ones: --before {new}\n"


def test_nothing_to_list_is_said(run: Run) -> None:
    assert run("investigations", "list").stdout == "no investigation matches\n"
    assert run("investigations", "list", "--json").stdout == "[]\n"


def test_one_is_shown_with_calls_layers_cost_and_verdict(open_services: Open, run: Run) -> None:
    found = completed(open_services, labels={"team": "shop"})

    said = run("investigations", "show", "latest").stdout

    assert said.startswith(f"{found}  completed")
    assert "e1.1 run_command uname -r: succeeded" in said
    assert "e1.2 run_command rm -rf /: denied by " in said
    assert "200 tokens" in said
    assert "rca: 2 calls of offline/analyst, 200 tokens in" in said
    assert "The kernel is old." in said
    assert f"evidence: rca report show {found} --evidence e1.1 --full" in said


def test_a_failure_is_shown_with_its_fix(open_services: Open, run: Run) -> None:
    found = failed(open_services)

    said = run("investigations", "show", found).stdout

    assert "the model did not answer: provider_auth" in said
    assert "failed: provider_auth: the key was rejected" in said
    assert "what to do: check the provider's key" in said
    assert f"rca investigations retry {found}" in said


def test_one_that_waits_says_how_to_watch_it(open_services: Open, run: Run) -> None:
    found = queued(open_services)

    said = run("investigations", "show", found).stdout

    assert f"watch it: rca follow {found}" in said


def test_the_same_as_json_has_turns_calls_and_usage(open_services: Open, run: Run) -> None:
    found = completed(open_services)

    shown = json.loads(run("investigations", "show", found, "--json").stdout)

    assert shown["investigation"]["verdict"] is not None
    assert [call["status"] for call in shown["turns"][0]["calls"]] == ["succeeded", "denied"]
    assert shown["usage"][0]["calls"] == 2
    assert shown["turns"][0]["finished_at"].endswith("+00:00")


def test_an_id_that_names_nothing_is_one_line_with_code_2(run: Run) -> None:
    result = run("investigations", "show", "inv_nope")

    assert result.exit_code == 2
    assert result.stderr == "Error: there is no investigation 'inv_nope'; `rca investigations list` shows all\n"
    assert "send an incident with `rca enqueue FILE`" in run("investigations", "show", "latest").stderr


def test_a_retry_is_queued_and_left_to_a_worker(open_services: Open, run: Run) -> None:
    old = failed(open_services)

    result = run("investigations", "retry", old)

    new = result.stdout.strip()
    assert new != old
    assert f"rca follow {new}" in result.stderr
    assert f"{new}  queued" in run("investigations", "show", new).stdout  # this shell's keys must not choose its model
    assert "failed" in run("investigations", "show", old).stdout


def test_a_second_retry_is_refused_while_the_first_goes_on(open_services: Open, run: Run) -> None:
    old = failed(open_services)
    new = run("investigations", "retry", old).stdout.strip()

    again = run("investigations", "retry", old)

    assert again.exit_code == 2
    assert f"is retried already, as {new}" in again.stderr


def test_a_completed_one_is_neither_retried_nor_cancelled(open_services: Open, run: Run) -> None:
    found = completed(open_services)

    assert "only failed or cancelled ones are retried" in run("investigations", "retry", found).stderr
    assert "there is nothing to cancel" in run("investigations", "cancel", found).stderr


def test_one_that_waits_is_cancelled_at_once(open_services: Open, run: Run) -> None:
    found = queued(open_services)

    assert run("investigations", "cancel", found).exit_code == 0
    assert f"{found}  cancelled" in run("investigations", "show", found).stdout


def test_a_report_is_shown_with_its_evidence_one_option_away(open_services: Open, run: Run) -> None:
    found = completed(open_services)

    brief, one = run("report", "show", found), run("report", "show", found, "--evidence", "e1.1")

    assert "Open evidence: rca report show" in brief.stdout
    assert one.stdout.startswith("e1.1 run_command: succeeded")
    assert "cited by: root cause 1" in one.stdout


def test_the_whole_result_is_more_than_the_excerpt(open_services: Open, run: Run) -> None:
    found = completed(open_services)
    services = open_services(ScriptedModel([]))
    with services.database.transaction() as session:
        session.execute(update(ToolCallRow).where(ToolCallRow.evidence_id == "e1.1").values(text="whole\x1b[2J"))

    said = run("report", "show", found, "--evidence", "e1.1", "--full").stdout

    assert said.startswith("e1.1 run_command: succeeded")
    assert said.endswith("\n\nwhole⟨U+001B⟩[2J\n")


def test_all_results_can_follow_the_report(open_services: Open, run: Run) -> None:
    completed(open_services)

    said = run("report", "show", "latest", "--full").stdout

    assert "Open evidence:" in said
    assert "\ne1.2 run_command: denied" in said


def test_evidence_that_is_not_there_names_what_is(open_services: Open, run: Run) -> None:
    completed(open_services)

    result = run("report", "show", "latest", "--evidence", "e9.9")

    assert result.exit_code == 2
    assert "it has: e1.1, e1.2" in result.stderr


def test_a_report_that_is_not_there_says_why(open_services: Open, run: Run) -> None:
    found = failed(open_services)

    result = run("report", "show", found)

    assert result.exit_code == 2
    assert f"investigation {found} is failed (the key was rejected) and has no report" in result.stderr
    assert f"`rca investigations show {found}` tells more" in result.stderr


@pytest.mark.parametrize(("form", "begins"), [("json", "{"), ("md", "#"), ("html", "<!doctype html>")])
def test_a_report_is_exported(form: str, begins: str, *, open_services: Open, run: Run, tmp_path: Path) -> None:
    completed(open_services)
    file = tmp_path / f"report.{form}"

    printed = run("report", "export", "latest", "--format", form).stdout
    result = run("report", "export", "latest", "--format", form, "-o", str(file))

    assert printed.lower().startswith(begins)
    assert (file.read_text(), result.stdout, result.stderr) == (printed, "", f"wrote {file}\n")


def test_a_file_that_cannot_be_written_is_one_line(open_services: Open, run: Run, tmp_path: Path) -> None:
    completed(open_services)

    result = run("report", "export", "latest", "--format", "md", "-o", str(tmp_path / "no" / "file.md"))

    assert result.exit_code == 2
    assert "cannot be written (No such file or directory)" in result.stderr
