"""Which time an incident is about, and which time to compare it with."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pydantic import Field

from worker.domain.incident import IncidentEvent, TimeWindow
from worker.errors import ToolInputError
from worker.settings import Settings
from worker.tools.sources.ports import Periods, TimedSource
from worker.tools.typed import Time, Windowed

LEAST_INCIDENT = timedelta(minutes=5)
"""Alerts fire after something has lasted, usually up to this long: at least so much data is looked at."""

GUARD = timedelta(minutes=5)
"""Left out between the reference and the incident, for what began before the alert."""

BY_FAR = 4
"""So many times more data make the time before the incident the better reference."""

LONGEST_REFERENCE = timedelta(hours=6)


@dataclass(frozen=True)
class IncidentTimes:
    """When an incident was, as far as its event says.

    `onset` is when it began inside the window, None where the window itself is all of the incident. `reference` is
    a stretch known to be free of it.
    """

    window: TimeWindow
    onset: datetime | None = None
    reference: TimeWindow | None = None


def incident_window(event: IncidentEvent, settings: Settings) -> TimeWindow:
    """Return the time an investigation looks at: as the labels say, else around the start of the incident."""
    return incident_times(event, settings).window


def incident_times(event: IncidentEvent, settings: Settings) -> IncidentTimes:
    reference = _labelled(event, "reference")
    if given := _labelled(event, "window"):
        return IncidentTimes(given, reference=reference)
    onset = (event.started_at or datetime.now(UTC)).astimezone(UTC)
    end = onset + timedelta(seconds=settings.rca_window_after_s)
    if event.ended_at and event.ended_at > onset:
        end = event.ended_at.astimezone(UTC)
    window = TimeWindow(start=onset - timedelta(seconds=settings.rca_window_before_s), end=end)
    return IncidentTimes(window, onset=onset, reference=reference)


def _labelled(event: IncidentEvent, name: str) -> TimeWindow | None:
    """Return the window two labels name; None where they are absent or no times in order."""
    try:
        start, end = (datetime.fromisoformat(event.labels[f"{name}_{side}"]) for side in ("start", "end"))
    except (KeyError, ValueError):
        return None
    start, end = (t.replace(tzinfo=UTC) if t.tzinfo is None else t.astimezone(UTC) for t in (start, end))
    return TimeWindow(start=start, end=end) if start < end else None


class Compared(Windowed):
    """Arguments of a tool that compares the incident with a reference."""

    reference_start: Time | None = Field(default=None, description="UTC; default: a stretch without the incident")
    reference_end: Time | None = Field(default=None, description="UTC; given together with reference_start")

    def reference(self) -> TimeWindow | None:
        if self.reference_start is None and self.reference_end is None:
            return None
        if self.reference_start is None or self.reference_end is None:
            raise ToolInputError("reference_start and reference_end are given together or not at all")
        if self.reference_start >= self.reference_end:
            raise ToolInputError("reference_start is not before reference_end; all times are UTC")
        return TimeWindow(start=self.reference_start, end=self.reference_end)


def choose_periods(
    arguments: Compared, times: IncidentTimes, source: TimedSource, *, window: TimeWindow, deadline: float
) -> Periods:
    """Return what a call compares: what it asks for, else what the incident and the source's data suggest."""
    extent = source.extent()
    default = _incident(times, window, extent)
    incident = arguments.window(default)
    if asked := arguments.reference():
        return Periods(incident, asked)
    earlier, known = _earlier(incident, extent), times.reference
    if known is None or not _suffices(known, earlier, source, deadline):
        return Periods(incident, earlier)
    is_default = arguments.start is None and arguments.end is None
    return Periods(_before(incident, known) if is_default else incident, known)


def _suffices(known: TimeWindow, earlier: TimeWindow | None, source: TimedSource, deadline: float) -> bool:
    """Say whether a source has data of the known reference, and not by far more of the time before the incident.

    A minute that is known to be good says enough about traces and nothing about a metric sampled once a minute.
    """
    rows = sum(source.counts(known, deadline=deadline).values())
    before = sum(source.counts(earlier, deadline=deadline).values()) if earlier else 0
    return rows > 0 and before < BY_FAR * rows


def _incident(times: IncidentTimes, window: TimeWindow, extent: TimeWindow | None) -> TimeWindow:
    """Return the part of the window from the onset on, and some time before it if little was seen since."""
    if times.onset is None or not window.contains(times.onset):
        return window
    if extent is None:
        return TimeWindow(start=times.onset, end=window.end)
    start = min(times.onset, min(window.end, extent.end) - LEAST_INCIDENT)
    before = times.onset - extent.start
    if extent.end > times.onset and before < 2 * LEAST_INCIDENT:
        start = times.onset  # too little is known from before to give some of it away
    elif before > timedelta(0):
        start = max(start, extent.start + before / 2)
    return TimeWindow(start=max(start, window.start), end=window.end)


def _before(incident: TimeWindow, reference: TimeWindow) -> TimeWindow:
    """Return the incident up to a reference that lies behind its start: that part is known to be free of it."""
    if incident.start < reference.start < incident.end:
        return TimeWindow(start=incident.start, end=reference.start)
    return incident


def _earlier(incident: TimeWindow, extent: TimeWindow | None) -> TimeWindow | None:
    """Return the time before the incident, None where the source has no data of it."""
    first = incident.start - LONGEST_REFERENCE
    start = max(first, extent.start) if extent else first
    if start >= incident.start:
        return None
    is_long = incident.start - start > 2 * GUARD
    return TimeWindow(start=start, end=incident.start - GUARD if is_long else incident.start)


CHANGES_BEFORE = timedelta(hours=24)
"""Changes come before their effects, some by hours."""


def changes_window(times: IncidentTimes, window: TimeWindow) -> TimeWindow:
    """Return the window in which to look for changes: it begins well before that of the incident."""
    start = min(times.window.start, window.start) - CHANGES_BEFORE
    return TimeWindow(start=start, end=window.end)
