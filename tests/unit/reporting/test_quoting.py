"""Quotes as people see them."""

import json

from hypothesis import given
from hypothesis import strategies as st

from worker.reporting.quoting import readable


def test_a_row_of_a_result_is_shown_as_names_with_values() -> None:
    row = {"entity": "cart", "metric": "latency_ms", "incident_median": 52.6, "diff": None, "onset": "12:00:00Z"}

    assert readable(json.dumps(row)) == "entity cart · metric latency_ms · incident_median 52.6 · onset 12:00:00Z"


def test_words_stay_as_they_are() -> None:
    assert readable("connection refused by cart") == "connection refused by cart"


def test_numbers_lists_and_half_a_row_stay_as_they_are() -> None:
    for quote in ("42", "[1, 2]", '{"entity": "cart', "{}", '"cart"'):
        assert readable(quote) == quote


@given(st.text())
def test_any_quote_has_a_look(quote: str) -> None:
    assert isinstance(readable(quote), str)


@given(st.dictionaries(st.text(min_size=1), st.text(min_size=1), min_size=1))
def test_no_value_is_left_out(row: dict[str, str]) -> None:
    shown = readable(json.dumps(row))

    assert all(name in shown and value in shown for name, value in row.items())
