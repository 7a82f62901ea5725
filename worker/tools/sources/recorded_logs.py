"""Logs of a recorded case."""

from typing import Any

from worker.domain.incident import TimeWindow
from worker.tools.sources.ports import LogLine, LogPage, LogSelection, PatternComparison, PatternCount, Periods
from worker.tools.sources.recorded_times import RecordedTimes, bounds
from worker.tools.sources.tables import spans

MASKS: tuple[tuple[str, str], ...] = (
    (r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}", "<uuid>"),
    (r"\b\d{1,3}(\.\d{1,3}){3}(:\d+)?\b", "<ip>"),
    (r"(/[\w.@~%+-]+){3,}/?", "<path>"),
    (r"\b0[xX][0-9a-fA-F]+\b", "<hex>"),
    (r"\b[0-9a-fA-F]*(\d[a-fA-F]|[a-fA-F]\d)[0-9a-fA-F]{4,}\b", "<hex>"),
    (r"[A-Za-z0-9+_-]*\d[A-Za-z0-9+/_-]{24,}=*", "<token>"),
    (r"\d+(\.\d+)?", "<n>"),
)
"""What varies between two lines of one kind, widest first. A path of two parts is a route and stays."""

QUOTED_MASK = (r"\"[^\"]*\"|'[^']*'", "<text>")
"""Not in messages that are JSON, where it would leave nothing."""

MAX_PATTERN_CHARS = 300

_LINES = """
SELECT ts, entity, level, message, trace_id, count(*) OVER () FROM logs WHERE {where} ORDER BY ts LIMIT $limit
"""

# Messages repeat: masking each distinct one once is what makes this cheap.
_PATTERNS = """
WITH chosen AS (
       SELECT entity, level, message, ts, {in_incident} AS in_incident FROM logs WHERE {where}),
     messages AS (SELECT DISTINCT message FROM chosen),
     masked AS (SELECT message, left(trim({mask}), {chars}) AS pattern FROM messages)
SELECT pattern, entity, level, count_if(in_incident), count_if(NOT in_incident),
       coalesce(arg_min(message, ts) FILTER (in_incident), arg_min(message, ts)),
       coalesce(min(ts) FILTER (in_incident), min(ts))
FROM chosen JOIN masked USING (message) GROUP BY pattern, entity, level ORDER BY pattern, entity, level
"""

_COVERED = "SELECT max(ts) - min(ts) FROM logs WHERE {where}"


class RecordedLogs(RecordedTimes):
    table = "logs"

    def lines(self, selection: LogSelection, window: TimeWindow, *, limit: int, deadline: float) -> LogPage:
        where, parameters = _matching(selection)
        parameters |= {"limit": limit} | bounds("w", window)
        sql = _LINES.format(where=f"{where} AND {spans('ts', ['w'])}")
        rows = self._tables.rows(self.table, sql, parameters, deadline=deadline)
        return LogPage(tuple(LogLine(*r[:5]) for r in rows), rows[0][5] if rows else 0)

    def patterns(self, selection: LogSelection, periods: Periods, *, deadline: float) -> PatternComparison:
        where, parameters = _matching(selection)
        names = ["incident", "reference"] if periods.reference else ["incident"]
        parameters |= bounds("incident", periods.incident)
        if periods.reference:
            parameters |= bounds("reference", periods.reference)
        sql = _PATTERNS.format(
            where=f"{where} AND {spans('ts', names)}",
            in_incident=spans("ts", ["incident"]),
            mask=mask_sql("message"),
            chars=MAX_PATTERN_CHARS,
        )
        rows = self._tables.rows(self.table, sql, parameters, deadline=deadline)
        return PatternComparison(
            patterns=tuple(PatternCount(*r) for r in rows),
            incident_s=self._covered_s(periods.incident, deadline=deadline),
            reference_s=self._covered_s(periods.reference, deadline=deadline) if periods.reference else 0.0,
        )

    def _covered_s(self, window: TimeWindow, *, deadline: float) -> float:
        """Return the seconds from the first to the last line in the window: what was recorded of it."""
        sql = _COVERED.format(where=spans("ts", ["w"]))
        ((covered_s,),) = self._tables.rows(self.table, sql, bounds("w", window), deadline=deadline)
        return float(covered_s or 0.0)


def mask_sql(column: str) -> str:
    """Return a SQL expression of the template of a message."""
    quoted = f"if({column}[1] IN ('{{', '['), {column}, {_replaced(column, *QUOTED_MASK)})"
    for pattern, word in MASKS:
        quoted = _replaced(quoted, pattern, word)
    return quoted


def _replaced(expression: str, pattern: str, word: str) -> str:
    escaped = pattern.replace("'", "''")
    return f"regexp_replace({expression}, '{escaped}', '{word}', 'g')"


def _matching(selection: LogSelection) -> tuple[str, dict[str, Any]]:
    conditions, parameters = ["true"], {}
    if selection.entity is not None:
        conditions.append("entity = $entity")
        parameters["entity"] = selection.entity
    if selection.level is not None:
        conditions.append("lower(level) = lower($level)")
        parameters["level"] = selection.level
    if selection.text is not None:
        matches = (
            "regexp_matches(message, $text, 'i')" if selection.is_regex else "contains(lower(message), lower($text))"
        )
        conditions.append(matches)
        parameters["text"] = selection.text
    return " AND ".join(conditions), parameters
