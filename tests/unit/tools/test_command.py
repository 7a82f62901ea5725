"""`run_command`: what was read is what runs, and what is denied is refused once more."""

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from worker.domain.incident import TimeWindow
from worker.domain.tooling import ToolContext
from worker.errors import ToolDeniedError, ToolError, ToolFailedError, ToolInputError
from worker.guardrails.policy import Policy, load_policy
from worker.tools.command import RunCommand

NOW = datetime(2026, 1, 2, tzinfo=UTC)
WINDOW = TimeWindow(start=NOW, end=NOW + timedelta(hours=1))


def context(seconds: float = 10, *, is_cancelled: bool = False) -> ToolContext:
    return ToolContext(window=WINDOW, deadline=time.monotonic() + seconds, is_cancelled=lambda: is_cancelled)


def run(command: str, tool: RunCommand | None = None) -> dict[str, Any]:
    output = (tool or RunCommand(Policy())).run({"command": command, "purpose": "look"}, context())
    result: dict[str, Any] = json.loads(output.text)
    return result


def test_the_result_says_what_ran_and_how_it_ended() -> None:
    result = run("echo one")

    assert result.pop("duration_s") >= 0
    assert result == {"command": "echo one", "exit_code": 0, "stdout": "one\n", "stderr": "", "truncated": False}


@pytest.mark.parametrize(
    ("command", "stdout"),
    [
        ("echo a; echo b", "a\nb\n"),
        ("false && echo a", ""),
        ("false || echo a", "a\n"),
        ("true && echo a || echo b", "a\n"),
        ("false && echo a || echo b", "b\n"),
        ("printf 'b\\na\\n' | sort | head -1", "a\n"),
        ("ls /nonexistent 2>/dev/null || echo none", "none\n"),
        ("ls /nonexistent 2>&1 | wc -l", "1\n"),
        ("ls /nonexistent |& wc -l", "1\n"),
        ("echo a >/dev/null", ""),
        ("echo a | cat </dev/null", ""),
        ("cat </dev/null; echo a | cat", "a\n"),
        ("echo '$(id)' \"*\" '; id'", "$(id) * ; id\n"),
        ("seq 3 | awk '{s+=$1} END {print s}'", "6\n"),
        ("seq 5 | sed -n '2,3p'", "2\n3\n"),
        ("grep -c root < /etc/hostname", "0\n"),
        ("wc -l < /nonexistent 2>/dev/null", "0\n"),
        ("TZ=Asia/Tokyo date -d @0 +%H", "09\n"),
        ("printf 'b\\nB\\na\\n' | LC_ALL=C sort | head -1", "B\n"),
        ("timeout 5 echo a && TZ=UTC timeout -k 1 5 date -d @0 +%H", "a\n00\n"),
        ("timeout 0.1 sleep 5 || echo late", "late\n"),
    ],
)
def test_scripts_mean_what_they_mean_in_a_shell(command: str, stdout: str) -> None:
    assert run(command)["stdout"] == stdout


@pytest.mark.parametrize("command", ["for i in 1 2; do echo $i; done", 'x=1; echo "$x"; echo 2'])
def test_a_judged_script_gets_a_shell(command: str) -> None:
    assert run(command)["stdout"] == "1\n2\n"


def test_a_judged_command_that_only_a_shell_knows_gets_one() -> None:
    assert run("cd / && pwd")["stdout"] == "/\n"


def test_a_comment_never_reaches_the_shell() -> None:
    assert run("echo $((1+1)) # echo no")["stdout"] == "2\n"


@pytest.mark.parametrize("command", ["rm -rf /srv", "cat /etc/shadow", "ls 'x", "kubectl delete pod x", "a" * 5000])
def test_what_is_denied_is_refused_once_more(command: str) -> None:
    with pytest.raises(ToolDeniedError):
        run(command)


def test_the_operators_denial_holds_here_too(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text("deny: ['echo *']")

    with pytest.raises(ToolDeniedError, match="operator"):
        run("echo x", RunCommand(load_policy(tmp_path / "policy.yaml")))


@pytest.mark.parametrize("arguments", [{}, {"command": ""}, {"command": "  "}, {"command": 5}, {"command": None}])
def test_arguments_without_a_command_are_told(arguments: dict[str, Any]) -> None:
    tool = RunCommand(Policy())

    assert tool.command_of(arguments).strip() == ""
    with pytest.raises(ToolInputError):
        tool.run(arguments, context())


def test_a_program_that_is_not_installed_is_named() -> None:
    with pytest.raises(ToolFailedError, match="frobnicate"):
        run("frobnicate --status")


def test_the_deadline_of_the_call_holds_for_the_whole_script() -> None:
    started = time.monotonic()

    output = RunCommand(Policy()).run({"command": "sleep 5; sleep 5"}, context(0.3))

    assert json.loads(output.text)["timed_out"]
    assert time.monotonic() - started < 4


def test_a_call_whose_time_is_over_does_not_start() -> None:
    with pytest.raises(ToolFailedError, match="no time"):
        RunCommand(Policy()).run({"command": "echo x"}, context(-1))


def test_a_cancelled_call_is_a_failure() -> None:
    with pytest.raises(ToolFailedError, match="cancelled"):
        RunCommand(Policy()).run({"command": "sleep 5"}, context(is_cancelled=True))


def test_an_absolute_pattern_is_expanded_without_a_shell() -> None:
    assert run("ls -d /sys/class/net/l?")["stdout"] == "/sys/class/net/lo\n"
    assert "No such file" in run("ls /sys/class/net/nothing*")["stderr"]


def test_git_compares_no_files_outside_a_repository(tmp_path: Path) -> None:
    for name in ("a.yml", "b.yml"):
        (tmp_path / name).write_text(f"text of {name}")

    with pytest.raises(ToolFailedError, match="repository"):
        run(f"git -C {tmp_path} diff a.yml b.yml")


def test_git_is_watched_within_a_limit_too(tmp_path: Path) -> None:
    with pytest.raises(ToolFailedError, match="repository"):
        run(f"timeout 5 git -C {tmp_path} log")


def test_the_kubeconfig_is_the_operators(tmp_path: Path) -> None:
    tool = RunCommand(Policy(), kubeconfig=tmp_path / "config")

    assert run('echo "$KUBECONFIG"', tool)["stdout"] == f"{tmp_path / 'config'}\n"


def test_the_definition_names_both_parameters() -> None:
    schema = RunCommand(Policy()).definition.parameters

    assert schema["required"] == ["command", "purpose"]
    assert schema["additionalProperties"] is False


def test_every_error_is_one_the_model_is_told() -> None:
    for command in ("rm -rf /srv", "frobnicate", ""):
        with pytest.raises(ToolError):
            run(command)
