"""How much each metric of the incident differs from its reference, and since when.

A change is measured in units of the series' usual spread: the largest of the scaled median absolute deviation, the
scaled distance of the quartiles and that of the outer deciles of the reference (the last for series that are calm
but for regular spikes), but never less than a small part of the level and of the largest value seen. The floors keep
a constant series that moves a little from scoring like a broken one, and bound the score at 1 / MAGNITUDE_FLOOR.
Quartiles are compared with quartiles: a fault that shows in a quarter of the points counts in full, and without a
fault the expected score is 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from worker.tools.sources.ports import SeriesComparison, Spread

MAD_TO_SIGMA = 1.4826
IQR_TO_SIGMA = 1 / 1.349
DECILES_TO_SIGMA = 1 / 2.563
"""What makes each the standard deviation of a normal distribution."""
LEVEL_FLOOR = 0.01
"""A move of 1% of the level is the least that counts as one spread."""
MAGNITUDE_FLOOR = 0.02
PEAK_WEIGHT = 0.3
"""A single extreme beyond all of the reference counts, but less than a level that moved."""
SHRINK_INCIDENT = 1.0
SHRINK_REFERENCE = 8.0
"""Points a period must have for its statistics to be believed by half (squared)."""
APPEARED_SCORE = 3.0
"""Of a series that is only in one period: worth a look, but not measurable."""
LEAST_EXPECTED_POINTS = 3.0
"""A series is missing only if this many points were to be expected in the incident."""

Kind = Literal["level", "peak", "new", "missing"]


@dataclass(frozen=True, slots=True)
class MetricChange:
    """One series and how it changed; `deviation` is how far its level (or peak) moved, signed, in its own unit."""

    series: SeriesComparison
    score: float
    kind: Kind
    is_up: bool
    deviation: float


def rank_changes(comparisons: Sequence[SeriesComparison]) -> list[MetricChange]:
    """Return the changes, largest first."""
    densest = _Densest(
        reference=max((c.reference.points for c in comparisons if c.reference), default=0),
        incident=max((c.incident.points for c in comparisons if c.incident), default=0),
    )
    changes = [_change(c, densest) for c in comparisons]
    return sorted(changes, key=lambda c: (-c.score, c.series.entity, c.series.metric))


@dataclass(frozen=True, slots=True)
class _Densest:
    """Points of the fullest series: what a series that is always there has."""

    reference: int
    incident: int


def _change(series: SeriesComparison, densest: _Densest) -> MetricChange:
    if series.reference and series.incident:
        return _moved(series, series.reference, series.incident)
    if series.incident:
        is_telling = densest.reference > 0 and (series.incident.low != 0 or series.incident.high != 0)
        score = APPEARED_SCORE * _trust(series.incident.points, SHRINK_INCIDENT) if is_telling else 0.0
        return MetricChange(series, score, "new", is_up=True, deviation=series.incident.median)
    points = series.reference.points if series.reference else 0
    expected = points / max(densest.reference, 1) * densest.incident
    score = APPEARED_SCORE if expected >= LEAST_EXPECTED_POINTS else 0.0
    return MetricChange(series, score, "missing", is_up=False, deviation=0.0)


def _moved(series: SeriesComparison, reference: Spread, incident: Spread) -> MetricChange:
    scale = usual_spread(reference, incident)
    if scale == 0:  # nothing but zeros in both
        return MetricChange(series, 0.0, "level", is_up=True, deviation=0.0)
    rise, fall = incident.q75 - reference.q75, reference.q25 - incident.q25
    above, below = incident.high - reference.high, reference.low - incident.low
    level, peak = max(rise, fall), PEAK_WEIGHT * max(above, below)
    is_level = level >= peak
    is_up = rise >= fall if is_level else above >= below
    size = level if is_level else max(above, below)
    trust = _trust(incident.points, SHRINK_INCIDENT) * _trust(reference.points, SHRINK_REFERENCE)
    score = max(level, peak, 0.0) / scale * trust
    return MetricChange(series, score, "level" if is_level else "peak", is_up, size if is_up else -size)


def usual_spread(reference: Spread, incident: Spread) -> float:
    """Return the unit in which a change is measured; 0 only if both periods are all zeros."""
    largest = max(abs(v) for s in (reference, incident) for v in (s.low, s.high))
    return max(
        MAD_TO_SIGMA * reference.mad,
        IQR_TO_SIGMA * (reference.q75 - reference.q25),
        DECILES_TO_SIGMA * (reference.q90 - reference.q10),
        LEVEL_FLOOR * abs(reference.median),
        MAGNITUDE_FLOOR * largest,
    )


def _trust(points: int, half: float) -> float:
    return float((points / (points + half)) ** 0.5)


def find_onset(change: MetricChange, points: Sequence[tuple[float, float]]) -> float | None:
    """Return when the series first went at least half the way to where it ended up, and stayed for two points.

    A peak or the very last point needs no second one. None where that is not seen in these points.
    """
    if change.kind == "new":
        return points[0][0] if points else None
    reference = change.series.reference
    if not points or change.kind == "missing" or change.deviation == 0 or reference is None:
        return None
    samples = _rates(points) if change.series.is_rate else list(points)
    half = change.deviation / 2
    beyond = [(value - reference.median) / half >= 1 for _, value in samples]
    stays = [*beyond[1:], True][: len(beyond)] if change.kind == "level" else [True] * len(beyond)
    return next((ts for (ts, _), now, then in zip(samples, beyond, stays, strict=True) if now and then), None)


def _rates(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the rises per second between points of a counter; after a reset it has counted from 0."""
    return [
        (later, (value if value < before else value - before) / (later - earlier))
        for (earlier, before), (later, value) in pairwise(points)
        if later > earlier
    ]
