"""The tool that lists what the sources know by name, and the hint for a name they do not know."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from worker.domain.incident import TimeWindow
from worker.domain.tooling import ToolContext
from worker.errors import ToolFailedError
from worker.tools.output import Answer
from worker.tools.sources.ports import ChangesSource, TimedSource
from worker.tools.typed import Arguments, TypedTool
from worker.tools.window import IncidentTimes, changes_window


@dataclass(frozen=True)
class Sources:
    """What `list_entities` counts; None for a source that there is not."""

    metrics: TimedSource | None = None
    logs: TimedSource | None = None
    traces: TimedSource | None = None
    changes: ChangesSource | None = None


def list_entities(sources: Sources, times: IncidentTimes) -> TypedTool[Arguments]:
    def answer(_arguments: Arguments, context: ToolContext) -> Answer:
        counts = _row_counts(sources, context)
        counts["changes"], note = _change_counts(sources.changes, changes_window(times, context.window), context)
        names = sorted({n for of_source in counts.values() for n in of_source})
        rows = [{"entity": n, **{kind: of_source.get(n, 0) for kind, of_source in counts.items()}} for n in names]
        return Answer(query={}, window=context.window, rows=rows, note=note, entities=names)

    return TypedTool(
        name="list_entities",
        description="List every service, node and the like, with how much data of the incident window there is.",
        arguments=Arguments,
        answer=answer,
    )


def _row_counts(sources: Sources, context: ToolContext) -> dict[str, Mapping[str, int]]:
    """Return kind of data to entity to number of rows; names seen only outside the window count 0."""
    timed = {"metrics": sources.metrics, "log_lines": sources.logs, "spans": sources.traces}
    counts: dict[str, Mapping[str, int]] = {}
    for kind, source in timed.items():
        if source:
            known = dict.fromkeys(source.counts(None, deadline=context.deadline), 0)
            counts[kind] = known | dict(source.counts(context.window, deadline=context.deadline))
        else:
            counts[kind] = {}
    return counts


def _change_counts(
    source: ChangesSource | None, window: TimeWindow, context: ToolContext
) -> tuple[Mapping[str, int], str | None]:
    """Return entity to number of changes; where they cannot be read, nothing and why."""
    try:
        changes = source.changes(window, deadline=context.deadline) if source else ()
    except ToolFailedError as error:
        return {}, str(error)
    return Counter(c.entity for c in changes if c.entity), None


def unknown_entity_note(source: TimedSource, entity: str | None, context: ToolContext) -> str:
    """Say why nothing was found: a name that is not known, or no data in the window."""
    known = source.counts(None, deadline=context.deadline)
    if entity is None or entity in known:
        return "nothing matches in this window"
    close = get_close_matches(entity, known, n=3, cutoff=0.4)
    return f"no entity {entity!r} here" + (f"; close: {', '.join(close)}" if close else "")
