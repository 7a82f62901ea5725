"""A system that does not come up says so with the end of its own output."""

import subprocess
import sys
from pathlib import Path

import pytest

from worker.cli import stack
from worker.errors import UserError


def ended(log: Path, output: str) -> subprocess.Popen[bytes]:
    """Start a process that says this and ends."""
    code = f"print({output!r}); raise SystemExit(1)"
    with log.open("wb") as file:
        child = subprocess.Popen([sys.executable, "-S", "-c", code], stdout=file)
    child.wait()
    return child


def test_a_start_that_fails_shows_the_end_of_the_log(tmp_path: Path) -> None:
    log = tmp_path / "up.log"
    child = ended(log, "\n".join([*(f"line {n}" for n in range(40)), "port 8080 is taken"]))

    with pytest.raises(UserError) as caught:
        stack._wait(child, tmp_path, log)

    message = str(caught.value)
    assert message.endswith("port 8080 is taken")
    assert str(log) in message
    assert "line 39" in message
    assert "line 5\n" not in message


def test_output_that_is_no_text_is_shown_all_the_same(tmp_path: Path) -> None:
    log = tmp_path / "up.log"
    child = ended(log, "first")
    log.write_bytes(b"broken \xff byte")

    with pytest.raises(UserError, match="broken"):
        stack._wait(child, tmp_path, log)
