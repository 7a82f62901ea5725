"""What the results say, tool by tool, as observations that each know where they stand written."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from worker.domain.report import Citation
from worker.investigation.emptiness import is_empty
from worker.investigation.offline.alarms import Alarm, find_alarms, is_built_in
from worker.investigation.offline.natures import Nature, is_worse_when_high, nature_of
from worker.investigation.offline.reading import Record, Row, parse_time

EDGE_ARROW = "->"
_ANSCOMBE = 3 / 8
_SEVERE_LEVELS = ("err", "fatal", "crit", "panic")


@dataclass(frozen=True)
class Source:
    """Where something stands: the id of the result and words copied from it."""

    evidence_id: str
    quote: str

    def cite(self) -> Citation:
        return Citation(evidence_id=self.evidence_id, quote=self.quote or None)


@dataclass(frozen=True)
class MetricMove:
    """How one series changed; `delta` is now minus usual, `worsening` the same with harm as plus."""

    entity: str
    metric: str
    nature: Nature
    score: float
    delta: float
    worsening: float
    usual: float | None
    now: float | None
    peak: float | None
    is_lasting: bool
    onset: datetime | None
    source: Source

    @property
    def is_edge(self) -> bool:
        return EDGE_ARROW in self.entity


@dataclass(frozen=True)
class SpanMove:
    """How one operation changed; times are medians in milliseconds, without the time of its children."""

    caller: str | None
    entity: str
    operation: str
    calls: float
    usual_calls: float
    self_ms: float
    usual_self_ms: float
    total_ms: float
    usual_total_ms: float
    error_share: float
    usual_error_share: float
    score: float
    source: Source


@dataclass(frozen=True)
class LogMove:
    entity: str | None
    level: str
    pattern: str
    example: str
    count: float
    usual_count: float
    """To be expected at the usual rate."""
    score: float
    """Standard deviations of a count (Anscombe's transform), minus where it came less often."""
    first_seen: datetime | None
    source: Source

    @property
    def is_severe(self) -> bool:
        return self.level.startswith(_SEVERE_LEVELS)


@dataclass(frozen=True)
class ChangeSeen:
    id: str
    at: datetime | None
    entity: str | None
    kind: str
    title: str
    diff: str
    source: Source


@dataclass(frozen=True)
class Observations:
    metrics: tuple[MetricMove, ...]
    spans: tuple[SpanMove, ...]
    logs: tuple[LogMove, ...]
    changes: tuple[ChangeSeen, ...]
    alarms: tuple[Alarm, ...]
    edges: frozenset[tuple[str, str]]
    entities: frozenset[str]
    states: tuple[str, ...]
    """Ids of the results of unknown tools that hold something and were read whole."""


def observe(record: Record) -> Observations:
    """Collect what every result so far says."""
    metrics, spans = _clearest(_metrics(record)), tuple(_spans(record))
    logs, changes = tuple(_logs(record)), tuple(_changes(record))
    edges = frozenset(_edges(record, metrics, spans))
    names = {n for edge in edges for n in edge} | {m.entity for m in metrics if not m.is_edge}
    names |= {s.entity for s in spans} | {x.entity for x in logs if x.entity} | {c.entity for c in changes if c.entity}
    names |= {record.incident.event.service} if record.incident.event.service else set()
    alarms = tuple(find_alarms(record, frozenset(names)))
    entities = frozenset(names | {a.entity for a in alarms if a.entity})
    whole = [r for r in record.results if not (r.is_error or is_built_in(r.tool) or r.is_shortened)]
    states = tuple(r.evidence_id for r in whole if not is_empty(r.text))
    return Observations(metrics, spans, logs, changes, alarms, edges, entities, states)


def _rows(record: Record, tool: str, *keys: str) -> Iterator[tuple[Row, Source]]:
    seen = set()
    for result in record.of(tool):
        for row in result.rows(*keys):
            mark = tuple(str(row.values[k]) for k in keys)
            if mark not in seen:  # an earlier, wider question has said it already
                seen.add(mark)
                yield row, Source(result.evidence_id, row.quote())


def _metrics(record: Record) -> Iterator[MetricMove]:
    for row, source in _rows(record, "rank_metric_changes", "entity", "metric", "score"):
        v = row.values
        usual, now, peak = (_number(v.get(k)) for k in ("reference_median", "incident_median", "incident_peak"))
        delta = (now or 0.0) - (usual or 0.0)
        is_up = v.get("direction") != "down"
        worse_up = is_worse_when_high(v["metric"])
        yield MetricMove(
            entity=v["entity"],
            metric=v["metric"],
            nature=nature_of(v["metric"]),
            score=_number(v["score"]) or 0.0,
            delta=delta,
            worsening=delta if worse_up else -delta,
            usual=usual,
            now=now,
            peak=peak,
            is_lasting=v.get("change", "level") == "level" and is_up == (delta > 0),
            onset=parse_time(v.get("onset")),
            source=source,
        )


def _clearest(moves: Iterable[MetricMove]) -> tuple[MetricMove, ...]:
    """Keep of each series the comparison that shows most: another reference may have been asked for."""
    kept: dict[tuple[str, str], MetricMove] = {}
    for move in moves:
        known = kept.get((move.entity, move.metric))
        if known is None or move.score > known.score:
            kept[move.entity, move.metric] = move
    return tuple(kept.values())


def _spans(record: Record) -> Iterator[SpanMove]:
    for row, source in _rows(record, "rank_edge_latency", "callee", "operation", "caller", "calls"):
        v = row.values
        figures = {k: _number(v.get(k)) for k in v}
        self_ms, total_ms = figures.get("self_p50_ms") or 0.0, figures.get("p50_ms") or 0.0
        usual_self, usual_total = figures.get("reference_self_p50_ms"), figures.get("reference_p50_ms")
        yield SpanMove(
            caller=v["caller"],
            entity=v["callee"],
            operation=v["operation"] or "",
            calls=figures["calls"] or 0.0,
            usual_calls=figures.get("reference_calls") or 0.0,
            self_ms=self_ms,
            usual_self_ms=self_ms if usual_self is None else usual_self,
            total_ms=total_ms,
            usual_total_ms=total_ms if usual_total is None else usual_total,
            error_share=figures.get("error_rate") or 0.0,
            usual_error_share=figures.get("reference_error_rate") or 0.0,
            score=figures.get("score") or 0.0,
            source=source,
        )


def _logs(record: Record) -> Iterator[LogMove]:
    for row, source in _rows(record, "rank_log_patterns", "pattern", "entity", "level"):
        v = row.values
        count, usual = _number(v.get("count")) or 0.0, _expected_count(v)
        yield LogMove(
            entity=v["entity"],
            level=(v["level"] or "").lower(),
            pattern=v["pattern"],
            example=v.get("example") or v["pattern"],
            count=count,
            usual_count=usual,
            score=2 * (math.sqrt(count + _ANSCOMBE) - math.sqrt(usual + _ANSCOMBE)),
            first_seen=parse_time(v.get("first_seen")),
            source=source,
        )


def _expected_count(values: dict[str, Any]) -> float:
    """Return how many lines the usual rate would bring; without rates the two periods count as equally long."""
    count, rate, usual_rate = (_number(values.get(k)) for k in ("count", "per_min", "reference_per_min"))
    usual = _number(values.get("reference_count")) or 0.0
    return count * usual_rate / rate if count and rate and usual_rate is not None else usual


def _changes(record: Record) -> Iterator[ChangeSeen]:
    for row, source in _rows(record, "list_changes", "id", "ts", "kind"):
        v = row.values
        yield ChangeSeen(
            id=str(v["id"]),
            at=parse_time(v["ts"]),
            entity=v.get("entity"),
            kind=v["kind"],
            title=v.get("title") or "",
            diff=v.get("diff") or "",
            source=source,
        )


def _edges(record: Record, metrics: tuple[MetricMove, ...], spans: tuple[SpanMove, ...]) -> Iterator[tuple[str, str]]:
    for row, _ in _rows(record, "show_topology", "caller", "callee"):
        yield str(row.values["caller"]), str(row.values["callee"])
    for result in record.of("show_topology"):
        content = result.content
        for pair in content.get("edges", ()) if isinstance(content, dict) else ():
            yield str(pair[0]), str(pair[1])
    for move in metrics:
        if move.is_edge:
            caller, _, callee = move.entity.partition(EDGE_ARROW)
            yield caller.strip(), callee.strip()
    for span in spans:
        if span.caller and span.caller != span.entity:
            yield span.caller, span.entity


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
