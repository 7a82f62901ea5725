"""Rejected events: looked at, mended, put back on the stream, or dropped for good."""

import json
from dataclasses import dataclass
from typing import Any

from redis import Redis

from worker.errors import EventError, NotFoundError
from worker.intake.bridge import FIELD, Names
from worker.intake.events import parse_event

MOVE_BACK = """
if #redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1]) == 0 then return false end
local id = redis.call('XADD', KEYS[2], '*', unpack(ARGV, 2))
redis.call('XDEL', KEYS[1], ARGV[1])
return id
"""
"""Puts an event back and takes it off the rejected ones in one step: two operators cannot send it twice."""
BATCH = 500


@dataclass(frozen=True)
class Rejected:
    """A message that was no event: why, and what it held, secrets taken out. `id` is that among the rejected."""

    id: str
    reason: str
    message_id: str
    fields: dict[str, str]


def find_rejected(redis: Redis, names: Names, rejected_id: str) -> Rejected:
    """Return one rejected event. Raises `NotFoundError`."""
    if not _is_id(rejected_id):
        raise NotFoundError(f"{rejected_id!r} is no id of a rejected event; `rca events rejected` lists them")
    entries: Any = redis.xrange(names.rejected, rejected_id, rejected_id)
    if not entries:
        raise _unknown(rejected_id)
    return _read(*entries[0])


def all_rejected(redis: Redis, names: Names) -> list[Rejected]:
    """Return every rejected event, the oldest first."""
    found: list[Rejected] = []
    start = "-"
    while batch := _range(redis, names.rejected, start):
        found += batch
        start = f"({batch[-1].id}"
    return found


def put_back(redis: Redis, names: Names, rejected: Rejected, *, mended: bytes | None = None) -> str:
    """Move an event back to the stream, in its mended form where there is one; return the new message's id.

    Raises `EventError` for one that would be rejected again, `NotFoundError` if it is gone meanwhile.
    """
    event = mended if mended is not None else rejected.fields.get(FIELD, "").encode()
    if not event:
        raise EventError(f"it has no field {FIELD!r}: mend it with --file")
    parse_event(event)
    fields: dict[str, str | bytes] = {**rejected.fields, FIELD: event}
    flat = [part for pair in fields.items() for part in pair]
    moved: Any = redis.register_script(MOVE_BACK)(keys=[names.rejected, names.stream], args=[rejected.id, *flat])
    if moved is None:
        raise _unknown(rejected.id)
    return _text(moved)


def drop(redis: Redis, names: Names, rejected_id: str) -> None:
    """Delete a rejected event for good. Raises `NotFoundError`."""
    if not redis.xdel(names.rejected, find_rejected(redis, names, rejected_id).id):
        raise _unknown(rejected_id)


def _range(redis: Redis, key: str, start: str) -> list[Rejected]:
    entries: Any = redis.xrange(key, start, "+", count=BATCH)
    return [_read(*entry) for entry in entries]


def _read(entry_id: bytes, entry: dict[bytes, bytes]) -> Rejected:
    kept = {_text(name): _text(value) for name, value in entry.items()}
    fields: dict[str, str] = json.loads(kept.get("fields", "{}"))
    return Rejected(_text(entry_id), kept.get("reason", ""), kept.get("message_id", ""), fields)


def _is_id(text: str) -> bool:
    milliseconds, _, sequence = text.partition("-")
    return milliseconds.isdecimal() and sequence.isdecimal()


def _unknown(rejected_id: str) -> NotFoundError:
    return NotFoundError(f"there is no rejected event {rejected_id}; `rca events rejected` lists them")


def _text(value: bytes | str) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
