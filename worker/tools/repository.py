"""Lets git look into a repository that may be somebody else's, and run nothing that is configured there."""

from collections.abc import Callable
from itertools import pairwise

from worker.errors import ToolFailedError
from worker.tools.execution import Completed

Ask = Callable[[tuple[str, ...]], Completed]
"""Runs a program and returns how it ended."""

_NO_HELPERS = {
    **dict.fromkeys(("diff", "log", "show", "whatchanged"), ("--no-ext-diff", "--no-textconv")),
    **dict.fromkeys(("blame", "annotate"), ("--no-textconv",)),
}
_READS_FILES = {"diff", "status", "blame", "annotate", "describe", "ls-files", "grep"}
"""Commands that look at checked-out files, for which git runs the filters that are configured."""
_FILTERS = r"^filter\..*\.(clean|smudge|process)$"
_VALUE = "-C"


def is_git(argv: tuple[str, ...]) -> bool:
    return argv[0].rsplit("/", 1)[-1] == "git"


def harmless(argv: tuple[str, ...], ask: Ask) -> tuple[str, ...]:
    """Return the words with what switches helpers off.

    Raises `ToolFailedError` for a folder that git takes for no repository of ours, where `git diff` would compare any
    two files, and for one with filters that the command would run.
    """
    place = _place_of_command(argv)
    command = argv[place] if place < len(argv) else ""
    for folder in (value for option, value in pairwise(argv[:place]) if option == _VALUE):
        asked = ask((*argv[:1], _VALUE, folder, "rev-parse", "--git-dir"))
        if asked.exit_code:
            raise ToolFailedError(f"{folder} is not in a git repository that may be read: {_first_line(asked)}")
        if command in _READS_FILES and ask((*argv[:1], _VALUE, folder, "config", "--get-regexp", _FILTERS)).stdout:
            raise ToolFailedError(f"{folder} configures filters, which `git {command}` would run; `git show` does not")
    return (*argv[: place + 1], *_NO_HELPERS.get(command, ()), *argv[place + 1 :])


def _place_of_command(argv: tuple[str, ...]) -> int:
    place = 1
    while place < len(argv) and argv[place].startswith("-"):
        place += 2 if argv[place] == _VALUE else 1
    return place


def _first_line(asked: Completed) -> str:
    return (asked.stderr.strip() or "git says nothing").splitlines()[0][:200]
