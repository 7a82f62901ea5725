"""The door: bytes from anywhere become an IncidentEvent, or an EventError that says what would fit."""

import json
import math
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from worker.domain.incident import MAX_EVENT_BYTES, IncidentEvent
from worker.errors import EventError

MAX_DEPTH = 40
"""Levels of nesting: no alert comes near it, and what stores and shows events recurses."""

_SHOWN_NAME_CHARS = 60
_UNSTORABLE = {0x00: "\ufffd"} | dict.fromkeys(range(0xD800, 0xE000), "\ufffd")
"""NUL and halves of surrogate pairs: JSON can say them, PostgreSQL and UTF-8 cannot."""

_KEY = re.compile(r'("(?:api_)?key"\s{0,10}:\s{0,10})"(?:[^"\\]|\\.){0,20000}"?')
_HINTS = {
    "missing": "is required",
    "timezone_aware": "needs a time zone, as in 2026-01-31T12:00:00Z",
    "string_type": "has to be a string",
    "dict_type": "has to be an object",
    "tuple_type": "has to be a list",
}


@dataclass(frozen=True)
class Offer:
    """An event, the door it came by, and the name of its delivery where the event itself has no key."""

    event: IncidentEvent
    via: str
    delivery: str | None = None


def parse_event(payload: bytes | str) -> IncidentEvent:
    """Read one event. The messages of `EventError` name fields and what fits, never the values sent."""
    return read_event(parse_object(payload))


def without_keys(text: str) -> str:
    """Return an event's text without the key of a caller's account: for what is kept of one that cannot be taken in."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return _KEY.sub(r'\1"[redacted]"', text)
    llm = value.get("llm") if isinstance(value, dict) else None
    if not isinstance(llm, dict) or not {"key", "api_key"} & llm.keys():
        return text
    kept = {name: field for name, field in llm.items() if name not in {"key", "api_key"}}
    return json.dumps({**value, "llm": kept}, ensure_ascii=False)


def parse_object(payload: bytes | str) -> dict[str, Any]:
    """Read a JSON object whose every value can be stored; EventError otherwise."""
    size_bytes = len(payload if isinstance(payload, bytes) else payload.encode(errors="surrogatepass"))
    if size_bytes > MAX_EVENT_BYTES:
        raise EventError(f"the event has {size_bytes} bytes; at most {MAX_EVENT_BYTES} are accepted")
    try:
        value = json.loads(payload, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise EventError(f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise EventError(f"nested deeper than {MAX_DEPTH} levels") from None
    except ValueError:
        raise EventError("not JSON: it is not UTF-8, or holds a number of thousands of digits") from None
    if not isinstance(value, dict):
        raise EventError(f"an event is a JSON object, this is {_json_type(value)}")
    return make_storable(value)


def make_storable(fields: dict[str, Any]) -> dict[str, Any]:
    """Copy a JSON object without the characters no store takes; EventError where it cannot be mended."""
    copied: dict[str, Any] = _storable(fields, depth=0)
    return copied


def read_event(fields: dict[str, Any]) -> IncidentEvent:
    """Validate an event's fields; EventError names each that does not fit."""
    try:
        event = IncidentEvent.model_validate(fields)
    except ValidationError as error:
        raise EventError("; ".join(_explain(detail) for detail in error.errors())) from None
    if event.started_at and event.ended_at and event.ended_at < event.started_at:
        raise EventError("ended_at: lies before started_at")
    if any(_is_outside_storage(moment) for moment in (event.started_at, event.ended_at) if moment):
        raise EventError("started_at, ended_at: have to lie between the years 1970 and 9998")
    return event


def _is_outside_storage(moment: datetime) -> bool:
    """The last and first years overflow when a zone is subtracted or a window is added."""
    return not 1970 <= moment.year <= 9998  # noqa: PLR2004 - the years are the point


def _explain(detail: ErrorDetails) -> str:
    field = ".".join(str(part)[:_SHOWN_NAME_CHARS] for part in detail["loc"] if part != "[key]") or "event"
    if detail["type"] == "extra_forbidden":
        return f"{field}: is not a field of an event; there are {', '.join(IncidentEvent.model_fields)}"
    if detail["type"] == "value_error":
        return f"{field}: {detail['ctx']['error']}"
    said = detail["msg"][:1].lower() + detail["msg"][1:]
    return f"{field}: {_HINTS.get(detail['type'], said)}"


def _refuse_constant(name: str) -> NoReturn:
    raise EventError(f"not JSON: {name} is no number")


def _json_type(value: object) -> str:
    if value is None:
        return "null"
    return {list: "an array", str: "a string", bool: "a boolean"}.get(type(value), "a number")


def _storable(value: Any, *, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise EventError(f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, str):
        return value.translate(_UNSTORABLE)
    if isinstance(value, dict):
        return {key.translate(_UNSTORABLE): _storable(item, depth=depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_storable(item, depth=depth + 1) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise EventError("a number is too large")
    return value
