"""Tools over metrics: read series, and find those that changed."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from pydantic import Field

from worker.domain.incident import TimeWindow
from worker.domain.report import Series
from worker.domain.tooling import ToolContext
from worker.tools.analysis.metric_changes import MetricChange, find_onset, rank_changes
from worker.tools.entities import unknown_entity_note
from worker.tools.output import Answer, iso, significant
from worker.tools.sources.ports import MetricSelection, MetricSeries, MetricsSource, Periods, SeriesPage
from worker.tools.typed import Limit, TypedTool, Windowed
from worker.tools.window import Compared, IncidentTimes, choose_periods

MAX_POINTS = 60
"""Of one series shown to a model."""
MAX_CHART_POINTS = 200
MAX_CHARTS = 20
ONSET_LOOKBACK = timedelta(minutes=15)
"""An alert fires after the fact: so long before the period the onset is looked for."""


class _QueryArguments(Windowed):
    entity: str | None = Field(default=None, description="exact name")
    metric: str | None = Field(default=None, description="part of the name")
    step_s: float | None = Field(default=None, gt=0, description="seconds of one point; default: 60 points a series")
    limit: Limit = Field(default=20, description="series")


def query_metrics(source: MetricsSource) -> TypedTool[_QueryArguments]:
    def answer(arguments: _QueryArguments, context: ToolContext) -> Answer:
        window = arguments.window(context.window)
        step_s = max(arguments.step_s or 0, (window.end - window.start).total_seconds() / MAX_POINTS)
        page = source.series(
            MetricSelection(arguments.entity, arguments.metric),
            window,
            step_s=step_s,
            limit=arguments.limit,
            deadline=context.deadline,
        )
        return Answer(
            query=arguments.said() | {"step_s": step_s},
            window=window,
            rows=[
                {"entity": s.entity, "metric": s.metric, "points": [[iso(ts), v] for ts, v in s.points]}
                for s in page.series
            ],
            total_rows=page.total,
            note=unknown_entity_note(source, arguments.entity, context) if not page.series else None,
            entities=[s.entity for s in page.series],
            series=_charts(page.series),
        )

    return TypedTool(
        name="query_metrics",
        description="Read metric series, averaged per step, in the incident window or any other time.",
        arguments=_QueryArguments,
        answer=answer,
    )


class _RankArguments(Compared):
    entity: str | None = Field(default=None, description="exact name")
    metric: str | None = Field(default=None, description="part of the name")
    limit: Limit = Field(default=20, description="series")


def rank_metric_changes(source: MetricsSource, times: IncidentTimes) -> TypedTool[_RankArguments]:
    def answer(arguments: _RankArguments, context: ToolContext) -> Answer:
        periods = choose_periods(arguments, times, source, window=context.window, deadline=context.deadline)
        selection = MetricSelection(arguments.entity, arguments.metric)
        ranked = rank_changes(source.compare(selection, periods, deadline=context.deadline))
        shown = ranked[: arguments.limit]
        points = _points_around(source, shown, periods, context)
        return Answer(
            query=arguments.said() | reference_said(periods),
            window=periods.incident,
            rows=[_row(c, points.get((c.series.entity, c.series.metric), ())) for c in shown],
            total_rows=len(ranked),
            note=_rank_note(source, arguments, ranked, context),
            entities=[c.series.entity for c in shown],
            series=_charts([MetricSeries(*key, p) for key, p in points.items()]),
        )

    return TypedTool(
        name="rank_metric_changes",
        description="Rank all metric series by how much they changed in the incident against a time without it.",
        arguments=_RankArguments,
        answer=answer,
    )


def reference_said(periods: Periods) -> dict[str, str]:
    """Return the reference as a part of the effective query."""
    if periods.reference is None:
        return {}
    return {"reference_start": iso(periods.reference.start), "reference_end": iso(periods.reference.end)}


def _row(change: MetricChange, points: Sequence[tuple[float, float]]) -> dict[str, Any]:
    series = change.series
    reference, incident = series.reference, series.incident
    onset = find_onset(change, points)
    row = {
        "entity": series.entity,
        "metric": series.metric,
        "score": change.score,
        "direction": "up" if change.is_up else "down",
        "change": change.kind,
        "reference_median": reference.median if reference else None,
        "reference_mad": reference.mad if reference else None,
        "incident_median": incident.median if incident else None,
        "incident_peak": (incident.high if change.is_up else incident.low) if incident else None,
        "change_ratio": incident.median / reference.median if reference and incident and reference.median else None,
        "onset": iso(onset) if onset is not None else None,
        "reference_points": reference.points if reference else 0,
        "incident_points": incident.points if incident else 0,
    }
    return row | ({"unit": "per second, of a counter"} if series.is_rate else {})


def _points_around(
    source: MetricsSource, changes: Sequence[MetricChange], periods: Periods, context: ToolContext
) -> dict[tuple[str, str], tuple[tuple[float, float], ...]]:
    """Return the points of these series in the incident and shortly before, to see when they changed."""
    keys = [(c.series.entity, c.series.metric) for c in changes]
    if not keys:
        return {}
    start = periods.incident.start - ONSET_LOOKBACK
    if periods.reference and periods.reference.end <= periods.incident.start:
        start = max(start, periods.reference.end)
    window = TimeWindow(start=start, end=periods.incident.end)
    step_s = (window.end - window.start).total_seconds() / MAX_CHART_POINTS
    page: SeriesPage = source.series(
        MetricSelection(keys=keys), window, step_s=step_s, limit=len(keys), deadline=context.deadline
    )
    found = {(s.entity, s.metric): s.points for s in page.series}
    return {k: found[k] for k in keys if k in found}


def _charts(series: Sequence[MetricSeries]) -> tuple[Series, ...]:
    return tuple(
        Series(
            name=f"{s.entity} {s.metric}",
            points=tuple((iso(ts), float(significant(v))) for ts, v in s.points[-MAX_CHART_POINTS:]),
        )
        for s in series[:MAX_CHARTS]
    )


def _rank_note(
    source: MetricsSource, arguments: _RankArguments, ranked: Sequence[MetricChange], context: ToolContext
) -> str | None:
    if not ranked:
        return unknown_entity_note(source, arguments.entity, context)
    if not any(c.series.reference for c in ranked):
        return "no data of a time without the incident: nothing to compare with, scores are 0"
    return None
