"""What `rca eval run` prints: scores, every case without a report, every case nobody knows the truth of."""

import json
from pathlib import Path

import pytest

from worker.cli import evaluate
from worker.cli.evaluate import Replayed
from worker.domain.states import ReportVerdict
from worker.errors import UserError
from worker.evaluation.scoring import CaseTruth, Outcome, score

TRUTH = {
    "set/a": CaseTruth("world/held", "shop", "root_cause", ("cart",)),
    "set/b": CaseTruth("world/held", "shop", "root_cause", ("db",)),
}
GOOD = Replayed("set/a", "completed", 4.0, Outcome("set/a", ReportVerdict.CONFIRMED, ("cart",)))
FAILED = Replayed("set/b", "failed", 2.0, Outcome("set/b", None, failed="provider_auth: no key"))
UNKNOWN = Replayed("set/z", "completed", 1.0, Outcome("set/z", ReportVerdict.LIKELY, ("web",)))


def printed(capsys: pytest.CaptureFixture[str], *replayed: Replayed) -> str:
    known = [r.outcome for r in replayed if r.outcome.case_id in TRUTH]
    unknown = evaluate._unknown(list(replayed), TRUTH)
    evaluate._print_table(list(replayed), score(known, TRUTH), unknown=unknown)
    return capsys.readouterr().out


def test_the_table_has_a_row_for_each_set_under_its_headings(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, GOOD).splitlines()

    assert lines[0] == "1 of 1 cases ended in a report"
    headings, row = lines[-2].split(), lines[-1].split()
    assert headings[:4] == ["set", "system", "n", "AC@1"]
    assert row[:4] == ["world/held", "shop", "1", "1.00"]
    assert "-" in row  # nobody asked for specificity


def test_a_case_without_a_report_is_named_with_its_reason_and_is_a_miss(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, GOOD, FAILED)

    assert "1 of 2 cases ended in a report" in out
    assert "  set/b: failed, provider_auth: no key" in out
    assert out.splitlines()[-1].split()[2:4] == ["2", "0.50"]


def test_a_case_outside_the_truth_is_named_and_not_scored(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, GOOD, UNKNOWN)

    assert "not scored, no truth file knows them: set/z" in out
    assert out.splitlines()[-1].split()[2] == "1"


def test_where_all_is_known_nothing_is_said_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert "not scored" not in printed(capsys, GOOD, FAILED)


def test_json_holds_every_case_scored_or_not(capsys: pytest.CaptureFixture[str]) -> None:
    evaluate._print_json([GOOD, FAILED, UNKNOWN], score([GOOD.outcome, FAILED.outcome], TRUTH))

    body = json.loads(capsys.readouterr().out)
    assert [case["name"] for case in body["cases"]] == ["set/a", "set/b", "set/z"]
    assert body["cases"][1]["outcome"]["failed"] == "provider_auth: no key"
    assert [(s["set_name"], s["n"], s["n_failed"]) for s in body["scores"]] == [("world/held", 2, 1)]


def test_every_column_has_a_heading() -> None:
    assert len(evaluate.COLUMNS) == len(evaluate.HEADINGS)


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
