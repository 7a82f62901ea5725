"""Charts scale honestly, and no data breaks them."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from example_reports import BEGAN, WINDOW, series
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.report import Evidence, Series
from worker.reporting.charts import HEIGHT, MAX_LINES, MAX_POINTS, WIDTH, Chart, draw_charts, value_label


def evidence(*lines: Series) -> Evidence:
    return Evidence(id="e1.1", tool="query_metrics", arguments={}, status="succeeded", excerpt="", series=lines)


def line(*values: float) -> Series:
    return Series(
        name="a", points=tuple(((BEGAN + timedelta(minutes=n)).isoformat(), value) for n, value in enumerate(values))
    )


def draw(*lines: Series) -> list[Chart]:
    return draw_charts(evidence(*lines), began_at=None)


def points(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in path.split())]


def test_values_go_up_and_time_goes_right() -> None:
    (chart,) = draw(line(1, 2, 3))

    path = points(chart.lines[0].path)
    assert [x for x, _ in path] == sorted(x for x, _ in path)
    assert [y for _, y in path] == sorted((y for _, y in path), reverse=True)


def test_the_scale_starts_at_zero_unless_values_stay_far_from_it() -> None:
    (rising,), (steady,) = draw(line(1, 10)), draw(line(990, 1000))

    assert rising.y_ticks[0].label == "0"
    assert steady.y_ticks[0].label != "0"


def test_ticks_are_round_and_times_are_utc() -> None:
    (chart,) = draw_charts(evidence(series("a", rise=900)), began_at=BEGAN)

    assert [t.label for t in chart.y_ticks] == ["0", "250", "500", "750", "1k"]
    assert chart.x_ticks[0].label == f"{WINDOW.start.astimezone(UTC):%H:%M}"
    assert chart.day == "2026-03-04"


def test_the_beginning_is_marked_only_inside_the_chart() -> None:
    inside = draw_charts(evidence(series("a", rise=1)), began_at=BEGAN)
    outside = draw_charts(evidence(series("a", rise=1)), began_at=BEGAN + timedelta(days=1))

    assert inside[0].left < (inside[0].began_x or 0) < inside[0].right
    assert outside[0].began_x is None


def test_each_unit_has_its_own_chart() -> None:
    charts = draw(series("a", rise=1), series("b", rise=1, unit="%"), series("c", rise=1))

    assert [(c.unit, len(c.lines)) for c in charts] == [("%", 1), ("ms", 2)]


def test_more_lines_than_can_be_told_apart_are_counted() -> None:
    (chart,) = draw(*(series(str(n), rise=n) for n in range(MAX_LINES + 3)))

    assert (len(chart.lines), chart.left_out) == (MAX_LINES, 3)


def test_thinning_keeps_the_extremes() -> None:
    values = [10.0] * 5000
    values[2345] = 90.0

    (chart,) = draw(line(*values))

    path = points(chart.lines[0].path)
    assert len(path) <= MAX_POINTS
    assert min(y for _, y in path) == points(draw(line(0, 90.0))[0].lines[0].path)[1][1]


@pytest.mark.parametrize("broken", [Series(name="a", points=()), Series(name="a", points=(("noon", 1.0), ("x", 2.0)))])
def test_what_cannot_be_read_is_not_drawn(broken: Series) -> None:
    assert draw(broken) == []


@pytest.mark.parametrize(
    ("value", "label"), [(0, "0"), (1500, "1.5k"), (2.5e6, "2.5M"), (-3e9, "-3G"), (0.125, "0.125"), (1e13, "10T")]
)
def test_large_values_are_shortened(value: float, label: str) -> None:
    assert value_label(value) == label


@given(st.lists(st.floats(), max_size=12), st.lists(st.datetimes(), min_size=12))
def test_no_numbers_break_the_drawing(values: list[float], times: list[datetime]) -> None:
    wild = Series(name="a", points=tuple((t.isoformat(), v) for t, v in zip(times, values, strict=False)))

    for chart in draw(wild):
        for x, y in points(chart.lines[0].path):
            assert math.isfinite(x)
            assert 0 <= x <= WIDTH
            assert 0 <= y <= HEIGHT
