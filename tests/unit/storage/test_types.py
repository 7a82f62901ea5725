"""What columns do to what comes from outside: it can be stored, and a time comes back as the moment it was."""

import json
import math
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql, sqlite

from worker.storage.types import Prose, UtcDateTime, dump_json, storable

SQLITE, POSTGRESQL = sqlite.dialect(), postgresql.dialect()
NEARLY_A_DAY = timedelta(hours=23, minutes=59)
YEAR_1990, YEAR_2190 = datetime(1990, 1, 1), datetime(2190, 1, 1)  # noqa: DTZ001 - the zone is drawn beside them
any_text = st.text(st.characters(exclude_categories=()))
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=12,
)


@given(any_text)
def test_any_text_can_be_stored(text: str) -> None:
    stored = storable(text)

    assert stored.encode().decode() == stored
    assert "\x00" not in stored


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")))
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert storable(text) == text


@given(any_json)
def test_any_json_can_be_stored_and_read_back(value: object) -> None:
    stored = dump_json(value)

    stored.encode()
    json.loads(stored, parse_constant=pytest.fail)
    assert "\\u0000" not in stored


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_does_not_know_becomes_null(number: float) -> None:
    assert dump_json({"a": [number, 1.5]}) == '{"a": [null, 1.5]}'


def test_names_of_json_can_be_stored_too() -> None:
    assert dump_json({"a\x00b": 1, 2: "two"}) == '{"a\ufffdb": 1, "2": "two"}'


def test_prose_keeps_what_is_absent_absent() -> None:
    assert Prose().process_bind_param(None, SQLITE) is None
    assert Prose().process_bind_param("a\x00", POSTGRESQL) == "a\ufffd"


@given(st.datetimes(YEAR_1990, YEAR_2190, timezones=st.builds(timezone, st.timedeltas(-NEARLY_A_DAY, NEARLY_A_DAY))))
def test_a_moment_survives_the_zoneless_database(moment: datetime) -> None:
    column = UtcDateTime()

    stored = column.process_bind_param(moment, SQLITE)

    assert stored.tzinfo is None
    assert column.process_result_value(stored, SQLITE) == moment


def test_the_other_database_is_given_the_zone() -> None:
    moment = datetime(2026, 3, 1, 14, tzinfo=timezone(timedelta(hours=2)))

    assert UtcDateTime().process_bind_param(moment, POSTGRESQL).isoformat() == "2026-03-01T12:00:00+00:00"


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        UtcDateTime().process_bind_param(datetime(2026, 3, 1), SQLITE)  # noqa: DTZ001 - the point of the test


def test_no_moment_stays_none() -> None:
    assert UtcDateTime().process_bind_param(None, SQLITE) is None
    assert UtcDateTime().process_result_value(None, SQLITE) is None
