"""An event is accepted, or refused with the field and what would fit; nothing else can happen."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.incident import MAX_EVENT_BYTES, IncidentEvent, Severity
from worker.errors import EventError
from worker.intake.events import MAX_DEPTH, parse_event

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
json_values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)
fields = st.dictionaries(st.sampled_from(sorted(IncidentEvent.model_fields)), json_values)


def refusal(payload: bytes | str) -> str:
    with pytest.raises(EventError) as refused:
        parse_event(payload)
    return str(refused.value)


def test_a_title_is_enough() -> None:
    event = parse_event('{"title": "checkout is slow"}')

    assert event.title == "checkout is slow"
    assert event.severity is Severity.MEDIUM
    assert event.started_at is None


def test_bytes_and_text_are_read_alike() -> None:
    text = '{"title": "затримка", "started_at": "2026-01-31T12:00:00+02:00"}'

    assert parse_event(text) == parse_event(text.encode())
    assert parse_event(text).started_at == datetime(2026, 1, 31, 10, tzinfo=UTC)


@pytest.mark.parametrize("payload", ["", "{", "nonsense", '{"title": NaN}', b"\xff\xfe{", b"\x80"])
def test_what_is_not_json_is_called_that(payload: bytes | str) -> None:
    assert refusal(payload).startswith("not JSON")


@pytest.mark.parametrize(
    ("payload", "said"), [("[]", "an array"), ("null", "null"), ('"x"', "a string"), ("1", "a number")]
)
def test_what_is_no_object_is_named(payload: str, said: str) -> None:
    assert refusal(payload) == f"an event is a JSON object, this is {said}"


def test_a_missing_title_is_named() -> None:
    assert refusal("{}") == "title: is required"


def test_a_blank_title_is_refused() -> None:
    assert refusal('{"title": "  "}').startswith("title: ")


def test_an_unknown_field_is_named_with_those_there_are() -> None:
    message = refusal('{"title": "x", "sevrity": "high"}')

    assert message.startswith("sevrity: is not a field of an event")
    assert "severity" in message


def test_a_time_without_a_zone_is_told_what_to_add() -> None:
    assert "started_at: needs a time zone" in refusal('{"title": "x", "started_at": "2026-01-31T12:00:00"}')


def test_an_end_before_the_start_is_refused() -> None:
    times = {"started_at": "2026-01-31T12:00:00Z", "ended_at": "2026-01-31T11:00:00Z"}

    assert refusal(json.dumps({"title": "x", **times})) == "ended_at: lies before started_at"


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+10:00", "9999-12-31T23:59:59-10:00"])
def test_a_time_at_the_edge_of_the_calendar_is_refused(moment: str) -> None:
    assert "1970" in refusal(json.dumps({"title": "x", "started_at": moment}))


def test_an_unknown_severity_is_told_the_words() -> None:
    assert "'critical', 'high'" in refusal('{"title": "x", "severity": "awful"}')


def test_every_bad_field_is_named_at_once() -> None:
    message = refusal('{"severity": "awful", "labels": []}')

    assert all(name in message for name in ("title:", "severity:", "labels:"))


def test_a_message_holds_no_value_that_was_sent() -> None:
    secret = "sk-live-0123456789abcdef"
    event = {"title": "", "severity": secret, "started_at": secret, "labels": {"a": [secret]}, "llm": secret}
    event |= {"user_path": f"/../{secret}", "local_only": secret, "links": secret, "raw": [secret]}

    assert secret not in refusal(json.dumps(event))
    assert secret not in refusal(secret)


def test_an_event_over_the_limit_is_refused_before_it_is_parsed() -> None:
    assert str(MAX_EVENT_BYTES) in refusal("[" * (MAX_EVENT_BYTES + 1))


def test_the_limit_counts_bytes_not_characters() -> None:
    assert "bytes" in refusal(json.dumps({"title": "ж" * (MAX_EVENT_BYTES // 2)}, ensure_ascii=False))


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 900, 200_000])
def test_deep_nesting_is_refused(depth: int) -> None:
    assert "nested" in refusal('{"title": "x", "raw": {"a": ' + "[" * depth + "]" * depth + "}}")


def test_a_number_beyond_floats_is_refused() -> None:
    assert refusal('{"title": "x", "raw": {"a": 1e999}}') == "a number is too large"


def test_characters_no_database_takes_are_replaced_not_lost() -> None:
    event = parse_event('{"title": "a\\u0000b", "raw": {"\\ud800": "c\\udfff"}}')

    assert event.title == "a\ufffdb"
    assert event.raw == {"\ufffd": "c\ufffd"}


def test_an_astral_character_stays_whole() -> None:
    assert parse_event('{"title": "\\ud83d\\udd25 fire"}').title == "🔥 fire"


def test_what_was_accepted_is_accepted_again_unchanged() -> None:
    event = parse_event('{"title": "x", "started_at": 1760000000, "labels": {"team": "a"}, "links": ["http://a"]}')

    assert parse_event(event.model_dump_json()) == event


@given(st.binary() | st.text())
def test_any_bytes_are_an_event_or_an_event_error(payload: bytes | str) -> None:
    accept_or_refuse(payload)


@given(json_values)
def test_any_json_is_an_event_or_an_event_error(value: object) -> None:
    accept_or_refuse(json.dumps(value))


@given(fields, st.text(min_size=1))
def test_any_fields_are_an_event_or_an_event_error(event: dict[str, object], title: str) -> None:
    accept_or_refuse(json.dumps({**event, "title": title}))


def accept_or_refuse(payload: bytes | str) -> None:
    """Whatever is accepted can be written as UTF-8 JSON without NUL and read back."""
    try:
        event = parse_event(payload)
    except EventError:
        return
    stored = event.model_dump_json()
    assert "\\u0000" not in stored.replace("\\\\", "")
    assert parse_event(stored.encode()) == event
