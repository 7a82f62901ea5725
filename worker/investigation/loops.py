"""The loop guard: a tool that goes on finding nothing is first told of, then the agent has to conclude."""

from collections.abc import Iterable

from worker.domain.states import ToolCallStatus
from worker.domain.transcript import Transcript
from worker.investigation.budget import Bound, Stage

WARNED_AFTER, CONCLUDED_AFTER = 3, 5
"""Empty results of one tool in a row."""


def find_idle_tools(transcript: Transcript, *, after: int = WARNED_AFTER) -> list[str]:
    """Return the tools whose newest results were empty, so many of them."""
    return [tool for tool, count in _empty_in_a_row(transcript) if count >= after]


def after_loops(bound: Bound, transcript: Transcript) -> Bound:
    """Make the next turn the last where a tool was asked in vain again and again."""
    idle = find_idle_tools(transcript, after=CONCLUDED_AFTER)
    if bound.stage is not Stage.OPEN or not idle:
        return bound
    return Bound(Stage.LAST, f"{CONCLUDED_AFTER} results of {idle[0]} in a row were empty")


def _empty_in_a_row(transcript: Transcript) -> Iterable[tuple[str, int]]:
    counts: dict[str, int] = {}
    for call in transcript.calls:
        if call.status is ToolCallStatus.SUCCEEDED and call.row_count is not None:
            counts[call.tool] = counts.get(call.tool, 0) + 1 if call.row_count == 0 else 0
    return counts.items()
