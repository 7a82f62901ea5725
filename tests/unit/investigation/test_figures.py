"""Figures that a sentence states, and whether the evidence holds them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.investigation.figures import FiguresRead, figures_in


def unread(sentence: str, text: str) -> list[str]:
    read = FiguresRead(text)
    return [figure.written for figure in figures_in(sentence) if not read.hold(figure)]


@pytest.mark.parametrize(
    "sentence",
    [
        "began at 2026-03-04T10:20:00Z, at 10:20:31 or 2026-03-04",
        "version 2.14.0, v3.1.4-rc2, image 10.0.3.17:8080",
        "commit 9f3c2ab77 on node-31, port :5432, ticket #4711, path /v1/orders/9912",
        "p99 and p95, http2, 3 of 4 pods, one",
        "7.9 times slower, 8x, 3-fold, for 45 minutes, 26 hours, 30 days",
    ],
)
def test_what_is_no_measured_figure_is_left_alone(sentence: str) -> None:
    assert figures_in(sentence) == []


def test_a_name_is_no_figure() -> None:
    assert figures_in("shard 77 of cart 12 failed", names=("shard 77", "cart 12")) == []


@pytest.mark.parametrize(
    ("sentence", "text"),
    [
        ("945 ms", '{"p99_ms": 945.2}'),
        ("9.2 s", '{"p99_ms": 9187.4}'),
        ("0.945 s", "945 ms"),
        ("945 ms", '{"seconds": 0.94512}'),
        ("12 %", '{"share": 0.1234}'),
        ("12.3 percent", '{"share": 0.1234}'),
        ("1,250 requests", '{"requests": 1250}'),
        ("1250 requests", "1,250 requests"),
        ("512 MiB", '{"limit_bytes": 536870912}'),
        ("1.5 GB", '{"rss": 1512345678}'),
        ("12k calls", '{"calls": 12345}'),
        ("4.2e3 calls", "4200.5"),
        ("25 of 30 connections", '{"used":25,"max":30}'),
        ("200 errors", "[100,200]"),
    ],
)
def test_a_figure_is_read_in_its_own_unit_or_a_neighbouring_one(sentence: str, text: str) -> None:
    assert figures_in(sentence)
    assert unread(sentence, text) == []


@pytest.mark.parametrize(
    ("sentence", "text"),
    [
        ("945 ms", "954 ms"),
        ("9.3 s", '{"p99_ms": 9187.4}'),
        ("47 %", '{"share": 0.1234}'),
        ("11 errors", "12 errors"),
        ("512 MiB", '{"limit_bytes": 268435456}'),
        ("31 pods", "began at 2026-03-31T10:31:00Z"),
        ("47 %", ""),
    ],
)
def test_another_figure_is_not_it(sentence: str, text: str) -> None:
    assert unread(sentence, text) != []


@given(st.floats(min_value=0.01, max_value=1e12), st.integers(0, 4))
def test_what_was_rounded_to_any_place_is_still_read(value: float, places: int) -> None:
    assert unread(f"took {value:.{places}f} units", f'{{"value": {value!r}}}') == []


@given(st.integers(10, 10**9), st.integers(10, 10**9))
def test_two_whole_numbers_are_the_same_only_if_they_are(one: int, other: int) -> None:
    assert bool(unread(f"{one} errors", f"{other} errors")) is (one != other)


@given(st.text(max_size=200), st.text(max_size=200))
def test_no_text_is_too_odd(sentence: str, text: str) -> None:
    unread(sentence, text)


def test_a_number_on_the_border_of_two_pieces_is_read_whole() -> None:
    for shift in range(12):
        assert unread("1234567 errors", " " * (200_000 - shift) + "1234567 errors") == []
