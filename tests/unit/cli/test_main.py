"""The command line as a whole: how it is found, and how it fails."""

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from worker.cli.main import COMMANDS, LazyCommands, main
from worker.errors import ConfigError, StorageUnavailableError, WorkerError


def group_failing_with(error: WorkerError) -> LazyCommands:
    def fail() -> None:
        raise error

    group = LazyCommands("rca", invoke_without_command=True)
    group.callback = fail
    return group


def test_every_command_of_the_table_exists() -> None:
    for name in COMMANDS:
        command = main.get_command(click.Context(main), name)

        assert command is not None
        assert command.help


def test_help_lists_the_commands() -> None:
    result = CliRunner().invoke(main, ["--help"])

    assert result.exit_code == 0
    assert all(name in result.stdout for name in COMMANDS)


def test_an_unknown_command_is_an_error_of_usage() -> None:
    assert CliRunner().invoke(main, ["investgate"]).exit_code == 2


def test_a_users_error_is_one_line_on_stderr_with_code_2() -> None:
    result = CliRunner().invoke(group_failing_with(ConfigError("RCA_LEASE_S: has to be\n  positive")))

    assert result.exit_code == 2
    assert result.stderr == "Error: RCA_LEASE_S: has to be positive\n"
    assert result.stdout == ""


def test_another_failure_of_ours_is_one_line_with_code_1() -> None:
    result = CliRunner().invoke(group_failing_with(StorageUnavailableError()))

    assert result.exit_code == 1
    assert result.stderr == "Error: storage_unavailable\n"


def test_a_bug_is_not_dressed_up() -> None:
    class Bug(Exception):  # noqa: N818 - not one of ours
        pass

    group = LazyCommands("rca", invoke_without_command=True, callback=lambda: (_ for _ in ()).throw(Bug()))

    with pytest.raises(Bug):
        CliRunner().invoke(group, catch_exceptions=False)


def test_a_light_command_loads_no_heavy_library() -> None:
    code = "import sys; from worker.cli.main import main; main(['schema', 'incident'], standalone_mode=False); print(*sys.modules, file=sys.stderr)"  # noqa: E501 - one line of a program

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr.split()

    assert "worker.cli.schema" in loaded
    assert {"sqlalchemy", "celery", "duckdb", "fastapi", "redis"}.isdisjoint(loaded)
