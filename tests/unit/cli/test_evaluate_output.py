"""What `rca eval run` prints: scores, effort, every case without a report, every case nobody knows the truth of."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.builders import settings_for
from worker.cli import evaluate, scoreboard
from worker.cli.scoreboard import Replayed, Round
from worker.domain.report import UsageLine
from worker.domain.states import ReportVerdict
from worker.errors import ConfigError, UserError
from worker.evaluation.scoring import CaseTruth, Outcome

TRUTH = {
    "set/a": CaseTruth("world/held", "shop", "root_cause", ("cart",)),
    "set/b": CaseTruth("world/held", "shop", "root_cause", ("db",)),
}
GOOD = Replayed("set/a", "completed", 4.0, Outcome("set/a", ReportVerdict.CONFIRMED, ("cart",)))
FAILED = Replayed("set/b", "failed", 2.0, Outcome("set/b", None, failed="provider_auth: no key"))
UNKNOWN = Replayed("set/z", "completed", 1.0, Outcome("set/z", ReportVerdict.LIKELY, ("web",)))


def played(*replayed: Replayed, mode: str | None = None, wall_s: float = 5.0) -> Round:
    return evaluate._scored(mode, list(replayed), TRUTH, wall_s=wall_s)


def used(purpose: str, **fields: Any) -> UsageLine:
    known = {"calls": 2, "input_tokens": 900, "cached_input_tokens": None, "output_tokens": 50, "cost_usd": 0.25}
    return UsageLine.model_validate({"purpose": purpose, "model": "openai/gpt-4.1", **known, **fields})


def printed(capsys: pytest.CaptureFixture[str], *rounds: Round) -> tuple[list[str], list[str], list[str]]:
    """Return the lines about cases, the table of scores and the table of efforts."""
    scoreboard.print_table(rounds)
    ends, scores, efforts = capsys.readouterr().out.split("\n\n")
    return ends.splitlines(), scores.splitlines(), efforts.splitlines()


def test_the_table_has_a_row_for_each_set_under_its_headings(capsys: pytest.CaptureFixture[str]) -> None:
    ends, (headings, row), _ = printed(capsys, played(GOOD, mode="single"))

    assert ends == ["single: 1 of 1 cases ended in a report"]
    assert headings.split()[:5] == ["set", "system", "mode", "n", "AC@1"]
    assert row.split()[:5] == ["world/held", "shop", "single", "1", "1.00"]
    assert "-" in row.split()  # nobody asked for specificity


def test_a_case_without_a_report_is_named_with_its_reason_and_is_a_miss(capsys: pytest.CaptureFixture[str]) -> None:
    ends, (_, row), _ = printed(capsys, played(GOOD, FAILED, mode="single"))

    assert ends == ["single: 1 of 2 cases ended in a report", "  set/b: failed, provider_auth: no key"]
    assert row.split()[3:5] == ["2", "0.50"]


def test_a_case_outside_the_truth_is_named_and_not_scored(capsys: pytest.CaptureFixture[str]) -> None:
    ends, (_, row), _ = printed(capsys, played(GOOD, UNKNOWN, mode="single"))

    assert "not scored, no truth file knows them: set/z" in ends
    assert row.split()[3] == "1"


def test_where_no_mode_is_asked_for_it_is_as_configured(capsys: pytest.CaptureFixture[str]) -> None:
    ends, (_, row), (_, effort) = printed(capsys, played(GOOD, FAILED))

    assert ends[0] == "1 of 2 cases ended in a report"
    assert "as configured" in row
    assert effort.startswith("as configured")


def test_modes_stand_below_each_other_set_by_set_in_the_order_they_ran(capsys: pytest.CaptureFixture[str]) -> None:
    both = [played(GOOD, FAILED, mode=mode) for mode in evaluate.MODES]

    _, (_, *rows), (_, *efforts) = printed(capsys, *both)

    assert [row.split()[:3] for row in rows] == [["world/held", "shop", mode] for mode in evaluate.MODES]
    assert [effort.split()[0] for effort in efforts] == list(evaluate.MODES)


def test_what_all_cases_took_is_summed(capsys: pytest.CaptureFixture[str]) -> None:
    first = Replayed("set/a", "completed", 4.0, GOOD.outcome, (used("orchestrator"), used("subagent", calls=5)))
    second = Replayed("set/b", "failed", 2.0, FAILED.outcome, (used("subagent"),))

    *_, (headings, effort) = printed(capsys, played(first, second, mode="single", wall_s=4.5))

    assert headings.split("  ")[0].strip() == "mode"
    assert effort.split() == ["single", "9", "2700", "150", "0.7500", "3.0", "4.5"]


def test_a_sum_with_an_unknown_part_is_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    one = Replayed("set/a", "completed", 4.0, GOOD.outcome, (used("rca"), used("judge", cost_usd=None)))

    *_, (_, effort) = printed(capsys, played(one, mode="single"))

    assert effort.split()[1:5] == ["4", "1800", "100", "unknown"]


def test_json_holds_every_case_scored_or_not(capsys: pytest.CaptureFixture[str]) -> None:
    scoreboard.print_json([played(GOOD, FAILED, UNKNOWN, mode="single")])

    body = json.loads(capsys.readouterr().out)
    assert [case["name"] for case in body["cases"]] == ["set/a", "set/b", "set/z"]
    assert body["cases"][1]["outcome"]["failed"] == "provider_auth: no key"
    assert [(s["set_name"], s["n"], s["n_failed"]) for s in body["scores"]] == [("world/held", 2, 1)]


def test_json_of_both_modes_is_a_list(capsys: pytest.CaptureFixture[str]) -> None:
    scoreboard.print_json([played(GOOD, mode=mode) for mode in evaluate.MODES])

    assert [one["mode"] for one in json.loads(capsys.readouterr().out)] == list(evaluate.MODES)


def test_a_mode_overrides_what_is_configured_and_nothing_else_does() -> None:
    settings = settings_for("sqlite://", orchestrator_enabled=True)

    assert evaluate.overrides_of(None, settings) == {}
    assert evaluate.overrides_of("single", settings) == {"ORCHESTRATOR_ENABLED": "false"}


def test_models_not_named_for_the_lead_and_its_sub_agents_are_the_single_agents() -> None:
    named = {"openai_api_key": "k", "llm_provider_mode": "direct", "rca_model": "openai/gpt-4.1"}
    settings = settings_for("sqlite://", **named, rca_subagent_model="openai/gpt-4.1-mini")

    assert evaluate.overrides_of("orchestrated", settings) == {
        "ORCHESTRATOR_ENABLED": "true",
        "RCA_ORCHESTRATOR_MODEL": "openai/gpt-4.1",
    }


def test_without_any_key_the_offline_analyst_plays_all_parts() -> None:
    overrides = evaluate.overrides_of("orchestrated", settings_for("sqlite://"))

    assert {overrides["RCA_ORCHESTRATOR_MODEL"], overrides["RCA_SUBAGENT_MODEL"]} == {"offline/analyst"}


def test_a_single_agents_model_that_leads_nowhere_is_an_error() -> None:
    with pytest.raises(ConfigError, match="RCA_MODEL"):
        evaluate.overrides_of("orchestrated", settings_for("sqlite://", rca_model="nobody/knows-it"))


def test_every_column_has_a_heading() -> None:
    assert len(scoreboard.COLUMNS) == len(scoreboard.HEADINGS)


def test_a_truth_file_is_taken_from_here_or_else_from_the_cases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, cases = tmp_path / "here", tmp_path / "cases"
    for folder in (here, cases):
        folder.mkdir()
    (cases / "truth.json").write_text("{}")
    monkeypatch.chdir(here)

    assert evaluate._located(Path("truth.json"), cases) == cases / "truth.json"
    (here / "truth.json").write_text("{}")
    assert evaluate._located(Path("truth.json"), cases) == Path("truth.json")


def test_a_truth_file_that_is_nowhere_is_named_with_both_places(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no file t\.json, neither here nor in"):
        evaluate._located(Path("t.json"), tmp_path)


def test_a_case_that_did_not_end_is_unfinished() -> None:
    replayed = evaluate._replayed(None, "set/a", None)  # type: ignore[arg-type]  # no row: nothing is read

    assert (replayed.status, replayed.outcome.failed) == ("unfinished", "did not end in time")
