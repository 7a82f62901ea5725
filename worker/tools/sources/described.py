"""What a recorded case holds, in one line per source, for people and prompts."""

import time

from worker.errors import ToolFailedError
from worker.tools.output import iso
from worker.tools.sources.recorded import RecordedCase
from worker.tools.sources.recorded_files import RecordedChanges
from worker.tools.sources.recorded_times import RecordedTimes

_DESCRIBING_S = 30.0


def describe_sources(case: RecordedCase) -> dict[str, str]:
    """Return source to line; a source that cannot be read says so."""
    deadline = time.monotonic() + _DESCRIBING_S
    lines: dict[str, str] = {}
    for kind, source in (("metrics", case.metrics), ("logs", case.logs), ("traces", case.traces)):
        if source:
            lines[kind] = case.problems.get(kind) or _timed(source, deadline)
    if case.changes:
        lines["changes"] = _changes(case.changes)
    if case.topology:
        lines["topology"] = _topology(case, deadline)
    if case.recordings.tools or "recordings" in case.problems:
        names = ", ".join(t.name for t in case.recordings.tools)
        lines["recordings"] = case.problems.get("recordings") or f"recorded answers of: {names}"
    return lines


def _timed(source: RecordedTimes, deadline: float) -> str:
    extent = source.extent()
    if extent is None:
        return "no rows"
    try:
        counts = source.counts(None, deadline=deadline)
    except ToolFailedError as error:
        return str(error)
    rows = sum(counts.values())
    return f"{rows} rows of {len(counts)} entities from {iso(extent.start)} to {iso(extent.end)}"


def _changes(changes: RecordedChanges) -> str:
    try:
        extent = changes.extent()
        found = changes.changes(extent, deadline=time.monotonic()) if extent else ()
    except ToolFailedError as error:
        return str(error)
    return f"{len(found)} changes from {iso(extent.start)} to {iso(extent.end)}" if extent else "none"


def _topology(case: RecordedCase, deadline: float) -> str:
    try:
        topology = case.topology.topology(deadline=deadline) if case.topology else None
    except ToolFailedError as error:
        return str(error)
    return f"{len(topology.nodes)} entities, {len(topology.edges)} calls between them" if topology else "none"
