"""The loop guard: who asks in vain is told, then has to conclude."""

import pytest

from tests.turns import earlier, made, transcript_of
from worker.domain.states import ToolCallStatus
from worker.domain.transcript import Transcript
from worker.investigation.budget import Bound, Stage
from worker.investigation.loops import after_loops, find_idle_tools

OPEN = Bound(Stage.OPEN)


def asked(
    *row_counts: int | None, tool: str = "search", status: ToolCallStatus = ToolCallStatus.SUCCEEDED
) -> Transcript:
    turns = [earlier(i, made(tool, {"n": i}, status, row_count=count)) for i, count in enumerate(row_counts, 1)]
    return transcript_of(*turns)


@pytest.mark.parametrize(
    ("row_counts", "idle"),
    [
        ((0, 0), []),
        ((0, 0, 0), ["search"]),
        ((0, 0, 3, 0, 0), []),
        ((None, None, None), []),
        ((5, 0, 0, 0), ["search"]),
    ],
)
def test_three_empty_results_in_a_row_are_told(row_counts: tuple[int | None, ...], idle: list[str]) -> None:
    assert find_idle_tools(asked(*row_counts)) == idle


def test_a_failed_call_is_no_empty_result() -> None:
    assert find_idle_tools(asked(0, 0, 0, status=ToolCallStatus.FAILED)) == []


def test_tools_are_counted_apart() -> None:
    turns = [earlier(i, made(t, {"n": i}, ToolCallStatus.SUCCEEDED, row_count=0)) for i, t in enumerate("ababa", 1)]

    assert find_idle_tools(transcript_of(*turns)) == ["a"]


def test_after_five_the_next_turn_is_the_last() -> None:
    bound = after_loops(OPEN, asked(0, 0, 0, 0, 0))

    assert bound.stage is Stage.LAST
    assert "search" in str(bound.reason)


def test_after_four_it_goes_on() -> None:
    assert after_loops(OPEN, asked(0, 0, 0, 0)) == OPEN


def test_a_bound_that_is_narrower_stays() -> None:
    spent = Bound(Stage.SPENT, "no money")

    assert after_loops(spent, asked(0, 0, 0, 0, 0)) == spent
