"""How templates of log lines are made and ranked."""

import duckdb
import pytest

from worker.tools.analysis.log_patterns import rank_patterns, rates_per_min
from worker.tools.sources.ports import PatternComparison, PatternCount
from worker.tools.sources.recorded_logs import mask_sql


def masked(message: str) -> str:
    with duckdb.cursor() as database:
        sql = "SELECT {} FROM (SELECT $1::VARCHAR AS m)".format(mask_sql("m"))  # noqa: S608 - an expression of our own
        row = database.execute(sql, [message]).fetchone()
    assert row is not None
    return str(row[0])


@pytest.mark.parametrize(
    ("message", "template"),
    [
        ("took 12.5 ms after 3 tries", "took <n> ms after <n> tries"),
        ("id 415d1665-fbb2-4ec9-83f5-5ebe51dc1825 gone", "id <uuid> gone"),
        ("connect 10.0.0.7:5432 refused", "connect <ip> refused"),
        ("at 0xdeadbeef", "at <hex>"),
        ("commit 3f2a9bc01d", "commit <hex>"),
        ("user \"ann\" said 'no'", "user <text> said <text>"),
        ("open /var/lib/data/x.db failed", "open <path> failed"),
        ("GET /api/cart", "GET /api/cart"),
        ('{"message": "boom", "code": 7}', '{"message": "boom", "code": <n>}'),
        ("facade decade", "facade decade"),
        ("token eyJhbGciOiJIUzI1NiJ9eyJzdWIiOiJmZHNlX21pY3Jvc2Vy ok", "token <token> ok"),
    ],
)
def test_what_varies_is_masked_and_words_stay(message: str, template: str) -> None:
    assert masked(message) == template


def pattern(name: str, count: int, reference_count: int, level: str | None = "info") -> PatternCount:
    return PatternCount(name, "e", level, count, reference_count, name, 0.0)


def test_a_pattern_at_its_usual_rate_scores_nothing() -> None:
    (change,) = rank_patterns(PatternComparison((pattern("a", 10, 60),), incident_s=600, reference_s=3600))

    assert change.score == pytest.approx(0, abs=0.01)


def test_a_new_error_outranks_new_information() -> None:
    patterns = (pattern("i", 20, 0), pattern("e", 20, 0, "ERROR"), pattern("usual", 10, 60))

    ranked = rank_patterns(PatternComparison(patterns, incident_s=600, reference_s=3600))

    assert [c.pattern.pattern for c in ranked] == ["e", "i", "usual"]


def test_a_pattern_that_stops_points_down() -> None:
    patterns = (pattern("gone", 0, 600), pattern("usual", 10, 60))

    first = rank_patterns(PatternComparison(patterns, incident_s=600, reference_s=3600))[0]

    assert (first.pattern.pattern, first.is_up) == ("gone", False)


def test_rates_are_compared_not_counts() -> None:
    (change,) = rank_patterns(PatternComparison((pattern("a", 30, 60),), incident_s=60, reference_s=3600))

    assert change.is_up
    assert change.expected == pytest.approx(1.0)


def test_a_short_reference_is_believed_less() -> None:
    long = rank_patterns(PatternComparison((pattern("a", 60, 600),), incident_s=60, reference_s=6000))[0]
    short = rank_patterns(PatternComparison((pattern("a", 60, 1),), incident_s=60, reference_s=10))[0]

    assert short.score < long.score


def test_without_a_reference_the_frequent_come_first() -> None:
    patterns = (pattern("rare", 1, 0), pattern("frequent", 100, 0))

    ranked = rank_patterns(PatternComparison(patterns, incident_s=60, reference_s=0))

    assert [c.pattern.pattern for c in ranked] == ["frequent", "rare"]
    assert ranked[0].expected is None


def test_a_rate_needs_time_that_is_covered() -> None:
    comparison = PatternComparison((pattern("a", 1, 120),), incident_s=0, reference_s=60)

    assert rates_per_min(rank_patterns(comparison)[0], comparison) == (None, 120.0)
