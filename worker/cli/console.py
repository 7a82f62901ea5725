"""The terminal of a command: colours and a live line where rich is installed and somebody looks, else plain lines."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import click

from worker.reporting.terminal import Console

if TYPE_CHECKING:
    from rich.status import Status

try:
    from rich.console import Console as RichConsole
    from rich.text import Text
except ImportError:  # rich is optional: plain lines say the same
    RichConsole = None  # type: ignore[assignment,misc]  # None stands for "not installed"


class Screen(Protocol):
    """Where progress is shown: lines that stay, and one line that is replaced."""

    def say(self, line: str, *, style: str = "") -> None: ...

    def show_status(self, text: str) -> None: ...


class PlainScreen:
    """Lines only, for pipes and logs."""

    def say(self, line: str, *, style: str = "") -> None:  # noqa: ARG002 - a pipe has no styles
        click.echo(line)

    def show_status(self, text: str) -> None:
        """Nothing: a line that is replaced would fill a log."""


class LiveScreen:
    """Lines above, and below them a spinner with what goes on now."""

    def __init__(self, console: "RichConsole", status: "Status") -> None:
        self._console = console
        self._status = status

    def say(self, line: str, *, style: str = "") -> None:
        self._console.print(Text(line, style=style))  # never markup: brackets in a model's words are only brackets

    def show_status(self, text: str) -> None:
        self._status.update(Text(text, style="dim"))


class PlainConsole:
    """What `render_terminal` prints to where there are no colours."""

    def print(self, *objects: object) -> None:
        click.echo(" ".join(map(str, objects)))


def is_live() -> bool:
    return RichConsole is not None and sys.stdout.isatty()


def open_console() -> Console:
    """Return what reports are printed to; lines of a pipe are never cut to a width."""
    return RichConsole() if is_live() else PlainConsole()


@contextmanager
def open_screen() -> Iterator[Screen]:
    """Hand out a screen for progress."""
    if not is_live():
        yield PlainScreen()
        return
    console = RichConsole(highlight=False)
    with console.status("") as status:
        yield LiveScreen(console, status)
