"""How long outputs are shortened and read again."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.tools.conftest import NOON
from worker.domain.incident import TimeWindow
from worker.domain.tooling import ToolContext
from worker.errors import ToolFailedError, ToolInputError
from worker.tools.artifacts import LINE_CHARS, MAX_LINES, in_lines, read_artifact
from worker.tools.output import iso, shorten, significant


@given(text=st.text(max_size=3000), limit=st.integers(min_value=300, max_value=2000))
def test_a_shortened_text_fits_and_keeps_both_ends(text: str, limit: int) -> None:
    short = shorten(text, limit, artifact_id="art_1")

    if len(text) <= limit:
        assert short is None
    else:
        assert short is not None
        assert len(short) <= limit
        assert short[:20] == text[:20]
        assert short[-20:] == text[-20:]
        assert "art_1" in short
        assert f"of {len(text)} characters" in short


def test_what_was_left_out_is_counted() -> None:
    text = "a" * 5000
    short = shorten(text, 1000) or ""

    assert f"{5000 - short.count('aa') * 2} of 5000" in short or "of 5000 characters left out" in short
    assert "read_artifact" not in short


@pytest.mark.parametrize(
    ("value", "written"),
    [(1.23456789, "1.23457"), (2.0, "2"), (0.000012345678, "1.23457e-05"), (123456789.0, "123457000"), (1e20, "1e+20")],
)
def test_numbers_keep_six_digits(value: float, written: str) -> None:
    assert json.dumps(significant(value)) == written


def test_milliseconds_are_shown_only_where_there_are_some() -> None:
    assert iso(NOON) == "2026-03-01T12:00:00Z"
    assert iso(NOON.timestamp() + 0.25) == "2026-03-01T12:00:00.250Z"


def context(text: str | None) -> ToolContext:
    def read(artifact_id: str) -> str:
        if artifact_id != "art_1":
            raise ToolInputError(f"no artifact {artifact_id!r}")
        return text or ""

    window = TimeWindow(start=NOON, end=NOON.replace(hour=13))
    return ToolContext(window, time.monotonic() + 5, read_artifact=read if text is not None else None)


def read(text: str | None, **arguments: object) -> dict[str, object]:
    return dict(json.loads(read_artifact().run({"id": "art_1"} | arguments, context(text)).text))


def test_lines_are_read_by_range() -> None:
    answer = read("one\ntwo\nthree", start_line=2, end_line=3)

    assert answer["rows"] == [{"line": 2, "text": "two"}, {"line": 3, "text": "three"}]
    assert answer["lines"] == 3


def test_lines_are_found_by_text_with_their_numbers() -> None:
    assert read("one\nTWO\nthree", pattern="two")["rows"] == [{"line": 2, "text": "TWO"}]


def test_a_long_artifact_is_read_in_pieces() -> None:
    answer = read("\n".join(str(i) for i in range(1000)))

    assert (answer["row_count"], answer["total_rows"]) == (MAX_LINES, 1000)


def test_rows_of_an_answer_are_lines_of_their_own() -> None:
    assert in_lines('{"rows":[{"a":1},{"a":2}]}') == ['{"rows":[{"a":1},', '{"a":2}]}']


@given(st.text())
def test_no_line_is_too_long_and_nothing_is_lost(text: str) -> None:
    lines = in_lines(text)

    assert all(len(line) <= LINE_CHARS for line in lines)
    assert "".join(lines) == "".join(text.splitlines())


def test_an_unknown_artifact_is_the_callers_mistake() -> None:
    with pytest.raises(ToolInputError, match="art_2"):
        read_artifact().run({"id": "art_2"}, context("x"))


def test_without_stored_outputs_nothing_can_be_read() -> None:
    with pytest.raises(ToolFailedError):
        read(None)


def test_a_range_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(ToolInputError, match="3 lines"):
        read("a\nb\nc", start_line=3, end_line=2)
