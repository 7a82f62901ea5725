"""What the conversation says: the incident, the tools on offer, and every result so far, parts of it included."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from worker.domain.conversation import AssistantMessage, JsonObject, ModelRequest, ToolMessage, UserMessage
from worker.domain.incident import IncidentEvent, TimeWindow
from worker.investigation.fence import unfence

_EVIDENCE_LINE = "evidence_id:"
_MAX_QUOTE_CHARS = 400
_LEFT_OUT = re.compile(r"\[… \d+ of \d+ (?:characters|lines) left out")


@dataclass(frozen=True)
class Incident:
    event: IncidentEvent
    window: TimeWindow

    @property
    def started_at(self) -> datetime:
        return self.event.started_at or self.window.start

    @property
    def words(self) -> str:
        """All the words of the alert, for what it mentions."""
        labels = " ".join(f"{k} {v}" for k, v in self.event.labels.items())
        return f"{self.event.title} {self.event.description} {labels}".lower()


@dataclass(frozen=True)
class Row:
    """One row of a result, with the very text it was read from."""

    values: JsonObject
    raw: str

    def quote(self) -> str:
        """Return the beginning of the row as it stands in the result, cut between two fields."""
        if len(self.raw) <= _MAX_QUOTE_CHARS:
            return self.raw
        head = self.raw[:_MAX_QUOTE_CHARS]
        return head[: head.rfind(",")] if "," in head else head


@dataclass(frozen=True)
class Result:
    """One tool result. `text` is what the tool said, perhaps shortened in its middle."""

    evidence_id: str
    tool: str
    arguments: JsonObject
    text: str
    is_error: bool

    @property
    def is_shortened(self) -> bool:
        return _LEFT_OUT.search(self.text) is not None

    @property
    def content(self) -> Any:
        """Return the parsed JSON; None where it is no JSON or was shortened."""
        try:
            return json.loads(self.text)
        except ValueError:
            return None

    def rows(self, *keys: str) -> list[Row]:
        """Return the rows that have these keys; of a shortened result those that are whole."""
        return [r for r in _objects(self.text) if all(k in r.values for k in keys)]


@dataclass(frozen=True)
class Record:
    """Everything the analyst knows: it keeps nothing between calls."""

    incident: Incident
    results: tuple[Result, ...]
    offered: dict[str, JsonObject] = field(default_factory=dict)
    """Tool name to the schema of its arguments."""
    descriptions: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    """Kind of source to a line about it."""
    focus: tuple[str, ...] = ()
    """Entities that a lead asks to measure closer."""

    def of(self, tool: str) -> list[Result]:
        """Return the results of a tool that succeeded."""
        return [r for r in self.results if r.tool == tool and not r.is_error]

    def was_asked(self, tool: str, arguments: JsonObject) -> bool:
        return any(r.tool == tool and r.arguments == arguments for r in self.results)


def read_conversation(request: ModelRequest) -> Record:
    """Read a request. Raises `ValueError` when its first user message holds no incident."""
    users = (m for m in request.messages if isinstance(m, UserMessage))
    opening = _opening(next(users, None))
    return Record(
        incident=_incident(opening),
        results=tuple(_results(request)),
        offered={t.name: t.parameters for t in request.tools},
        descriptions={t.name: t.description for t in request.tools},
        sources=dict(opening.get("sources") or {}),
    )


def _opening(message: UserMessage | None) -> JsonObject:
    for payload in unfence(message.text) if message else ():
        content = json.loads(payload)
        if isinstance(content, dict) and "event" in content:
            return content
    raise ValueError("the conversation does not begin with an incident")


def _incident(opening: JsonObject) -> Incident:
    try:
        return Incident(IncidentEvent.model_validate(opening["event"]), TimeWindow.model_validate(opening["window"]))
    except (ValidationError, KeyError) as error:
        raise ValueError("the incident at the beginning of the conversation cannot be read") from error


def _results(request: ModelRequest) -> Iterator[Result]:
    asked = {
        r.id: r.arguments or {}
        for message in request.messages
        if isinstance(message, AssistantMessage)
        for r in message.tool_requests
    }
    for message in request.messages:
        if isinstance(message, ToolMessage):
            head = message.text.partition("\n")[0]
            named = head.removeprefix(_EVIDENCE_LINE).strip() if head.startswith(_EVIDENCE_LINE) else ""
            payloads = unfence(message.text)
            text = payloads[0] if payloads else message.text
            yield Result(named, message.name, asked.get(message.request_id, {}), text, message.is_error)


def _objects(text: str) -> Iterator[Row]:
    """Yield the objects inside the first list of rows; objects that were cut in half are passed over."""
    decoder = json.JSONDecoder()
    start = text.find('"rows":')
    at = text.find("{", start + 1)
    while at >= 0:
        try:
            value, end = decoder.raw_decode(text, at)
        except ValueError:
            end = at + 1
        else:
            if isinstance(value, dict):
                yield Row(value, text[at:end])
        at = text.find("{", end)


def parse_time(value: object) -> datetime | None:
    """Return an ISO-8601 time in UTC; None for anything else."""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
