"""How changes of metrics are measured."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.tools.analysis.metric_changes import (
    APPEARED_SCORE,
    MAGNITUDE_FLOOR,
    find_onset,
    rank_changes,
    usual_spread,
)
from worker.tools.sources.ports import SeriesComparison, Spread


def flat(value: float, points: int = 60) -> Spread:
    return Spread(points, value, 0.0, value, value, value, value, value, value)


def around(value: float, spread: float, points: int = 60) -> Spread:
    """As of values spread evenly from `value - 2 * spread` to `value + 2 * spread`."""
    q = [value + spread * f for f in (-1.6, -1, 1, 1.6, -2, 2)]
    return Spread(points, value, spread, q[0], q[1], q[2], q[3], q[4], q[5])


def series(reference: Spread | None, incident: Spread | None, name: str = "m") -> SeriesComparison:
    return SeriesComparison("e", name, reference, incident)


def score_of(reference: Spread | None, incident: Spread | None) -> float:
    return rank_changes([series(reference, incident)])[0].score


def test_a_series_that_did_not_change_scores_nothing() -> None:
    assert score_of(around(5, 1), around(5, 1)) == 0


def test_a_large_rise_outranks_a_small_one() -> None:
    small, large = series(around(5, 1), around(7, 1), "small"), series(around(5, 1), around(20, 1), "large")

    assert [c.series.metric for c in rank_changes([small, large])] == ["large", "small"]


def test_the_same_rise_counts_less_in_a_noisy_series() -> None:
    assert score_of(around(100, 1), around(110, 1)) > 3 * score_of(around(100, 10), around(110, 10))


def test_a_constant_series_that_moves_a_little_does_not_explode() -> None:
    assert score_of(flat(512), flat(513)) < 0.5


def test_errors_out_of_nowhere_score_high_but_bounded() -> None:
    assert 10 < score_of(flat(0), flat(1e9, points=20)) <= 1 / MAGNITUDE_FLOOR


def test_zeros_in_both_periods_score_nothing() -> None:
    assert score_of(flat(0), flat(0)) == 0


def test_spikes_that_are_usual_are_no_change() -> None:
    spiky = Spread(60, 0.1, 0.01, 0.09, 0.09, 0.12, 9.0, 0.08, 9.0)
    incident = Spread(20, 0.1, 0.01, 0.09, 0.09, 2.0, 9.0, 0.08, 9.0)

    assert score_of(spiky, incident) < 1


def test_a_drop_points_down() -> None:
    (change,) = rank_changes([series(around(100, 1), around(50, 1))])

    assert not change.is_up
    assert change.deviation < 0
    assert change.kind == "level"


def test_a_lone_spike_is_a_peak_and_counts_less_than_a_level() -> None:
    spike = Spread(20, 5, 1, 3.4, 4, 6, 6.6, 3, 60)
    (peak,) = rank_changes([series(around(5, 1), spike)])

    assert peak.kind == "peak"
    assert 0 < peak.score < score_of(around(5, 1), around(58, 1, points=20))


def test_few_points_are_believed_less() -> None:
    assert score_of(around(5, 1, points=2), around(20, 1)) < 0.6 * score_of(around(5, 1, points=200), around(20, 1))


def test_a_series_that_is_only_in_the_incident_is_new() -> None:
    full = SeriesComparison("e", "full", flat(1), flat(1, points=20))
    changes = {c.series.metric: c for c in rank_changes([full, series(None, flat(3, points=20))])}

    assert changes["m"].kind == "new"
    assert 0 < changes["m"].score <= APPEARED_SCORE


def test_without_any_reference_nothing_is_new() -> None:
    assert score_of(None, flat(3)) == 0


def test_a_series_that_stops_is_missing() -> None:
    full = SeriesComparison("e", "full", flat(1), flat(1, points=20))
    changes = {c.series.metric: c for c in rank_changes([full, series(flat(3), None)])}

    assert (changes["m"].kind, changes["m"].score) == ("missing", APPEARED_SCORE)


def test_a_series_that_is_rarely_there_is_not_missed() -> None:
    full = SeriesComparison("e", "full", flat(1), flat(1, points=20))
    changes = {c.series.metric: c for c in rank_changes([full, series(flat(3, points=2), None)])}

    assert changes["m"].score == 0


number = st.floats(min_value=-1e9, max_value=1e9, allow_nan=False)


@st.composite
def spreads(draw: st.DrawFn) -> Spread:
    low, q10, q25, median, q75, q90, high = sorted(draw(st.lists(number, min_size=7, max_size=7)))
    mad = draw(st.floats(min_value=0, max_value=max(high - low, 0)))
    return Spread(draw(st.integers(1, 1000)), median, mad, q10, q25, q75, q90, low, high)


@given(reference=spreads(), incident=spreads())
def test_every_score_is_finite_and_bounded(reference: Spread, incident: Spread) -> None:
    score = score_of(reference, incident)

    assert 0 <= score <= 2 / MAGNITUDE_FLOOR + 1e-6


@given(reference=spreads(), incident=spreads(), factor=st.sampled_from([0.001, 2.0, 1000.0]))
def test_the_unit_of_a_metric_does_not_matter(reference: Spread, incident: Spread, factor: float) -> None:
    def scaled(s: Spread) -> Spread:
        return Spread(s.points, *(factor * v for v in (s.median, s.mad, s.q10, s.q25, s.q75, s.q90, s.low, s.high)))

    assert score_of(scaled(reference), scaled(incident)) == pytest.approx(score_of(reference, incident), rel=1e-6)


def test_the_usual_spread_of_a_normal_series_is_its_standard_deviation() -> None:
    normal = Spread(1000, 100, 6.745, 87.18, 93.255, 106.745, 112.82, 70, 130)

    assert usual_spread(normal, normal) == pytest.approx(10, rel=0.01)


def test_the_onset_is_the_first_of_two_points_beyond_half_the_way() -> None:
    (change,) = rank_changes([series(flat(1), flat(11, points=5))])
    points = [(0.0, 1.0), (60.0, 9.0), (120.0, 1.0), (180.0, 8.0), (240.0, 11.0), (300.0, 11.0)]

    assert find_onset(change, points) == 180


def test_a_last_point_beyond_is_an_onset() -> None:
    (change,) = rank_changes([series(flat(1), flat(11, points=1))])

    assert find_onset(change, [(0.0, 1.0), (60.0, 11.0)]) == 60


def test_no_points_have_no_onset() -> None:
    (change,) = rank_changes([series(flat(1), flat(11))])

    assert find_onset(change, []) is None


def test_the_onset_of_a_counter_is_that_of_its_rate() -> None:
    counter = SeriesComparison("e", "errors_total", flat(1), flat(10, points=5), is_rate=True)
    (change,) = rank_changes([counter])
    points = [(0.0, 0.0), (60.0, 60.0), (120.0, 120.0), (180.0, 720.0), (240.0, 1320.0)]

    assert find_onset(change, points) == 180
