"""What `rca enqueue` makes of its input before anything is sent."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from worker.cli.enqueue import read_events
from worker.cli.main import main
from worker.errors import EventError

GOOD = b'{"title": "checkout is slow"}'


def enqueue(data: bytes, *options: str) -> Result:
    return CliRunner().invoke(main, ["enqueue", "-", *options], input=data)


@pytest.fixture(autouse=True)
def empty_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RCA_HOME", str(tmp_path))


def test_an_object_over_several_lines_is_one_event() -> None:
    [line] = read_events(json.dumps({"title": "x", "labels": {"a": "b"}}, indent=2).encode())

    assert line.event
    assert line.event.labels == {"a": "b"}


@given(st.lists(st.tuples(st.text(min_size=1).filter(str.strip), st.integers(0, 3)), min_size=2, max_size=8))
def test_every_line_of_json_lines_is_an_event_under_its_number(titles: list[tuple[str, int]]) -> None:
    rows, numbers = [], []
    for title, blanks in titles:
        rows += [""] * blanks + [json.dumps({"title": title[:400]})]
        numbers.append(len(rows))

    lines = read_events("\n".join(rows).encode())

    assert [line.number for line in lines] == numbers
    assert [json.loads(line.text)["title"] for line in lines] == [title[:400] for title, _ in titles]


def test_what_is_sent_is_what_was_given() -> None:
    [line] = read_events(b"\n  " + GOOD + b"\n")

    assert (line.number, line.text) == (2, GOOD)


def test_a_bad_line_is_named_and_the_others_are_kept() -> None:
    lines = read_events(b"\n".join((GOOD, b"{not json", b'{"titel": 1}', GOOD)))

    assert [bool(line.problem) for line in lines] == [False, True, True, False]
    assert "not JSON" in lines[1].problem
    assert "title: is required" in lines[2].problem


def test_a_broken_object_over_several_lines_is_one_bad_event() -> None:
    [line] = read_events(b'{\n  "title": "x",\n}')

    assert "line 3" in line.problem


def test_bytes_that_are_no_text_are_a_bad_event() -> None:
    [line] = read_events(b'{"title": "\xff"}')

    assert "UTF-8" in line.problem


@pytest.mark.parametrize("nothing", [b"", b"\n \n"])
def test_no_event_at_all_is_an_error(nothing: bytes) -> None:
    with pytest.raises(EventError, match="no event in the input"):
        read_events(nothing)


def test_one_bad_line_stops_all_and_is_named_by_its_number() -> None:
    result = enqueue(GOOD + b"\n{}\n")

    assert result.exit_code == 2
    assert "line 2: title: is required" in result.stderr
    assert "1 of 2 events are bad, nothing was sent; --keep-going" in result.stderr


def test_without_redis_it_says_what_to_do() -> None:
    result = enqueue(GOOD)

    assert result.exit_code == 2
    assert "set REDIS_URL, or start the system with `rca up`; nothing was sent" in result.stderr


def test_an_address_that_is_none_is_a_matter_of_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "not-a-url")

    assert "REDIS_URL: has to look like redis://host:6379/0" in enqueue(GOOD).stderr


def test_a_redis_that_is_not_there_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://me:hunter2-hunter2@127.0.0.1:1/0")

    result = enqueue(GOOD)

    assert result.exit_code == 2
    assert "Redis at 127.0.0.1:1 does not answer" in result.stderr
    assert "hunter2" not in result.output


def test_a_file_that_is_missing_is_an_error_of_usage() -> None:
    assert CliRunner().invoke(main, ["enqueue", "/nowhere/event.json"]).exit_code == 2


def test_an_alerting_script_does_not_wait_for_the_database_driver() -> None:
    code = "import sys, worker.cli.enqueue; print(*sys.modules)"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert "worker.cli.enqueue" in loaded
    assert {"sqlalchemy", "celery", "alembic", "duckdb"}.isdisjoint(loaded)
