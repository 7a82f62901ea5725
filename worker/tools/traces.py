"""Tools over traces: find slow or failing requests, and the operations that became slower by themselves."""

from typing import Any

from pydantic import Field

from worker.domain.tooling import ToolContext
from worker.tools.analysis.edge_latency import EdgeChange, EntityChange, rank_edges, rank_entities
from worker.tools.entities import unknown_entity_note
from worker.tools.metrics import reference_said
from worker.tools.output import Answer, iso
from worker.tools.sources.ports import Latency, LatencyComparison, TraceSelection, TracesSource
from worker.tools.typed import Limit, TypedTool, Windowed
from worker.tools.window import Compared, IncidentTimes, choose_periods

_FIGURES = ("p50_ms", "p95_ms", "self_p50_ms", "self_p95_ms", "error_rate")


class _FindArguments(Windowed):
    entity: str | None = Field(default=None, description="exact name of an entity with a span in the trace")
    operation: str | None = Field(default=None, description="part of that span's operation")
    min_duration_ms: float | None = Field(default=None, ge=0, description="of that span")
    status: str | None = Field(default=None, description="of that span; error matches every failure")
    limit: Limit = Field(default=20, description="traces")


def find_traces(source: TracesSource) -> TypedTool[_FindArguments]:
    def answer(arguments: _FindArguments, context: ToolContext) -> Answer:
        window = arguments.window(context.window)
        selection = TraceSelection(arguments.entity, arguments.operation, arguments.min_duration_ms, arguments.status)
        page = source.traces(selection, window, limit=arguments.limit, deadline=context.deadline)
        return Answer(
            query=arguments.said(),
            window=window,
            rows=[
                {
                    "trace_id": t.trace_id,
                    "root_entity": t.root_entity,
                    "root_operation": t.root_operation,
                    "start": iso(t.start),
                    "duration_ms": t.duration_ms,
                    "spans": t.spans,
                    "error_spans": t.error_spans,
                    "slowest_entity": t.slowest_entity,
                    "slowest_self_ms": t.slowest_self_ms,
                }
                for t in page.traces
            ],
            total_rows=page.total,
            note=None if page.traces else unknown_entity_note(source, arguments.entity, context),
            entities=[name for t in page.traces for name in (t.root_entity, t.slowest_entity)],
        )

    return TypedTool(
        name="find_traces",
        description="Find the slowest traces with a span that matches, and where each spent the most time by itself.",
        arguments=_FindArguments,
        answer=answer,
    )


class _RankArguments(Compared):
    limit: Limit = Field(default=20, description="edges")


def rank_edge_latency(source: TracesSource, times: IncidentTimes) -> TypedTool[_RankArguments]:
    def answer(arguments: _RankArguments, context: ToolContext) -> Answer:
        periods = choose_periods(arguments, times, source, window=context.window, deadline=context.deadline)
        comparison = source.compare(periods, deadline=context.deadline)
        ranked = rank_edges(comparison)
        shown, entities = ranked[: arguments.limit], rank_entities(ranked)[: arguments.limit]
        return Answer(
            query=arguments.said() | reference_said(periods),
            window=periods.incident,
            rows=[_row(c) for c in shown],
            total_rows=len(ranked),
            extra={"entities": [_entity_row(e) for e in entities]},
            note=_note(comparison),
            entities=[
                *(name for c in shown for name in (c.edge.callee, c.edge.caller)),
                *(e.entity for e in entities),
            ],
        )

    return TypedTool(
        name="rank_edge_latency",
        description="Rank calls between entities, and entities, by how much slower by themselves or more failing "
        "they became (self: without the time of what they call).",
        arguments=_RankArguments,
        answer=answer,
    )


def _row(change: EdgeChange) -> dict[str, Any]:
    edge = change.edge
    row: dict[str, Any] = {
        "caller": edge.caller,
        "callee": edge.callee,
        "operation": edge.operation,
        "score": change.score,
        "calls": edge.incident.calls if edge.incident else 0,
        "reference_calls": edge.reference.calls if edge.reference else 0,
    }
    for figure in _FIGURES:
        row[figure] = _figure(edge.incident, figure)
        row[f"reference_{figure}"] = _figure(edge.reference, figure)
    return row


def _figure(latency: Latency | None, figure: str) -> float | None:
    return getattr(latency, figure) if latency else None


def _entity_row(entity: EntityChange) -> dict[str, Any]:
    return {
        "entity": entity.entity,
        "score": entity.score,
        "calls": entity.calls,
        "reference_calls": entity.reference_calls,
        "self_p50_ms": entity.self_p50_ms,
        "reference_self_p50_ms": entity.reference_self_p50_ms,
        "worst_operation": entity.worst_operation,
    }


def _note(comparison: LatencyComparison) -> str | None:
    if not comparison.edges:
        return "no spans in this window"
    if not any(e.reference for e in comparison.edges):
        return "no spans of a time without the incident: nothing to compare with, only errors are scored"
    return None
