"""Checks say what was looked at, how it is, and what to do."""

from pathlib import Path

import pytest

from worker.ops.health import Check, CheckStatus, check_folder, check_program, probe, render_check, worst


def test_the_worst_status_counts() -> None:
    checks = [Check.ok("a", ""), Check.fail("b", ""), Check.warn("c", "")]

    assert worst(checks) is CheckStatus.FAIL
    assert worst(checks[:1]) is CheckStatus.OK
    assert worst([]) is CheckStatus.OK


def test_a_probe_that_works_tells_what_it_found() -> None:
    assert probe("redis", lambda: "PONG", errors=(OSError,), fix="start it") == Check.ok("redis", "PONG")


def test_a_probe_that_fails_names_the_class_and_not_the_text() -> None:
    def refuse() -> str:
        raise ConnectionError("redis://:hunter2@host")

    check = probe("redis", refuse, errors=(ConnectionError,), fix="start it")

    assert check == Check.fail("redis", "ConnectionError", fix="start it")


def test_a_probe_does_not_swallow_a_bug() -> None:
    with pytest.raises(ZeroDivisionError):
        probe("redis", lambda: str(1 // 0), errors=(OSError,), fix="")


def test_a_folder_yet_to_be_made_is_well_where_it_can_be_made(tmp_path: Path) -> None:
    assert check_folder("RCA_HOME", tmp_path / "new" / "deep").status is not CheckStatus.FAIL


def test_a_file_in_the_place_of_a_folder_fails(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert check_folder("RCA_HOME", tmp_path / "file").status is CheckStatus.FAIL


def test_a_missing_program_is_a_warning_with_a_way_out() -> None:
    check = check_program("no-such-program", fix="install it")

    assert (check.status, check.fix) == (CheckStatus.WARN, "install it")


def test_a_program_that_is_there_is_shown_with_its_path() -> None:
    assert check_program("sh", fix="").detail.endswith("/sh")


def test_a_line_holds_status_name_detail_and_fix() -> None:
    assert render_check(Check.warn("disk", "nearly full", fix="free some")) == "warn  disk: nearly full  (free some)"
    assert render_check(Check.ok("disk", "fine")) == "ok    disk: fine"
