"""Metrics of a recorded case."""

from collections.abc import Mapping
from typing import Any

from worker.domain.incident import TimeWindow
from worker.tools.sources.ports import MetricSelection, MetricSeries, Periods, SeriesComparison, SeriesPage, Spread
from worker.tools.sources.recorded_times import RecordedTimes, bounds
from worker.tools.sources.tables import spans

COUNTER_NAME = r"(_total|_count|_sum|_bucket)$"
"""Only series whose name says so can be counters; see `_COMPARE` for what their values must say."""

_SERIES = """
WITH chosen AS (SELECT * FROM metrics WHERE {where}),
     keys AS (SELECT DISTINCT entity, metric FROM chosen ORDER BY entity, metric),
     page AS (SELECT *, (SELECT count(*) FROM keys) AS total FROM keys ORDER BY entity, metric LIMIT $limit),
     steps AS (
       SELECT entity, metric, any_value(total) AS total, min(ts) AS first_ts, avg(value) AS value
       FROM chosen JOIN page USING (entity, metric) GROUP BY entity, metric, floor((ts - $w_start) / $step))
SELECT entity, metric, any_value(total), list(first_ts ORDER BY first_ts), list(value ORDER BY first_ts)
FROM steps GROUP BY entity, metric ORDER BY entity, metric
"""

# A counter never falls but for resets, and rises at most steps of one period: its level says nothing, its rise does.
_COMPARE = """
WITH chosen AS (
       SELECT entity, metric, ts, value, {in_incident} AS in_incident
       FROM metrics WHERE {where}),
     rises AS (
       SELECT *, value - lag(value) OVER steps AS rise, ts - lag(ts) OVER steps AS gap
       FROM chosen WHERE regexp_matches(metric, $counter_name)
       WINDOW steps AS (PARTITION BY entity, metric, in_incident ORDER BY ts)),
     halves AS (
       SELECT entity, metric, count_if(rise > 0) >= 0.5 * count(rise) AND count(rise) >= 3 AS is_rising,
              count_if(rise < 0) AS falls, count(rise) AS steps
       FROM rises GROUP BY entity, metric, in_incident),
     counters AS (
       SELECT entity, metric FROM halves GROUP BY entity, metric
       HAVING bool_or(is_rising) AND sum(falls) <= 0.02 * sum(steps)),
     samples AS (
       SELECT entity, metric, in_incident, false AS is_rate, value FROM chosen ANTI JOIN counters USING (entity, metric)
       UNION ALL
       SELECT entity, metric, in_incident, true, if(rise < 0, value, rise) / gap
       FROM rises SEMI JOIN counters USING (entity, metric) WHERE gap > 0)
SELECT entity, metric, in_incident, any_value(is_rate), count(*), median(value), mad(value),
       quantile_cont(value, [0.1, 0.25, 0.75, 0.9]), min(value), max(value)
FROM samples GROUP BY entity, metric, in_incident ORDER BY entity, metric, in_incident
"""


class RecordedMetrics(RecordedTimes):
    table = "metrics"

    def series(
        self, selection: MetricSelection, window: TimeWindow, *, step_s: float, limit: int, deadline: float
    ) -> SeriesPage:
        where, parameters = _matching(selection)
        parameters |= {"step": step_s, "limit": limit} | bounds("w", window)
        sql = _SERIES.format(where=f"{where} AND {spans('ts', ['w'])}")
        rows = self._tables.rows(self.table, sql, parameters, deadline=deadline)
        series = tuple(MetricSeries(r[0], r[1], tuple(zip(r[3], r[4], strict=True))) for r in rows)
        return SeriesPage(series, rows[0][2] if rows else 0)

    def compare(self, selection: MetricSelection, periods: Periods, *, deadline: float) -> tuple[SeriesComparison, ...]:
        where, parameters = _matching(selection)
        names = ["incident", "reference"] if periods.reference else ["incident"]
        parameters |= {"counter_name": COUNTER_NAME} | bounds("incident", periods.incident)
        if periods.reference:
            parameters |= bounds("reference", periods.reference)
        sql = _COMPARE.format(where=f"{where} AND {spans('ts', names)}", in_incident=spans("ts", ["incident"]))
        return _paired(self._tables.rows(self.table, sql, parameters, deadline=deadline))


def _matching(selection: MetricSelection) -> tuple[str, dict[str, Any]]:
    if selection.keys is not None:
        pairs = {"entities": [k[0] for k in selection.keys], "names": [k[1] for k in selection.keys]}
        return "(entity, metric) IN (SELECT unnest($entities), unnest($names))", pairs
    conditions, parameters = ["true"], {}
    if selection.entity is not None:
        conditions.append("entity = $entity")
        parameters["entity"] = selection.entity
    if selection.metric is not None:
        conditions.append("contains(lower(metric), lower($metric))")
        parameters["metric"] = selection.metric
    return " AND ".join(conditions), parameters


def _paired(rows: list[tuple[Any, ...]]) -> tuple[SeriesComparison, ...]:
    found: dict[tuple[str, str], dict[bool, tuple[bool, Spread]]] = {}
    for entity, metric, in_incident, is_rate, points, median, mad, (q10, q25, q75, q90), low, high in rows:
        spread = Spread(points, median, mad, q10, q25, q75, q90, low, high)
        found.setdefault((entity, metric), {})[in_incident] = (is_rate, spread)
    return tuple(
        SeriesComparison(
            entity=entity,
            metric=metric,
            reference=_spread(halves, in_incident=False),
            incident=_spread(halves, in_incident=True),
            is_rate=any(is_rate for is_rate, _ in halves.values()),
        )
        for (entity, metric), halves in found.items()
    )


def _spread(halves: Mapping[bool, tuple[bool, Spread]], *, in_incident: bool) -> Spread | None:
    half = halves.get(in_incident)
    return half[1] if half else None
