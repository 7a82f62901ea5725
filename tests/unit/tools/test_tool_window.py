"""Which time tools look at when they are not told."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from worker.domain.incident import IncidentEvent, TimeWindow
from worker.errors import ToolInputError
from worker.settings import Settings
from worker.tools.sources.ports import Periods
from worker.tools.window import Compared, changes_window, choose_periods, incident_times, incident_window

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SETTINGS = Settings()


def span(start_min: float, end_min: float) -> TimeWindow:
    return TimeWindow(start=NOON + timedelta(minutes=start_min), end=NOON + timedelta(minutes=end_min))


def labels(name: str, window: TimeWindow) -> dict[str, str]:
    return {f"{name}_start": window.start.isoformat(), f"{name}_end": window.end.isoformat()}


class FakeSource:
    """A source with one row a minute in each of its spans."""

    def __init__(self, *covered: TimeWindow, rows_per_min: float = 1.0) -> None:
        self._covered = covered
        self._rows_per_min = rows_per_min

    def extent(self) -> TimeWindow | None:
        if not self._covered:
            return None
        return TimeWindow(start=min(c.start for c in self._covered), end=max(c.end for c in self._covered))

    def counts(self, window: TimeWindow | None, *, deadline: float) -> Mapping[str, int]:
        assert window is not None
        overlaps = [(min(c.end, window.end) - max(c.start, window.start)).total_seconds() for c in self._covered]
        rows = sum(max(s, 0) / 60 * self._rows_per_min for s in overlaps)
        return {"a": int(rows)} if rows >= 1 else {}


def periods(source: FakeSource, event: IncidentEvent, **arguments: object) -> Periods:
    times = incident_times(event, SETTINGS)
    asked = Compared.model_validate(arguments)
    return choose_periods(asked, times, source, window=times.window, deadline=time.monotonic() + 5)


def event(**fields: object) -> IncidentEvent:
    return IncidentEvent.model_validate({"title": "t", "started_at": NOON} | fields)


def test_the_window_lies_around_the_start() -> None:
    assert incident_window(event(), SETTINGS) == span(-60, 30)


def test_the_window_ends_with_the_incident() -> None:
    assert incident_window(event(ended_at=NOON + timedelta(minutes=7)), SETTINGS) == span(-60, 7)


def test_an_end_before_the_start_is_not_believed() -> None:
    assert incident_window(event(ended_at=NOON - timedelta(minutes=7)), SETTINGS) == span(-60, 30)


def test_labels_name_the_window() -> None:
    assert incident_window(event(labels=labels("window", span(-9, 16))), SETTINGS) == span(-9, 16)


@pytest.mark.parametrize(
    "bad",
    [
        {"window_start": "soon", "window_end": "later"},
        {"window_start": "2026-03-01T12:00:00Z"},
        {"window_start": "2026-03-01T12:00:00Z", "window_end": "2026-03-01T11:00:00Z"},
    ],
)
def test_labels_that_are_no_window_are_passed_over(bad: dict[str, str]) -> None:
    assert incident_window(event(labels=bad), SETTINGS) == span(-60, 30)


def test_without_a_reference_the_time_before_is_compared() -> None:
    found = periods(FakeSource(span(-60, 20)), event())

    assert found == Periods(span(0, 30), span(-60, -5))


def test_shortly_after_the_alert_some_minutes_before_it_are_part_of_the_incident() -> None:
    found = periods(FakeSource(span(-60, 1)), event())

    assert found == Periods(span(-4, 30), span(-60, -9))


def test_data_that_ends_before_the_alert_is_looked_at_to_its_end() -> None:
    assert periods(FakeSource(span(-60, -2)), event()).incident == span(-7, 30)


def test_what_little_is_known_from_before_stays_the_reference() -> None:
    assert periods(FakeSource(span(-3, 1)), event()) == Periods(span(0, 30), span(-3, 0))


def test_looking_back_leaves_half_of_the_time_before() -> None:
    assert periods(FakeSource(span(-6, -1)), event()) == Periods(span(-3, 30), span(-6, -3))


def test_a_short_time_before_is_used_without_a_gap() -> None:
    assert periods(FakeSource(span(-3, 20)), event()).reference == span(-3, 0)


def test_data_that_begins_with_the_incident_has_no_reference() -> None:
    assert periods(FakeSource(span(1, 20)), event()).reference is None


def test_a_source_that_cannot_say_from_when_gets_hours_before() -> None:
    assert periods(FakeSource(), event()) == Periods(span(0, 30), span(-360, -5))


def test_the_labelled_reference_is_preferred() -> None:
    known = span(-50, -30)

    assert periods(FakeSource(span(-60, 20)), event(labels=labels("reference", known))).reference == known


def test_a_labelled_reference_without_data_gives_way() -> None:
    known = labels("reference", span(300, 310))

    assert periods(FakeSource(span(-60, 20)), event(labels=known)).reference == span(-60, -5)


def test_a_labelled_reference_with_far_less_data_gives_way() -> None:
    known = labels("reference", span(-50, -49))

    assert periods(FakeSource(span(-60, 20)), event(labels=known)).reference == span(-60, -5)


def test_a_reference_inside_the_window_ends_the_incident() -> None:
    known = span(15, 25)

    assert periods(FakeSource(span(-1, 25)), event(labels=labels("reference", known))) == Periods(span(0, 15), known)


def test_a_reference_long_after_is_taken_when_there_is_nothing_before() -> None:
    known, window = span(10_000, 10_100), span(-9, 16)
    found = periods(FakeSource(window, known), event(labels=labels("reference", known) | labels("window", window)))

    assert found == Periods(window, known)


def test_a_call_may_name_both_periods() -> None:
    asked = {"start": "2026-03-01T12:05:00", "end": "2026-03-01T12:06:00Z"}
    asked |= {"reference_start": "2026-03-01T11:00:00Z", "reference_end": "2026-03-01T11:30:00Z"}

    assert periods(FakeSource(span(-60, 20)), event(), **asked) == Periods(span(5, 6), span(-60, -30))


@pytest.mark.parametrize(
    "asked",
    [
        {"start": "2026-03-01T12:05:00Z", "end": "2026-03-01T12:05:00Z"},
        {"reference_start": "2026-03-01T12:05:00Z"},
        {"reference_start": "2026-03-01T12:05:00Z", "reference_end": "2026-03-01T12:00:00Z"},
    ],
)
def test_periods_that_are_none_are_refused(asked: dict[str, str]) -> None:
    with pytest.raises(ToolInputError):
        periods(FakeSource(span(-60, 20)), event(), **asked)


def test_changes_are_looked_for_a_day_before() -> None:
    assert changes_window(incident_times(event(), SETTINGS), span(0, 10)) == span(-60 - 24 * 60, 10)
