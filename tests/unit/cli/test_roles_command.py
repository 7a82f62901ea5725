"""`rca roles` shows which roles there are, and says which files cannot be used and why."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from worker.cli.main import main
from worker.investigation.roles import SHIPPED, load_roles, read_folder

ROLE = """\
---
name: runbook_lookup
description: Looks things up.
tools: [search_runbooks]
model: offline/analyst
max_turns: 3
---
Look things up.
"""


@pytest.fixture(autouse=True)
def own_roles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    folder = tmp_path / "roles"
    folder.mkdir()
    monkeypatch.setenv("RCA_HOME", str(tmp_path))
    monkeypatch.setenv("RCA_ROLES_DIR", str(folder))
    return folder


def roles(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["roles", *arguments])


def line_of(name: str, result: Result) -> str:
    return next(line for line in result.stdout.splitlines() if line.startswith(name))


def test_the_list_tells_model_limits_origin_and_tools(own_roles: Path) -> None:
    (own_roles / "mine.md").write_text(ROLE)

    result = roles("list")

    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 7
    shipped = line_of("ticket_history", result)
    assert "RCA_SUBAGENT_MODEL  6 turns, 300 s  shipped  past_incidents read_artifact" in shipped
    mine = line_of("runbook_lookup", result)
    assert f"offline/analyst  3 turns, 600 s  {own_roles / 'mine.md'}  search_runbooks" in mine


def test_the_list_says_what_was_skipped(own_roles: Path) -> None:
    (own_roles / "mine.md").write_text(ROLE.replace("3", "300"))

    result = roles("list")

    assert result.exit_code == 0
    assert "shipped" in line_of("runbook_lookup", result)
    assert f"skipped: {own_roles / 'mine.md'}: max_turns: " in result.stderr


@pytest.mark.parametrize("name", load_roles().cards)
def test_a_role_is_shown_as_a_file_that_can_be_used(own_roles: Path, name: str) -> None:
    (own_roles / "copy.md").write_text(roles("show", name).stdout)

    copied = read_folder(own_roles)

    assert copied.problems == ()
    assert copied.cards[name] == load_roles().cards[name]
    assert load_roles(own_roles).origins[name] == own_roles / "copy.md"


def test_a_role_that_is_not_there_is_answered_with_those_that_are() -> None:
    result = roles("show", "nobody")

    assert result.exit_code == 2
    assert "there is no role nobody; there are: error_signal_investigator, " in result.stderr


def test_a_check_of_what_is_in_use_counts_the_shipped_roles_too() -> None:
    result = roles("check")

    assert result.exit_code == 0
    assert result.stdout.startswith("7 can be used: error_signal_investigator, ")
    assert result.stderr == ""


def test_a_check_fails_with_every_problem(own_roles: Path) -> None:
    (own_roles / "a.md").write_text(ROLE.replace("3", "0"))
    (own_roles / "b.md").write_text("no front matter")

    result = roles("check")

    assert result.exit_code == 1
    first, second = result.stderr.splitlines()
    assert first.startswith(f"fail  {own_roles / 'a.md'}: max_turns: ")
    assert second.startswith(f"fail  {own_roles / 'b.md'}: front matter: ")


def test_one_file_or_one_folder_can_be_checked_before_it_is_used(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.md", tmp_path / "bad.md"
    good.write_text(ROLE)
    bad.write_text(ROLE.replace("tools", "tool"))

    assert roles("check", str(good)).stdout == "1 can be used: runbook_lookup\n"
    assert roles("check", str(bad)).exit_code == 1
    assert roles("check", str(bad)).stdout == "0 can be used: none\n"
    assert roles("check", str(tmp_path)).exit_code == 1
    assert roles("check", str(SHIPPED)).exit_code == 0


def test_a_folder_that_is_not_there_fails(own_roles: Path) -> None:
    own_roles.rmdir()

    result = roles("check")

    assert result.exit_code == 1
    assert f"{own_roles}: cannot be read" in result.stderr
