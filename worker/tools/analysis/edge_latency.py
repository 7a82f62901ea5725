"""Which operations became slower by themselves, or fail, and not only because of what they call.

The score of an operation is the logarithm of how many times its own time grew (at the median or at the 95th
percentile, whichever grew more), plus its rise in errors, less the fewer calls there are. Times far below that of a
whole request are taken as equal.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import log, sqrt

from worker.tools.sources.ports import EdgeComparison, Latency, LatencyComparison

SMALL_PART = 0.01
"""Of the median whole request: a time that does not matter."""
LEAST_SMALL_MS = 0.1
ERROR_WEIGHT = 3.0
"""All calls failing counts like a twentyfold time."""
SHRINK_CALLS = 10.0
"""Calls a period must have for its quantiles to be believed by half (squared)."""
TAIL_WEIGHT = 0.7
"""The 95th percentile is the less stable of the two."""


@dataclass(frozen=True, slots=True)
class EdgeChange:
    edge: EdgeComparison
    score: float


@dataclass(frozen=True, slots=True)
class EntityChange:
    """All operations of one entity together; times are means weighted by calls."""

    entity: str
    score: float
    calls: int
    reference_calls: int
    self_p50_ms: float | None
    reference_self_p50_ms: float | None
    worst_operation: str


def rank_edges(comparison: LatencyComparison) -> list[EdgeChange]:
    """Return the edges, the one that became worst first."""
    small_ms = max(SMALL_PART * comparison.root_p50_ms, LEAST_SMALL_MS)
    changes = [EdgeChange(e, _score(e, small_ms)) for e in comparison.edges]
    return sorted(changes, key=lambda c: (-c.score, c.edge.callee, c.edge.operation, c.edge.caller or ""))


def _score(edge: EdgeComparison, small_ms: float) -> float:
    now, usual = edge.incident, edge.reference
    if now is None:
        return 0.0
    if usual is None:
        return _trust(now) * ERROR_WEIGHT * now.error_rate
    median = log((now.self_p50_ms + small_ms) / (usual.self_p50_ms + small_ms))
    tail = TAIL_WEIGHT * log((now.self_p95_ms + small_ms) / (usual.self_p95_ms + small_ms))
    errors = ERROR_WEIGHT * max(now.error_rate - usual.error_rate, 0.0)
    return _trust(now) * _trust(usual) * (max(median, tail, 0.0) + errors)


def _trust(latency: Latency) -> float:
    return sqrt(latency.calls / (latency.calls + SHRINK_CALLS))


def rank_entities(changes: Sequence[EdgeChange]) -> list[EntityChange]:
    """Return the entities, each with the score of its worst operation."""
    by_entity: dict[str, list[EdgeChange]] = {}
    for change in changes:
        by_entity.setdefault(change.edge.callee, []).append(change)
    entities = [_entity(name, worst_first) for name, worst_first in by_entity.items()]
    return sorted(entities, key=lambda e: (-e.score, e.entity))


def _entity(name: str, worst_first: Sequence[EdgeChange]) -> EntityChange:
    now = [c.edge.incident for c in worst_first if c.edge.incident]
    usual = [c.edge.reference for c in worst_first if c.edge.reference]
    return EntityChange(
        entity=name,
        score=worst_first[0].score,
        calls=sum(x.calls for x in now),
        reference_calls=sum(x.calls for x in usual),
        self_p50_ms=_mean_self(now),
        reference_self_p50_ms=_mean_self(usual),
        worst_operation=worst_first[0].edge.operation,
    )


def _mean_self(latencies: Iterable[Latency]) -> float | None:
    pairs = [(x.calls, x.self_p50_ms) for x in latencies]
    calls = sum(n for n, _ in pairs)
    return sum(n * ms for n, ms in pairs) / calls if calls else None
