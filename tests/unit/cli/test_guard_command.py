"""`rca guard`: a line out for every line in, and every layer explained."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from worker.cli.main import main


def rca(*arguments: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(main, ["guard", *arguments], input=stdin)


def test_each_line_is_decided_with_layer_and_reason() -> None:
    lines = b'{"command": "ls -la /var/log"}\nls\\nrm -rf /srv\nfrobnicate\n{ ls; }\n'

    result = rca("test", "-", stdin=lines)

    assert result.exit_code == 0
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert [row[:2] for row in rows] == [
        ["allow", "rules"],
        ["deny", "signatures"],
        ["judge", "rules"],
        ["judge", "rules"],
    ]
    assert all(len(row) == 3 and row[2] for row in rows)


def test_a_line_that_cannot_be_read_is_named_and_nothing_is_lost(tmp_path: Path) -> None:
    file = tmp_path / "commands"
    file.write_bytes(b'ls\n\n{"command": 5}\n{"command": \n\xff\xfe\nls\rrm x\n{"command": "date"}')

    result = rca("test", str(file))

    assert result.exit_code == 0
    words = [line.split("\t")[0] for line in result.stdout.splitlines()]
    assert words == ["allow", "deny", "deny", "deny", "deny", "deny", "allow"]
    assert [line.split(":")[0] for line in result.stderr.splitlines()] == ["line 3", "line 4", "line 5"]


def test_a_newline_is_escaped_once() -> None:
    result = rca("test", "-", stdin=b"printf 'a\\\\nb'\nls\\nls\n")

    assert [line.split("\t")[0] for line in result.stdout.splitlines()] == ["allow", "allow"]


def test_every_layer_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("deny:\n  - kubectl get x\n  - rm *\n")
    monkeypatch.setenv("RCA_POLICY_FILE", str(file))

    said = rca("explain", "kubectl get pods | grep x; rm -rf /srv").stdout

    assert "command: kubectl get pods" in said
    assert "T1485 in: rm -rf /srv" in said
    assert f"{file}: line 3: rm *" in said
    assert "kubernetes.yaml: kubectl get: class read" in said
    assert said.splitlines()[-1].startswith("deny (signatures: T1485")


def test_what_is_open_is_explained_as_for_the_judge() -> None:
    said = rca("explain", "ls $X").stdout

    assert "unknown: a word that is not known before it runs: $X" in said
    assert said.splitlines()[-1].startswith("judge (rules: ")


def test_the_table_is_listed_and_a_program_described() -> None:
    assert any(line.split() == ["grep", "read", "text.yaml"] for line in rca("list").stdout.splitlines())
    assert "kubectl rollout restart: write" in rca("list", "kubectl").stdout
    assert rca("list", "frobnicate").exit_code != 0


def test_the_policy_of_a_path_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("paths: {/team/a: {deny: ['date']}}\n")
    monkeypatch.setenv("RCA_POLICY_FILE", str(file))

    assert rca("test", "-", stdin=b"date\n").stdout.startswith("allow\t")
    assert rca("test", "-", "--user-path", "/team/a/b", stdin=b"date\n").stdout.startswith("deny\toperator_deny\t")


@pytest.mark.parametrize("variable", ["RCA_POLICY_FILE", "RCA_RULES_DIR"])
def test_files_that_cannot_be_read_deny_and_are_named_by_config_check(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, str(tmp_path / "none"))

    assert rca("test", "-", stdin=b"date\n").stdout.startswith("deny\toperator_deny\t")
    checked = CliRunner().invoke(main, ["config", "check"])
    assert checked.exit_code == 1
    assert str(tmp_path / "none") in checked.stderr
