"""Series of evidence as small SVG charts: shape and scale at a glance, readable without colour or script."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby

from worker.domain.report import Evidence, Series

MAX_LINES = 6
"""Lines in one chart; more cannot be told apart."""

MAX_POINTS = 400
"""Points of one line; of more, each bucket keeps its lowest and highest."""

WIDTH, HEIGHT = 720, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 20, 20, 44
_TICKS = 4
_SHORT_S, _DAY_S = 300, 86400
_TOO_LARGE, _TOO_SMALL = 1e150, 1e-150  # beyond these the arithmetic of a scale overflows
_SCALES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """One series as a path in the chart's own coordinates."""

    name: str
    path: str


@dataclass(frozen=True)
class Tick:
    at: float
    label: str


@dataclass(frozen=True)
class Chart:
    """One drawing: lines of one unit over one span of time."""

    anchor: str
    unit: str
    description: str
    day: str
    lines: tuple[Line, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    began_x: float | None
    """Where the incident began; None outside the chart."""
    left_out: int
    """Series there was no room for."""

    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = HEIGHT - _BOTTOM


@dataclass(frozen=True)
class _Scale:
    """The chart's corner values: seconds since the epoch, and the unit's values."""

    x0: float
    x1: float
    y0: float
    y1: float

    def x(self, value: float) -> float:
        return round(_LEFT + (value - self.x0) / (self.x1 - self.x0) * (WIDTH - _LEFT - _RIGHT), 1)

    def y(self, value: float) -> float:
        return round(HEIGHT - _BOTTOM - (value - self.y0) / (self.y1 - self.y0) * (HEIGHT - _TOP - _BOTTOM), 1)


def draw_charts(evidence: Evidence, *, began_at: datetime | None) -> list[Chart]:
    """Draw the evidence's series, one chart for each unit; what has no two readable points is left out."""
    by_unit = groupby(sorted(evidence.series, key=lambda s: s.unit), key=lambda s: s.unit)
    drawn = [_draw(evidence.id, unit, list(series), began_at=began_at) for unit, series in by_unit]
    return [chart for chart in drawn if chart]


def _draw(anchor: str, unit: str, series: Sequence[Series], *, began_at: datetime | None) -> Chart | None:
    readable = [(s.name, points) for s in series if len(points := _read_points(s)) > 1]
    shown = readable[:MAX_LINES]
    if not shown:
        return None
    scale = _scale([p for _, points in shown for p in points])
    began = began_at.timestamp() if began_at else None
    return Chart(
        anchor=anchor,
        unit=unit,
        description=_describe(shown, unit),
        day=_day(scale),
        lines=tuple(Line(name, _path(_thinned(points), scale)) for name, points in shown),
        x_ticks=_time_ticks(scale),
        y_ticks=_value_ticks(scale),
        began_x=scale.x(began) if began is not None and scale.x0 <= began <= scale.x1 else None,
        left_out=len(readable) - len(shown),
    )


def _read_points(series: Series) -> list[Point]:
    timed = [(_seconds(time), value) for time, value in series.points if abs(value) < _TOO_LARGE]  # drops NaN too
    return sorted((moment, value) for moment, value in timed if moment is not None)


def _seconds(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _scale(points: list[Point]) -> _Scale:
    """Fit the points; values start at 0 unless they stay far from it, so that a small change looks small."""
    times, values = [p[0] for p in points], [p[1] for p in points]
    low, high = min(values), max(values)
    if 0 <= low <= high / 2 or low == high > 0:
        low = 0.0
    spread = _nice_distance(max((high - low or abs(high) or 1.0) / _TICKS, _TOO_SMALL))
    low, high = math.floor(low / spread) * spread, math.ceil(high / spread) * spread
    end = max(times)
    return _Scale(min(times), end if end > min(times) else end + 1, low, high if high > low else low + spread)


def _nice_distance(least: float) -> float:
    """Return the next of 1, 2, 2.5, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(least))
    return next((factor * power for factor in (1, 2, 2.5, 5) if factor * power >= least), 10 * power)


def _value_ticks(scale: _Scale) -> tuple[Tick, ...]:
    distance = _nice_distance((scale.y1 - scale.y0) / _TICKS)
    steps = round((scale.y1 - scale.y0) / distance)
    values = [scale.y0 + step * distance for step in range(steps + 1)]
    return tuple(Tick(scale.y(v), value_label(v)) for v in values if v <= scale.y1 * (1 + 1e-9) or v <= scale.y1)


def value_label(value: float) -> str:
    for size, letter in _SCALES:
        if abs(value) >= size:
            return f"{value / size:.4g}{letter}"
    return f"{value:.4g}"


def _time_ticks(scale: _Scale) -> tuple[Tick, ...]:
    moments = [scale.x0 + (scale.x1 - scale.x0) * n / _TICKS for n in range(_TICKS + 1)]
    spread = scale.x1 - scale.x0
    pattern = "%H:%M:%S" if spread < _SHORT_S else "%H:%M" if spread < 3 * _DAY_S else "%d %b"
    return tuple(Tick(scale.x(m), f"{datetime.fromtimestamp(m, UTC):{pattern}}") for m in moments)


def _day(scale: _Scale) -> str:
    first, last = (f"{datetime.fromtimestamp(t, UTC):%Y-%m-%d}" for t in (scale.x0, scale.x1))
    return first if first == last else f"{first} to {last}"


def _thinned(points: list[Point]) -> list[Point]:
    if len(points) <= MAX_POINTS:
        return points
    size = math.ceil(len(points) / (MAX_POINTS // 2))
    buckets = [points[i : i + size] for i in range(0, len(points), size)]
    extremes = [{min(b, key=lambda p: p[1]), max(b, key=lambda p: p[1])} for b in buckets]
    return sorted(p for pair in extremes for p in pair)


def _path(points: list[Point], scale: _Scale) -> str:
    return " ".join(f"{scale.x(x):g},{scale.y(y):g}" for x, y in points)


def _describe(shown: list[tuple[str, list[Point]]], unit: str) -> str:
    """Say in words what the lines show, for those who do not see them."""
    return ". ".join(_describe_line(name, [value for _, value in points], unit) for name, points in shown)


def _describe_line(name: str, values: list[float], unit: str) -> str:
    first, last, low, high = (value_label(v) for v in (values[0], values[-1], min(values), max(values)))
    in_unit = f" {unit}" if unit else ""
    return f"{name}: from {first} to {last}, lowest {low}, highest {high}{in_unit}"
