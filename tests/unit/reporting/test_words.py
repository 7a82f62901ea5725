"""Numbers, times and results as people read them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from example_reports import lowered_report, unverified_report, verified_report, whole_report
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.incident import TimeWindow
from worker.domain.report import Category, Confidence, UsageLine
from worker.domain.states import ReportVerdict
from worker.reporting import words

AT = datetime(2026, 3, 4, 23, 30, tzinfo=UTC)


def usage(cost_usd: float | None) -> UsageLine:
    return UsageLine(
        purpose="rca",
        model="p/m",
        calls=1,
        input_tokens=None,
        cached_input_tokens=None,
        output_tokens=None,
        cost_usd=cost_usd,
    )


def test_every_verdict_and_confidence_has_words() -> None:
    assert set(words.VERDICT_TITLES) == set(words.VERDICT_MEANINGS) == set(ReportVerdict)
    assert set(words.CONFIDENCE_WORDS) == set(Confidence)


def test_every_category_has_words_without_underscores() -> None:
    cause = whole_report().root_causes[0]

    for category in Category:
        shown = words.category_words(cause.model_copy(update={"category": category, "category_detail": None}))
        assert "_" not in shown


def test_times_are_shown_in_utc() -> None:
    assert words.utc(AT.astimezone(timezone(timedelta(hours=5)))) == "2026-03-04 23:30:00 UTC"


def test_a_span_over_midnight_names_both_days() -> None:
    window = TimeWindow(start=AT, end=AT + timedelta(hours=1))

    assert words.span(window) == "2026-03-04 23:30:00 to 2026-03-05 00:30:00 UTC"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, "unknown"), (float("nan"), "unknown"), (2.34, "2.3 s"), (184.2, "3 min 4 s"), (7321, "2 h 2 min")],
)
def test_durations_are_read_at_a_glance(seconds: float | None, shown: str) -> None:
    assert words.duration(seconds) == shown


@pytest.mark.parametrize(
    ("costs", "shown"),
    [
        ((), "$0.00"),
        ((0.0,), "$0.00"),
        ((1.5, 1000.0), "$1,001.50"),
        ((0.0123,), "$0.0123"),
        ((0.5, None), "at least $0.5000; some prices unknown"),
        ((None,), "price unknown"),
    ],
)
def test_an_unknown_price_is_never_shown_as_nothing(costs: tuple[float | None, ...], shown: str) -> None:
    assert words.total_cost(tuple(map(usage, costs))) == shown


def test_only_a_lowered_report_says_that_it_was() -> None:
    assert words.lowered_line(whole_report()) is None
    assert "1 claim did not hold" in (words.lowered_line(lowered_report()) or "")


def test_only_causes_without_a_word_of_the_verify_pass_are_named() -> None:
    assert words.unanswered_line(verified_report()) == "No word on claimed cause 3"
    assert words.unanswered_line(unverified_report("no answer")) is None
    assert words.unanswered_line(whole_report()) is None


def test_a_result_in_json_is_laid_out_row_by_row() -> None:
    assert words.spread('{"query": "q", "row_count": 2, "rows": [{"a": 1}, {"a": "é"}], "ids": [1, 2]}') == (
        'query: q\nrow_count: 2\nrows:\n  {"a": 1}\n  {"a": "é"}\nids: [1, 2]'
    )


@pytest.mark.parametrize("text", ["plain", '{"cut": ', "[1, 2]", "", "12", "[" * 100_000])
def test_any_other_result_stays_as_it_is(text: str) -> None:
    assert words.spread(text) == text


@given(st.text(max_size=50))
def test_no_result_breaks_the_layout(text: str) -> None:
    assert isinstance(words.spread(text), str)
