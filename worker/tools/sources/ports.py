"""What can be asked about a system: five ports, whoever stores the data behind them.

An adapter answers from Prometheus, Loki, Tempo, a code host or a recorded case. Whatever needs every raw point
(medians, rates, joins of spans) is computed by the adapter, where the data is; a port returns small rows.
Times are seconds since the epoch. `deadline` is a `time.monotonic()` value. All methods raise `ToolFailedError`
with the upstream's own words when the source cannot answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from worker.domain.incident import TimeWindow


@dataclass(frozen=True, slots=True)
class Periods:
    """What is compared with what: the incident, and a stretch believed to be free of it (None: unknown)."""

    incident: TimeWindow
    reference: TimeWindow | None


@dataclass(frozen=True, slots=True)
class MetricSelection:
    """Which series: `entity` exactly, `metric` as a part of the name without regard to case, None for all."""

    entity: str | None = None
    metric: str | None = None
    keys: Sequence[tuple[str, str]] | None = None
    """Exactly these (entity, metric) pairs; the other two fields are then not looked at."""


@dataclass(frozen=True, slots=True)
class MetricSeries:
    entity: str
    metric: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class SeriesPage:
    """Some of the series that match, and how many do."""

    series: tuple[MetricSeries, ...]
    total: int


@dataclass(frozen=True, slots=True)
class Spread:
    """How the values of one series lie in one period; `points` is at least 1."""

    points: int
    median: float
    mad: float
    q10: float
    q25: float
    q75: float
    q90: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class SeriesComparison:
    """One series in both periods; None where it has no points. `is_rate`: a counter, taken as its rise per second."""

    entity: str
    metric: str
    reference: Spread | None
    incident: Spread | None
    is_rate: bool = False


@dataclass(frozen=True, slots=True)
class LogSelection:
    """Which lines: `text` is a part of the message, or a regular expression; without regard to case."""

    text: str | None = None
    is_regex: bool = False
    entity: str | None = None
    level: str | None = None


@dataclass(frozen=True, slots=True)
class LogLine:
    ts: float
    entity: str | None
    level: str | None
    message: str
    trace_id: str | None


@dataclass(frozen=True, slots=True)
class LogPage:
    lines: tuple[LogLine, ...]
    total: int


@dataclass(frozen=True, slots=True)
class PatternCount:
    """One template of messages of one entity and level, counted in both periods."""

    pattern: str
    entity: str | None
    level: str | None
    count: int
    reference_count: int
    example: str
    first_seen: float
    """In the incident, or in the reference where it is not seen in the incident."""


@dataclass(frozen=True, slots=True)
class PatternComparison:
    """All templates, and how many seconds of each period the source covers."""

    patterns: tuple[PatternCount, ...]
    incident_s: float
    reference_s: float


@dataclass(frozen=True, slots=True)
class TraceSelection:
    entity: str | None = None
    operation: str | None = None
    min_duration_ms: float | None = None
    status: str | None = None


@dataclass(frozen=True, slots=True)
class TraceSummary:
    trace_id: str
    root_entity: str | None
    root_operation: str | None
    start: float
    duration_ms: float
    spans: int
    error_spans: int
    slowest_entity: str | None
    slowest_self_ms: float


@dataclass(frozen=True, slots=True)
class TracePage:
    traces: tuple[TraceSummary, ...]
    total: int


@dataclass(frozen=True, slots=True)
class Latency:
    """Durations of one kind of span in one period, in milliseconds; `self` is without the time of children."""

    calls: int
    p50_ms: float
    p95_ms: float
    self_p50_ms: float
    self_p95_ms: float
    error_rate: float


@dataclass(frozen=True, slots=True)
class EdgeComparison:
    """One operation of `callee` as called by `caller` (None: from outside), in both periods."""

    caller: str | None
    callee: str
    operation: str
    incident: Latency | None
    reference: Latency | None


@dataclass(frozen=True, slots=True)
class LatencyComparison:
    edges: tuple[EdgeComparison, ...]
    root_p50_ms: float
    """What a whole request takes in the reference (in the incident if there is none): the measure of small."""


@dataclass(frozen=True, slots=True)
class Change:
    id: str
    ts: float
    entity: str | None
    kind: str
    author: str | None
    title: str
    diff: str | None


@dataclass(frozen=True, slots=True)
class Topology:
    """Who calls whom."""

    nodes: tuple[str, ...]
    edges: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """One call that was recorded with its answer."""

    tool: str
    arguments: Mapping[str, Any]
    output: str


class TimedSource(Protocol):
    """What holds for each source whose rows have a time and an entity."""

    def extent(self) -> TimeWindow | None:
        """From when to when there is data; None when the source cannot say or has none."""
        ...

    def counts(self, window: TimeWindow | None, *, deadline: float) -> Mapping[str, int]:
        """Entity to its number of rows; None: at any time."""
        ...


class MetricsSource(TimedSource, Protocol):
    def series(
        self, selection: MetricSelection, window: TimeWindow, *, step_s: float, limit: int, deadline: float
    ) -> SeriesPage:
        """Return up to `limit` series, each point the mean of one step at the time of its first sample."""
        ...

    def compare(
        self, selection: MetricSelection, periods: Periods, *, deadline: float
    ) -> tuple[SeriesComparison, ...]: ...


class LogsSource(TimedSource, Protocol):
    def lines(self, selection: LogSelection, window: TimeWindow, *, limit: int, deadline: float) -> LogPage:
        """Return the first `limit` lines that match."""
        ...

    def patterns(self, selection: LogSelection, periods: Periods, *, deadline: float) -> PatternComparison: ...


class TracesSource(TimedSource, Protocol):
    def traces(self, selection: TraceSelection, window: TimeWindow, *, limit: int, deadline: float) -> TracePage:
        """Return the `limit` slowest traces that match."""
        ...

    def compare(self, periods: Periods, *, deadline: float) -> LatencyComparison: ...

    def edges(self, *, deadline: float) -> Topology: ...


class ChangesSource(Protocol):
    def changes(self, window: TimeWindow, *, deadline: float) -> tuple[Change, ...]:
        """Return what changed in the window, newest first."""
        ...


class TopologySource(Protocol):
    def topology(self, *, deadline: float) -> Topology: ...
