"""An investigation without queue, database or guardrails: tools and a model in one loop, for tests that measure."""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path

from worker.domain.conversation import (
    Message,
    ModelRequest,
    Route,
    SystemMessage,
    ToolDefinition,
    ToolMessage,
    ToolRequest,
    UserMessage,
)
from worker.domain.incident import IncidentEvent, TimeWindow
from worker.domain.report import Submission
from worker.domain.tooling import ToolContext
from worker.errors import ToolError, ToolInputError
from worker.investigation.fence import fence
from worker.investigation.offline.analyst import OfflineAnalyst
from worker.settings import Settings
from worker.tools.output import shorten
from worker.tools.toolbox import CASE_LABEL, Toolbox, build_toolbox
from worker.tools.window import incident_window

NONCE = "0f1e2d"
ROUTE = Route(provider="offline", model="analyst", wire="offline", data_leaves_host=False)
SUBMIT = ToolDefinition(name="submit_report", description="Hand in the report.", parameters={"type": "object"})
MAX_TURNS = 10


@dataclass
class Investigated:
    """What came out: the submission, every tool result whole, by evidence id, and what it took."""

    submission: Submission
    texts: dict[str, str]
    turns: int
    seconds: float


@dataclass
class _Desk:
    """Runs tool calls and keeps what they returned."""

    toolbox: Toolbox
    window: TimeWindow
    max_chars: int
    texts: dict[str, str] = field(default_factory=dict)

    def run(self, request: ToolRequest, evidence_id: str) -> ToolMessage:
        context = ToolContext(self.window, time.monotonic() + 60, read_artifact=self._artifact)
        try:
            text = self.toolbox.run(request.name, request.arguments or {}, context).text
        except ToolError as error:
            return self._message(request, evidence_id, str(error), is_error=True)
        self.texts[evidence_id] = text
        shown = shorten(text, self.max_chars, artifact_id=f"art_{evidence_id}") or text
        return self._message(request, evidence_id, shown, is_error=False)

    def _artifact(self, artifact_id: str) -> str:
        try:
            return self.texts[artifact_id.removeprefix("art_")]
        except KeyError:
            raise ToolInputError(f"no artifact {artifact_id}") from None

    def _message(self, request: ToolRequest, evidence_id: str, text: str, *, is_error: bool) -> ToolMessage:
        told = f"evidence_id: {evidence_id}\n{fence(text, NONCE)}"
        return ToolMessage(request_id=request.id, name=request.name, text=told, is_error=is_error)


def investigate_case(folder: Path) -> Investigated:
    """Let the offline analyst investigate one recorded case."""
    event = IncidentEvent.model_validate_json((folder / "incident.json").read_text())
    labels = {**event.labels, CASE_LABEL: folder.name}
    event = event.model_copy(update={"labels": labels})
    settings = Settings(rca_recorded_root=folder.parent)
    toolbox = build_toolbox(event, settings=settings)
    desk = _Desk(toolbox, incident_window(event, settings), settings.rca_tool_output_chars)
    return _converse(event, desk)


def _converse(event: IncidentEvent, desk: _Desk) -> Investigated:
    started, messages = time.monotonic(), list(opening(event, desk.window, desk.toolbox.sources()))
    tools = (*desk.toolbox.definitions(), SUBMIT)
    for turn_no in range(1, MAX_TURNS + 1):
        request = ModelRequest(messages=tuple(messages), tools=tools)
        message = OfflineAnalyst().ask(request, route=ROUTE, timeout_s=10).message
        report = next((r for r in message.tool_requests if r.name == SUBMIT.name), None)
        if report:
            submission = Submission.model_validate(report.arguments)
            return Investigated(submission, desk.texts, turn_no, time.monotonic() - started)
        messages.append(message)
        messages += [desk.run(r, f"e{turn_no}.{seq}") for seq, r in enumerate(message.tool_requests, 1)]
    raise AssertionError(f"no report after {MAX_TURNS} turns")


def opening(event: IncidentEvent, window: TimeWindow, sources: dict[str, str]) -> tuple[Message, ...]:
    """Return the first two messages of a conversation about this incident."""
    payload = {
        "event": event.model_dump(mode="json"),
        "window": window.model_dump(mode="json"),
        "sources": sources,
    }
    return SystemMessage(text="Investigate."), UserMessage(text=f"An incident:\n{fence(json.dumps(payload), NONCE)}")
