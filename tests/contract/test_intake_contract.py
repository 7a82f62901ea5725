"""What every intake parser promises, whichever system sent the alert. A new parser is one more entry here."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worker.domain.incident import IncidentEvent
from worker.errors import EventError
from worker.intake.alertmanager import parse_alertmanager
from worker.intake.events import parse_event
from worker.intake.fingerprint import fingerprint

SECRET = "sk-live-0123456789abcdef"


@dataclass(frozen=True)
class Parser:
    name: str
    parse: Callable[[dict[str, Any]], list[IncidentEvent]]
    example: dict[str, Any]

    def __str__(self) -> str:
        return self.name


def _alert(name: str, status: str = "firing") -> dict[str, Any]:
    return {
        "status": status,
        "labels": {"alertname": name, "service": "checkout", "severity": "critical"},
        "annotations": {"summary": f"{name} at 93%"},
        "startsAt": "2026-01-31T12:00:00Z",
        "endsAt": "2026-01-31T12:30:00Z",
        "generatorURL": "http://prometheus/graph",
        "fingerprint": f"{name}-fingerprint",
    }


PARSERS = (
    Parser(
        "events",
        lambda payload: [parse_event(json.dumps(payload))],
        {
            "title": "disk at 93%",
            "severity": "high",
            "service": "checkout",
            "started_at": "2026-01-31T12:00:00Z",
            "labels": {"team": "shop"},
            "links": ["http://dashboard"],
            "raw": {"value": 93},
            "idempotency_key": "alert-1",
        },
    ),
    Parser(
        "alertmanager",
        parse_alertmanager,
        {"version": "4", "receiver": "rca", "alerts": [_alert("Disk"), _alert("Memory"), _alert("Disk", "resolved")]},
    ),
)


@pytest.fixture(params=PARSERS, ids=str)
def parser(request: pytest.FixtureRequest) -> Parser:
    chosen: Parser = request.param
    return chosen


def test_the_example_is_read(parser: Parser) -> None:
    events = parser.parse(parser.example)

    assert events
    assert all(event.title and event.service == "checkout" and event.source for event in events)


def test_reading_twice_gives_the_same(parser: Parser) -> None:
    assert parser.parse(parser.example) == parser.parse(parser.example)


def test_the_payload_is_not_changed(parser: Parser) -> None:
    before = json.dumps(parser.example)

    parser.parse(parser.example)

    assert json.dumps(parser.example) == before


def test_each_event_of_a_payload_has_its_own_key(parser: Parser) -> None:
    keys = [event.idempotency_key for event in parser.parse(parser.example)]

    assert all(keys)
    assert len(set(keys)) == len(keys)


def test_an_event_survives_the_wire(parser: Parser) -> None:
    for event in parser.parse(parser.example):
        assert parse_event(event.model_dump_json()) == event


def test_a_second_telling_has_the_same_fingerprint(parser: Parser) -> None:
    louder = json.loads(json.dumps(parser.example).replace("93", "97"))

    first, second = parser.parse(parser.example), parser.parse(louder)

    assert [fingerprint(event) for event in first] == [fingerprint(event) for event in second]


def test_times_carry_a_zone_and_are_in_order(parser: Parser) -> None:
    for event in parser.parse(parser.example):
        assert event.started_at is not None
        assert event.started_at.tzinfo is not None
        assert event.ended_at is None or event.ended_at >= event.started_at


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_one_spoiled_place_is_an_event_or_an_event_error(parser: Parser, data: st.DataObject) -> None:
    payload = json.loads(json.dumps(parser.example))
    holder, key = data.draw(st.sampled_from(list(_places(payload))))
    holder[key] = data.draw(_JSON)

    try:
        events = parser.parse(payload)
    except EventError:
        return
    for event in events:
        assert parse_event(event.model_dump_json()) == event


def test_an_error_never_repeats_what_was_sent(parser: Parser) -> None:
    for place in range(len(list(_places(parser.example)))):
        payload = json.loads(json.dumps(parser.example))
        holder, key = list(_places(payload))[place]
        holder[key] = {SECRET: [SECRET]} if isinstance(holder[key], str | int) else SECRET
        assert SECRET not in refusal_of(parser, payload)


def refusal_of(parser: Parser, payload: dict[str, Any]) -> str:
    try:
        parser.parse(payload)
    except EventError as refused:
        return str(refused)
    return ""


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) of a JSON value, so that a test can spoil each in turn."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in list(children):
        yield value, key
        yield from _places(child)
