"""Recorded cases: found, made events, told from what is none, and what came of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from worker.domain.report import Report, RootCause
from worker.domain.states import ReportVerdict
from worker.errors import UserError
from worker.evaluation.replay import find_cases, find_truth, load_event, load_truth, to_outcome
from worker.evaluation.scoring import CaseTruth

TRUTH = {"one": {"system": "shop", "verdict": "root_cause", "entities": ["cart"], "extra": {"commit": "abc1234"}}}


def write(file: Path, content: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def report_of(*causes: tuple[str, str | None]) -> Report:
    known = {"category": "errors", "statement": "It broke."}
    named = tuple(RootCause.model_validate({**known, "entity": e, "change_id": change}) for e, change in causes)
    return Report.model_construct(verdict=ReportVerdict.LIKELY, root_causes=named)


def test_cases_are_found_at_any_depth_and_named_by_their_path(tmp_path: Path) -> None:
    for name in ("b", "set/a", "set/deep/c"):
        write(tmp_path / name / "incident.json", {"title": "x"})
    write(tmp_path / "set" / "truth.json", {})

    assert find_cases(tmp_path) == ["b", "set/a", "set/deep/c"]


def test_a_folder_without_cases_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"incident\.json"):
        find_cases(tmp_path)


def test_an_event_names_its_recording_and_no_two_runs_share_an_incident(tmp_path: Path) -> None:
    write(tmp_path / "set" / "a" / "incident.json", {"title": "x", "labels": {"team": "t"}, "user_path": "/other"})

    first, second = (load_event(tmp_path, "set/a", run=run) for run in ("r1", "r2"))

    assert first.labels == {"team": "t", "recorded_case": "set/a"}
    assert (first.user_path, second.user_path) == ("/evaluation/r1/set/a", "/evaluation/r2/set/a")
    assert first.idempotency_key != second.idempotency_key


@pytest.mark.parametrize("content", ["{", "[]", '"title"', {}, {"title": "x", "labels": ["no"]}, {"title": 7}])
def test_what_is_no_incident_is_named(tmp_path: Path, content: Any) -> None:
    write(tmp_path / "a" / "incident.json", content)

    with pytest.raises(UserError, match=r"a/incident\.json is not an incident"):
        load_event(tmp_path, "a", run="r")


def test_truth_is_found_below_the_cases_and_its_set_named_by_two_folders(tmp_path: Path) -> None:
    write(tmp_path / "world" / "held" / "truth.json", TRUTH)

    truth = load_truth(find_truth(tmp_path), tmp_path, ["world/held/one", "world/held/two"])

    assert truth == {"world/held/one": CaseTruth("world/held", "shop", "root_cause", ("cart",), "abc1234")}


def told(verdict: str) -> dict[str, Any]:
    return {"one": {"system": "shop", "verdict": verdict}}


def test_cases_of_one_name_in_two_sets_have_each_their_own_truth(tmp_path: Path) -> None:
    files = [write(tmp_path / s / "truth.json", told(verdict)) for s, verdict in (("a", "external"), ("b", "likely"))]

    truth = load_truth(files, tmp_path, ["a/one", "b/deep/one"])

    assert {name: known.verdict for name, known in truth.items()} == {"a/one": "external", "b/deep/one": "likely"}


def test_a_set_does_not_tell_the_truth_of_another(tmp_path: Path) -> None:
    file = write(tmp_path / "a" / "truth.json", told("external"))

    assert set(load_truth([file], tmp_path, ["a/one", "b/one"])) == {"a/one"}


def test_of_two_files_above_a_case_the_nearer_one_is_right(tmp_path: Path) -> None:
    files = [write(tmp_path / "truth.json", told("external")), write(tmp_path / "a" / "truth.json", told("likely"))]

    truth = load_truth(files, tmp_path, ["a/one", "b/one"])

    assert (truth["a/one"].verdict, truth["b/one"].verdict) == ("likely", "external")


def test_truth_from_elsewhere_is_for_cases_of_any_folder(tmp_path: Path) -> None:
    file = write(tmp_path / "kept apart" / "truth.json", told("external"))

    assert set(load_truth([file], tmp_path / "cases", ["a/one", "a/two"])) == {"a/one"}


def test_two_files_that_tell_the_truth_of_one_case_are_refused(tmp_path: Path) -> None:
    files = [write(tmp_path / name, told("external")) for name in ("first.json", "second.json")]

    with pytest.raises(UserError, match=r"a/one stands in .*first\.json and in .*second\.json"):
        load_truth(files, tmp_path, ["a/one"])


@pytest.mark.parametrize("content", ["{", "[1]", '{"one": 7}', '{"one": {"system": "shop"}}'])
def test_what_is_no_truth_is_named(tmp_path: Path, content: str) -> None:
    file = write(tmp_path / "truth.json", content)

    with pytest.raises(UserError, match=r"truth\.json is no truth file"):
        load_truth([file], tmp_path, ["one"])


def test_a_report_is_its_causes_in_order_and_the_first_change_named() -> None:
    outcome = to_outcome("set/one", report_of(("cart", None), ("db", "abc"), ("web", "def")))

    assert (outcome.case_id, outcome.ranked, outcome.change_id) == ("set/one", ("cart", "db", "web"), "abc")
    assert (outcome.verdict, outcome.failed) == ("likely", None)


@pytest.mark.parametrize(("failed", "reason"), [("provider_auth: none", "provider_auth: none"), (None, "no report")])
def test_without_a_report_a_case_has_failed(failed: str | None, reason: str) -> None:
    outcome = to_outcome("one", None, failed=failed)

    assert (outcome.verdict, outcome.failed, outcome.ranked) == (None, reason, ())
