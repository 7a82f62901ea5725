"""The tool over changes: what was deployed, committed, switched or configured."""

from typing import Any

from pydantic import Field

from worker.domain.tooling import ToolContext
from worker.tools.output import Answer, iso
from worker.tools.sources.ports import Change, ChangesSource
from worker.tools.typed import Limit, Time, TypedTool, Windowed
from worker.tools.window import IncidentTimes, changes_window

MAX_DIFF_CHARS = 2000


class _ListArguments(Windowed):
    start: Time | None = Field(default=None, description="UTC; default: a day before the incident window")
    entity: str | None = Field(default=None, description="exact name; changes that name no entity are listed too")
    kind: str | None = Field(default=None, description="deploy, commit, flag or config")
    limit: Limit = 50


def list_changes(source: ChangesSource, times: IncidentTimes) -> TypedTool[_ListArguments]:
    def answer(arguments: _ListArguments, context: ToolContext) -> Answer:
        window = arguments.window(changes_window(times, context.window))
        found = [c for c in source.changes(window, deadline=context.deadline) if _matches(c, arguments)]
        shown = found[: arguments.limit]
        return Answer(
            query=arguments.said(),
            window=window,
            rows=[_row(c) for c in shown],
            total_rows=len(found),
            note=None if found else "nothing matches in this window",
            entities=[c.entity for c in shown],
        )

    return TypedTool(
        name="list_changes",
        description="List deployments, commits, flags and configuration changes before and during the incident, "
        "newest first.",
        arguments=_ListArguments,
        answer=answer,
    )


def _matches(change: Change, arguments: _ListArguments) -> bool:
    is_kind = arguments.kind is None or change.kind.lower() == arguments.kind.lower()
    return is_kind and (arguments.entity is None or change.entity in {None, arguments.entity})


def _row(change: Change) -> dict[str, Any]:
    diff = change.diff
    if diff and len(diff) > MAX_DIFF_CHARS:
        diff = f"{diff[:MAX_DIFF_CHARS]}\n[… {len(diff) - MAX_DIFF_CHARS} characters more …]"
    return {
        "id": change.id,
        "ts": iso(change.ts),
        "entity": change.entity,
        "kind": change.kind,
        "author": change.author,
        "title": change.title,
        "diff": diff,
    }
