"""Which kinds of log lines came more, or less, often than in the reference.

The score is the change in standard deviations of counts: twice the difference of the square roots of what was seen
and what was to be expected at the rate of the reference (Anscombe), less the more uncertain the reference is.
"""

from dataclasses import dataclass
from math import sqrt

from worker.tools.sources.ports import PatternComparison, PatternCount

_ANSCOMBE = 3 / 8

_LEVEL_WEIGHTS = {"error": 2.0, "fatal": 2.0, "critical": 2.0, "err": 2.0, "warn": 1.5, "warning": 1.5}
"""Of two patterns equally unusual, the one its author called an error is the one to read first."""


@dataclass(frozen=True, slots=True)
class PatternChange:
    """`expected` is the number of lines at the reference's rate; None where there is no reference."""

    pattern: PatternCount
    score: float
    is_up: bool
    expected: float | None


def rank_patterns(comparison: PatternComparison) -> list[PatternChange]:
    """Return the patterns, the least expected first."""
    # A few lines seen at one moment cover no time: then a period counts as one second.
    exposure = max(comparison.incident_s, 1.0) / max(comparison.reference_s, 1.0)
    has_reference = any(p.reference_count for p in comparison.patterns)
    changes = [_change(p, exposure if has_reference else None) for p in comparison.patterns]
    return sorted(changes, key=lambda c: (-c.score, c.pattern.pattern, c.pattern.entity or ""))


def _change(pattern: PatternCount, exposure: float | None) -> PatternChange:
    expected = pattern.reference_count * exposure if exposure is not None else None
    seen, usual = sqrt(pattern.count + _ANSCOMBE), sqrt((expected or 0.0) + _ANSCOMBE)
    deviation = 2 * (seen - usual) / sqrt(1 + (exposure or 0.0))
    weight = _LEVEL_WEIGHTS.get((pattern.level or "").lower(), 1.0)
    return PatternChange(pattern, abs(deviation) * weight, deviation >= 0, expected)


def rates_per_min(change: PatternChange, comparison: PatternComparison) -> tuple[float | None, float | None]:
    """Return lines per minute in the incident and in the reference; None where too little time is covered."""
    incident = _per_min(change.pattern.count, comparison.incident_s)
    return incident, _per_min(change.pattern.reference_count, comparison.reference_s)


def _per_min(count: int, covered_s: float) -> float | None:
    return 60 * count / covered_s if covered_s >= 1 else None
