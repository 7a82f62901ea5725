"""Tools over logs: search lines, and find kinds of lines that came more or less often."""

import re
from typing import Any

from pydantic import Field

from worker.domain.tooling import ToolContext
from worker.errors import ToolInputError
from worker.tools.analysis.log_patterns import PatternChange, rank_patterns, rates_per_min
from worker.tools.entities import unknown_entity_note
from worker.tools.metrics import reference_said
from worker.tools.output import Answer, iso
from worker.tools.sources.ports import LogSelection, LogsSource, PatternComparison
from worker.tools.typed import Limit, TypedTool, Windowed
from worker.tools.window import Compared, IncidentTimes, choose_periods

MAX_MESSAGE_CHARS = 1000
MAX_EXAMPLE_CHARS = 300


class _SearchArguments(Windowed):
    query: str | None = Field(default=None, description="part of the message, without regard to case")
    regex: bool = Field(default=False, description="query is a regular expression (RE2)")
    entity: str | None = Field(default=None, description="exact name")
    level: str | None = Field(default=None, description="such as error")
    limit: Limit = 50


def search_logs(source: LogsSource) -> TypedTool[_SearchArguments]:
    def answer(arguments: _SearchArguments, context: ToolContext) -> Answer:
        window = arguments.window(context.window)
        _check_expression(arguments)
        selection = LogSelection(arguments.query, arguments.regex, arguments.entity, arguments.level)
        page = source.lines(selection, window, limit=arguments.limit, deadline=context.deadline)
        return Answer(
            query=arguments.said(),
            window=window,
            rows=[
                {
                    "ts": iso(line.ts),
                    "entity": line.entity,
                    "level": line.level,
                    "message": line.message[:MAX_MESSAGE_CHARS],
                    "trace_id": line.trace_id,
                }
                for line in page.lines
            ],
            total_rows=page.total,
            note=None if page.lines else unknown_entity_note(source, arguments.entity, context),
            entities=[line.entity for line in page.lines],
        )

    return TypedTool(
        name="search_logs",
        description="Search log lines by text, entity and level, oldest first.",
        arguments=_SearchArguments,
        answer=answer,
    )


def _check_expression(arguments: _SearchArguments) -> None:
    """Tell the model what is wrong with its expression before a source does so in its own words."""
    try:
        re.compile(arguments.query or "" if arguments.regex else "")
    except re.error as error:
        raise ToolInputError(f"query is no regular expression: {error}; without regex it is a plain text") from error


class _PatternArguments(Compared):
    entity: str | None = Field(default=None, description="exact name")
    level: str | None = Field(default=None, description="such as error")
    limit: Limit = Field(default=20, description="patterns")


def rank_log_patterns(source: LogsSource, times: IncidentTimes) -> TypedTool[_PatternArguments]:
    def answer(arguments: _PatternArguments, context: ToolContext) -> Answer:
        periods = choose_periods(arguments, times, source, window=context.window, deadline=context.deadline)
        selection = LogSelection(entity=arguments.entity, level=arguments.level)
        comparison = source.patterns(selection, periods, deadline=context.deadline)
        ranked = rank_patterns(comparison)
        shown = ranked[: arguments.limit]
        return Answer(
            query=arguments.said() | reference_said(periods),
            window=periods.incident,
            rows=[_row(c, comparison) for c in shown],
            total_rows=len(ranked),
            note=_note(source, arguments, comparison, context),
            entities=[c.pattern.entity for c in shown],
        )

    return TypedTool(
        name="rank_log_patterns",
        description="Rank kinds of log lines by how much more (or less) often they came than without the incident.",
        arguments=_PatternArguments,
        answer=answer,
    )


def _row(change: PatternChange, comparison: PatternComparison) -> dict[str, Any]:
    pattern = change.pattern
    rate, reference_rate = rates_per_min(change, comparison)
    return {
        "pattern": pattern.pattern,
        "entity": pattern.entity,
        "level": pattern.level,
        "score": change.score,
        "direction": "up" if change.is_up else "down",
        "count": pattern.count,
        "reference_count": pattern.reference_count,
        "per_min": rate,
        "reference_per_min": reference_rate,
        "example": pattern.example[:MAX_EXAMPLE_CHARS],
        "first_seen": iso(pattern.first_seen),
    }


def _note(
    source: LogsSource, arguments: _PatternArguments, comparison: PatternComparison, context: ToolContext
) -> str | None:
    if not comparison.patterns:
        return unknown_entity_note(source, arguments.entity, context)
    if not any(p.reference_count for p in comparison.patterns):
        return "no lines of a time without the incident: ranked by how often they came"
    return None
