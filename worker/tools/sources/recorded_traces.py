"""Traces of a recorded case."""

from typing import Any

from worker.domain.incident import TimeWindow
from worker.tools.sources.ports import (
    EdgeComparison,
    Latency,
    LatencyComparison,
    Periods,
    Topology,
    TracePage,
    TraceSelection,
    TraceSummary,
)
from worker.tools.sources.recorded_times import RecordedTimes, bounds
from worker.tools.sources.tables import spans

_IS_ERROR = r"(coalesce(status, '') <> '' AND NOT regexp_matches(lower(status), '^(ok|unset|success|0|[123]\d\d)$'))"
"""A span without a status is not an error; HTTP and gRPC codes count as what they say."""

MARGIN_S = 60
"""Parents and children of a span are looked for so far outside a period."""

# Children may overlap or outlive their parent: the time of its own is at least 0.
_OWN_TIME = """
    near AS (SELECT *, {is_error} AS is_error FROM traces WHERE {where}),
    inner_time AS (
      SELECT trace_id, parent_span_id AS span_id, sum(duration_ms) AS children_ms
      FROM near WHERE parent_span_id IS NOT NULL GROUP BY 1, 2),
    own AS (
      SELECT near.*, greatest(duration_ms - coalesce(children_ms, 0), 0) AS self_ms
      FROM near LEFT JOIN inner_time USING (trace_id, span_id))"""

_TRACES = """
WITH wanted AS (
       SELECT trace_id, max(duration_ms) AS longest_ms FROM traces
       WHERE {in_window} AND {matching} GROUP BY 1),
     page AS (SELECT *, count(*) OVER () AS total FROM wanted ORDER BY longest_ms DESC, trace_id LIMIT $limit),
     {own_time}
SELECT trace_id, arg_min(entity, ts) FILTER (parent_span_id IS NULL),
       arg_min(operation, ts) FILTER (parent_span_id IS NULL), min(ts),
       max(duration_ms), count(*), count_if(is_error), arg_max(entity, self_ms), max(self_ms), any_value(total)
FROM own JOIN page USING (trace_id) GROUP BY trace_id ORDER BY max(duration_ms) DESC, trace_id
"""

_COMPARE = """
WITH {own_time},
     parents AS (
       SELECT trace_id, span_id AS parent_span_id, min(entity) AS caller FROM near GROUP BY trace_id, span_id),
     calls AS (
       SELECT caller, entity AS callee, operation, duration_ms, self_ms, is_error, {in_incident} AS in_incident
       FROM own LEFT JOIN parents USING (trace_id, parent_span_id) WHERE {where})
SELECT caller, callee, coalesce(operation, ''), in_incident, count(*),
       quantile_cont(duration_ms, 0.5), quantile_cont(duration_ms, 0.95),
       quantile_cont(self_ms, 0.5), quantile_cont(self_ms, 0.95), avg(is_error::INT)
FROM calls WHERE callee IS NOT NULL GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
"""

_ROOTS = "SELECT median(duration_ms) FROM traces WHERE parent_span_id IS NULL AND {where}"

_EDGES = """
SELECT DISTINCT parent.entity, child.entity FROM traces AS child
JOIN traces AS parent ON parent.trace_id = child.trace_id AND parent.span_id = child.parent_span_id
WHERE parent.entity <> child.entity ORDER BY 1, 2
"""


class RecordedTraces(RecordedTimes):
    table = "traces"

    def traces(self, selection: TraceSelection, window: TimeWindow, *, limit: int, deadline: float) -> TracePage:
        matching, parameters = _matching(selection)
        parameters |= {"limit": limit} | bounds("w", window)
        own_time = _OWN_TIME.format(is_error=_IS_ERROR, where="trace_id IN (SELECT trace_id FROM page)")
        sql = _TRACES.format(in_window=spans("ts", ["w"]), matching=matching, own_time=own_time)
        rows = self._tables.rows(self.table, sql, parameters, deadline=deadline)
        return TracePage(tuple(TraceSummary(*r[:9]) for r in rows), rows[0][9] if rows else 0)

    def compare(self, periods: Periods, *, deadline: float) -> LatencyComparison:
        names = ["incident", "reference"] if periods.reference else ["incident"]
        parameters = bounds("incident", periods.incident)
        if periods.reference:
            parameters |= bounds("reference", periods.reference)
        own_time = _OWN_TIME.format(is_error=_IS_ERROR, where=spans("ts", names, margin_s=MARGIN_S))
        sql = _COMPARE.format(own_time=own_time, in_incident=spans("ts", ["incident"]), where=spans("ts", names))
        rows = self._tables.rows(self.table, sql, parameters, deadline=deadline)
        roots_ms = self._root_ms(periods.reference, deadline) if periods.reference else 0.0
        return LatencyComparison(_paired(rows), roots_ms or self._root_ms(periods.incident, deadline))

    def _root_ms(self, window: TimeWindow, deadline: float) -> float:
        sql = _ROOTS.format(where=spans("ts", ["w"]))
        ((median_ms,),) = self._tables.rows(self.table, sql, bounds("w", window), deadline=deadline)
        return float(median_ms or 0.0)

    def edges(self, *, deadline: float) -> Topology:
        rows = self._tables.rows(self.table, _EDGES, deadline=deadline)
        nodes = sorted({*self.counts(None, deadline=deadline)})
        return Topology(tuple(nodes), tuple((r[0], r[1]) for r in rows))


def _matching(selection: TraceSelection) -> tuple[str, dict[str, Any]]:
    known = {
        "entity = $entity": ("entity", selection.entity),
        "contains(lower(operation), lower($operation))": ("operation", selection.operation),
        "duration_ms >= $least": ("least", selection.min_duration_ms),
    }
    conditions = ["true", *(sql for sql, (_, value) in known.items() if value is not None)]
    parameters = {name: value for name, value in known.values() if value is not None}
    if selection.status == "error":
        conditions.append(_IS_ERROR)
    elif selection.status is not None:
        conditions.append("lower(status) = lower($status)")
        parameters["status"] = selection.status
    return " AND ".join(conditions), parameters


def _paired(rows: list[tuple[Any, ...]]) -> tuple[EdgeComparison, ...]:
    found: dict[tuple[str | None, str, str], dict[bool, Latency]] = {}
    for caller, callee, operation, in_incident, *values in rows:
        found.setdefault((caller, callee, operation), {})[in_incident] = Latency(*values)
    return tuple(EdgeComparison(*key, halves.get(True), halves.get(False)) for key, halves in found.items())
