"""Conversations made by hand for the offline analyst: an incident, and results as the tools write them."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.analyst_loop import NONCE, ROUTE, SUBMIT, opening
from worker.domain.conversation import (
    AssistantMessage,
    Message,
    ModelRequest,
    ToolDefinition,
    ToolMessage,
    ToolRequest,
    UserMessage,
)
from worker.domain.incident import IncidentEvent, TimeWindow
from worker.domain.report import Submission
from worker.investigation.fence import fence
from worker.investigation.offline.analyst import OfflineAnalyst
from worker.investigation.offline.observations import Observations, observe
from worker.investigation.offline.reading import Record, read_conversation

STARTED_AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
BUILT_IN = (
    "rank_metric_changes", "rank_edge_latency", "rank_log_patterns", "list_changes", "show_topology",
    "query_metrics", "find_traces", "search_logs", "read_artifact",
)  # fmt: skip


def at(minutes: float) -> str:
    return (STARTED_AT + timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")


def metric(entity: str, name: str, *, usual: float = 10.0, now: float = 10.0, score: float = 0.0) -> dict[str, Any]:
    return {
        "entity": entity,
        "metric": name,
        "score": score,
        "direction": "up" if now >= usual else "down",
        "change": "level",
        "reference_median": usual,
        "reference_mad": 0.1,
        "incident_median": now,
        "incident_peak": now,
        "change_ratio": now / usual if usual else None,
        "onset": at(-1),
        "reference_points": 60,
        "incident_points": 20,
    }


def span(caller: str | None, callee: str, *, usual_ms: float, now_ms: float, errors: float = 0.0) -> dict[str, Any]:
    return {
        "caller": caller,
        "callee": callee,
        "operation": f"{callee}.handle",
        "score": 2.0 if now_ms > usual_ms else 0.0,
        "calls": 100,
        "reference_calls": 300,
        "p50_ms": now_ms,
        "reference_p50_ms": usual_ms,
        "self_p50_ms": now_ms,
        "reference_self_p50_ms": usual_ms,
        "error_rate": errors,
        "reference_error_rate": 0.0,
    }


def pattern(entity: str, text: str, *, level: str = "error", count: int = 40, usual: int = 0) -> dict[str, Any]:
    rates = {"per_min": count / 20, "reference_per_min": usual / 60}
    seen = {"count": count, "reference_count": usual, "example": text, "first_seen": at(0), "score": 9.0}
    return {"pattern": text, "entity": entity, "level": level, "direction": "up", **seen, **rates}


def change(change_id: str, entity: str | None, *, minutes: float, title: str = "Release", kind: str = "deploy") -> Any:
    known = {"author": "Alma", "title": title, "diff": None}
    return {"id": change_id, "ts": at(minutes), "entity": entity, "kind": kind, **known}


def calls(*edges: tuple[str, str]) -> dict[str, Any]:
    return {"rows": [{"caller": a, "callee": c} for a, c in edges], "edges": [list(e) for e in edges]}


@dataclass
class Conversation:
    """Grows by results; every result is a turn of its own. `more` are tools offered with their schemas."""

    service: str | None = "shop"
    title: str = "shop is slow"
    offered: tuple[str, ...] = BUILT_IN
    more: tuple[ToolDefinition, ...] = ()
    ending: ToolDefinition = SUBMIT
    forced: str | None = None
    sources: dict[str, str] = field(default_factory=dict)
    task: str = ""
    messages: list[Message] = field(default_factory=list)
    turn_no: int = 0

    def __post_init__(self) -> None:
        event = IncidentEvent(title=self.title, service=self.service, started_at=STARTED_AT)
        window = TimeWindow(start=STARTED_AT - timedelta(hours=1), end=STARTED_AT + timedelta(minutes=30))
        self.messages += opening(event, window, self.sources)
        self.messages += [UserMessage(text=self.task)] if self.task else []

    def told(self, tool: str, content: Any, *, arguments: dict[str, Any] | None = None) -> "Conversation":
        return self.said(tool, json.dumps(content, separators=(",", ":")), arguments=arguments)

    def rows(self, tool: str, *rows: Any) -> "Conversation":
        return self.told(tool, {"query": {}, "rows": rows, "row_count": len(rows), "total_rows": len(rows)})

    def said(
        self, tool: str, text: str, *, arguments: dict[str, Any] | None = None, is_error: bool = False
    ) -> "Conversation":
        self.turn_no += 1
        request = ToolRequest(id=f"c{self.turn_no}", name=tool, arguments=arguments or {})
        told = f"evidence_id: e{self.turn_no}.1\n{fence(text, NONCE)}"
        self.messages.append(AssistantMessage(tool_requests=(request,)))
        self.messages.append(ToolMessage(request_id=request.id, name=tool, text=told, is_error=is_error))
        return self

    def request(self, *, is_last: bool = False) -> ModelRequest:
        names = () if is_last else self.offered
        tools = tuple(ToolDefinition(name=n, description=n, parameters={"type": "object"}) for n in names)
        more = () if is_last else self.more
        forced = self.ending.name if is_last else self.forced
        return ModelRequest(messages=tuple(self.messages), tools=(*tools, *more, self.ending), forced_tool=forced)

    def record(self) -> Record:
        return read_conversation(self.request())

    def seen(self) -> Observations:
        return observe(self.record())

    def requests(self, *, is_last: bool = False) -> tuple[ToolRequest, ...]:
        answer = OfflineAnalyst().ask(self.request(is_last=is_last), route=ROUTE, timeout_s=1)
        return answer.message.tool_requests

    def submission(self) -> Submission:
        """Return what the analyst hands in when this is its last turn."""
        (request,) = self.requests(is_last=True)
        assert request.name == SUBMIT.name
        return Submission.model_validate(request.arguments)
