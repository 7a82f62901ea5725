"""Every command of the queue and the database explains itself, with an example."""

from collections.abc import Iterator

import click
import pytest

from worker.cli.main import main

NAMES = ("doctor", "enqueue", "events", "follow", "intake", "investigations", "llm", "report", "roles", "tokens", "web")


def commands(command: click.Command | None, path: str) -> Iterator[tuple[str, click.Command]]:
    assert command is not None
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from commands(child, f"{path} {name}")
        return
    yield path, command


def all_commands() -> list[tuple[str, click.Command]]:
    context = click.Context(main)
    return [found for name in NAMES for found in commands(main.get_command(context, name), f"rca {name}")]


@pytest.mark.parametrize(("path", "command"), all_commands())
def test_a_command_has_an_example_that_begins_with_its_name(path: str, command: click.Command) -> None:
    assert command.help
    assert any(line.strip().startswith("Example: ") and path in line for line in command.help.splitlines())


@pytest.mark.parametrize(("path", "command"), all_commands())
def test_every_option_says_what_it_does(path: str, command: click.Command) -> None:
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]

    assert all(option.help for option in options), path
