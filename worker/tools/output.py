"""How tools say what they found: one compact JSON object, and a shorter text where that is too long."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from worker.domain.incident import TimeWindow
from worker.domain.report import Series
from worker.domain.tooling import ToolOutput

SIGNIFICANT_DIGITS = 6
LARGEST_WHOLE = 1e15
"""Larger numbers are written with an exponent."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """What a tool found, before it is written down.

    `query` holds the arguments as they took effect; `total_rows` counts what matched, shown or not; `extra` are
    further keys of the object.
    """

    query: Mapping[str, Any]
    rows: Sequence[Row]
    window: TimeWindow | None = None
    total_rows: int | None = None
    note: str | None = None
    entities: Iterable[str | None] = ()
    series: tuple[Series, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)


def render(answer: Answer) -> ToolOutput:
    """Write the answer as the JSON object that every tool returns."""
    body: dict[str, Any] = {"query": answer.query}
    if answer.window:
        body["window"] = {"start": iso(answer.window.start), "end": iso(answer.window.end)}
    body |= {"rows": answer.rows, "row_count": len(answer.rows)}
    body["total_rows"] = len(answer.rows) if answer.total_rows is None else answer.total_rows
    body |= answer.extra
    if answer.note:
        body["note"] = answer.note
    text = json.dumps(_rounded(body), ensure_ascii=False, separators=(",", ":"))
    names = tuple(dict.fromkeys(e for e in answer.entities if e))
    return ToolOutput(text, answer.window, names, answer.series, row_count=len(answer.rows))


def iso(moment: datetime | float) -> str:
    """Write a time as ISO-8601 in UTC with Z, milliseconds only where there are some."""
    at = datetime.fromtimestamp(round(moment, 3), UTC) if isinstance(moment, int | float) else moment.astimezone(UTC)
    return at.isoformat(timespec="milliseconds" if at.microsecond else "seconds").replace("+00:00", "Z")


def significant(value: float) -> float | int:
    """Round to the digits that carry meaning; whole numbers stay whole."""
    rounded = float(f"{value:.{SIGNIFICANT_DIGITS}g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < LARGEST_WHOLE else rounded


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return significant(value)
    if isinstance(value, Mapping):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(v) for v in value]
    return value


def shorten(text: str, limit: int, *, artifact_id: str | None = None) -> str | None:
    """Return head and tail of a text longer than `limit` characters, with how to read the rest; None if it fits."""
    if len(text) <= limit:
        return None
    hint = f'; read_artifact with id "{artifact_id}" shows the rest, by pattern or by lines' if artifact_id else ""
    room = max(limit - len(_cut(len(text), len(text), hint)), 0)
    head, tail = room - room // 4, room // 4
    return text[:head] + _cut(len(text) - head - tail, len(text), hint) + text[len(text) - tail :]


def _cut(left_out: int, size: int, hint: str) -> str:
    return f"\n[… {left_out} of {size} characters left out{hint} …]\n"
