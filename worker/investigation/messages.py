"""The conversation, rebuilt from rows: what stands in it never changes, so a provider's prefix cache hits."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from worker.domain.conversation import (
    AssistantMessage,
    Message,
    ModelRequest,
    Route,
    SystemMessage,
    ToolDefinition,
    ToolMessage,
    UserMessage,
)
from worker.domain.incident import TimeWindow
from worker.domain.states import ToolCallStatus
from worker.domain.transcript import JoinedAlert, News, ToolCall, Transcript, Turn
from worker.investigation import loops
from worker.investigation.budget import CHARS_PER_TOKEN, Bound, Stage, expected_tokens
from worker.investigation.endings import REPORT, Ending
from worker.investigation.fence import fence, nonce_for
from worker.investigation.planning import PLANNING_TOOLS
from worker.investigation.prompts import prompt_version, render_prompt

WINDOW_SHARE = 0.7
"""Old outputs shrink when the conversation would fill more of the context window than this."""
FREED_SHARE = 0.2
"""So much of the window is made free at a time: in between, what was said stays as the provider has cached it."""
KEPT_TURNS = 2
"""The newest turns are never shrunk."""
PROMPTS = (
    *("investigator", "lead", "sub_agent", "incident", "assignment"),
    *("news", "resolved", "nudge", "empty_results", "last_turn", "verifier"),
)
JOINED_CHARS = 300
"""What is told of the description of an alert that joins."""


@dataclass(frozen=True)
class Scene:
    """What the first messages tell: who is asked, the window, which sources there are, and what is the task.

    `nonce` is what the nonces of the agent's fences are made of; no model is told it.
    """

    nonce: str
    window: TimeWindow
    sources: Mapping[str, str]
    system: str = ""
    task: str = ""

    @property
    def system_text(self) -> str:
        return self.system or render_prompt("investigator")


@dataclass(frozen=True)
class Draft:
    """What a call is made of, whatever its budget then allows; `forced` is a tool it must use."""

    transcript: Transcript
    scene: Scene
    tools: tuple[ToolDefinition, ...]
    route: Route
    ending: Ending = REPORT
    forced: str | None = None


def build_request(draft: Draft, bound: Bound) -> ModelRequest:
    """Return the next call: everything said so far, with the tools that may still be used."""
    is_last = bound.stage is Stage.LAST
    note = note_before(draft, bound)
    said = build_messages(_fitted(draft.transcript, draft.route), draft.scene)
    ending = draft.ending.tool
    return ModelRequest(
        messages=(*said, UserMessage(text=note)) if note else said,
        tools=(ending,) if is_last else (*draft.tools, ending),
        forced_tool=ending.name if is_last else draft.forced,
        max_output_tokens=draft.route.max_output_tokens,
    )


def request_tokens(request: ModelRequest) -> int:
    """Return what this call is expected to use, by the size of its request."""
    said = sum(len(m.text) for m in request.messages) + sum(_asked_chars(m) for m in request.messages)
    offered = sum(len(t.description) + len(str(t.parameters)) for t in request.tools)
    return expected_tokens(said + offered)


def _asked_chars(message: Message) -> int:
    """Return the size of what an assistant's message holds besides its text."""
    if not isinstance(message, AssistantMessage):
        return 0
    return len(str(message.reasoning)) + sum(len(str(r.arguments)) for r in message.tool_requests)


def prompt_versions() -> dict[str, str]:
    return {name: prompt_version(name) for name in PROMPTS}


def build_messages(transcript: Transcript, scene: Scene) -> tuple[Message, ...]:
    """Return system prompt, incident, and every finished turn with its results."""
    first = render_prompt("incident", window=told(scene.window), incident=_incident(transcript, scene))
    task = (UserMessage(text=scene.task),) if scene.task else ()
    opening = (SystemMessage(text=scene.system_text), UserMessage(text=first), *task)
    return (*opening, *(m for turn in transcript.turns for m in _turn_messages(turn, scene.nonce)))


def note_before(draft: Draft, bound: Bound) -> str | None:
    """Return what the user side says before the next turn, if anything: what joined meanwhile, what to do now."""
    transcript, tool = draft.transcript, draft.ending.tool.name
    said = []
    if transcript.news is not None and transcript.news.count:
        said.append(_news(transcript.news, nonce_for(draft.scene.nonce, f"news {len(transcript.turns)}")))
    if transcript.resolved_at is not None:
        said += _unsaid(render_prompt("resolved", at=_moment(transcript.resolved_at)), transcript)
    for idle in loops.find_idle_tools(transcript):
        said += _unsaid(render_prompt("empty_results", tool=idle), transcript)
    if bound.stage is Stage.LAST:
        said.append(render_prompt("last_turn", reason=bound.reason, tool=tool))
    elif transcript.last_turn is not None and not transcript.last_turn.calls:
        said.append(render_prompt("nudge", tool=tool))
    return "\n\n".join(said) or None


def _unsaid(words: str, transcript: Transcript) -> list[str]:
    """Return the words unless they were said before an earlier turn."""
    return [] if any(words in (turn.note or "") for turn in transcript.turns) else [words]


def _news(news: News, nonce: str) -> str:
    payload = {
        "told_again": news.repeats,
        "joined": [_joined(alert) for alert in news.joined],
        "joined_and_not_listed": news.unlisted,
    }
    said = {name: value for name, value in payload.items() if value}
    return render_prompt("news", alerts=fence(json.dumps(said, indent=1, ensure_ascii=False), nonce))


def _joined(alert: JoinedAlert) -> dict[str, object]:
    return {
        "why": alert.reason,
        "title": alert.title,
        "service": alert.service,
        "severity": alert.severity,
        "started_at": _moment(alert.started_at),
        "description": alert.description[:JOINED_CHARS],
    }


def _incident(transcript: Transcript, scene: Scene) -> str:
    event = transcript.event.model_dump(
        mode="json", exclude={"raw", "llm", "model", "idempotency_key", "resolved", "budget"}
    )
    event["started_at"] = _moment(transcript.started_at)
    payload = {"event": event, "window": told(scene.window), "sources": dict(scene.sources)}
    return fence(json.dumps(payload, indent=1, ensure_ascii=False), nonce_for(scene.nonce, "incident"))


def _turn_messages(turn: Turn, nonce: str) -> tuple[Message, ...]:
    note = (UserMessage(text=turn.note),) if turn.note else ()
    own = nonce_for(nonce, turn.turn_no)
    return (*note, turn.message, *(_result(call, own) for call in turn.calls))


def _result(call: ToolCall, nonce: str) -> ToolMessage:
    """Tell a result with the id to cite: that of the call that ran. A plan's result is no evidence."""
    cite = "" if call.tool in PLANNING_TOOLS else f"evidence_id: {call.repeats or call.evidence_id}\n"
    return ToolMessage(
        request_id=call.request_id,
        name=call.tool,
        text=f"{cite}{fence(call.text or '', nonce)}",
        is_error=call.status is not ToolCallStatus.SUCCEEDED,
    )


def _fitted(transcript: Transcript, route: Route) -> Transcript:
    """Shrink the oldest outputs to a line with their artifact's id until the rest fits the window."""
    if route.context_window is None:
        return transcript
    window = route.context_window * CHARS_PER_TOKEN
    excess = _whole_parts(_chars(transcript) - int(window * WINDOW_SHARE), max(int(window * FREED_SHARE), 1))
    turns = list(transcript.turns)
    for i, turn in enumerate(turns[:-KEPT_TURNS]):
        if excess <= 0:
            break
        calls = tuple(_shrunk(c) for c in turn.calls)
        excess -= sum(len(c.text or "") for c in turn.calls) - sum(len(c.text or "") for c in calls)
        turns[i] = replace(turn, calls=calls)
    return replace(transcript, turns=tuple(turns))


def _whole_parts(size: int, part: int) -> int:
    """Round up to a multiple of `part`."""
    return -(-size // part) * part


def _chars(transcript: Transcript) -> int:
    texts = sum(len(c.text or "") for c in transcript.calls)
    return texts + sum(len(t.message.model_dump_json()) for t in transcript.turns)


def _shrunk(call: ToolCall) -> ToolCall:
    if call.artifact_id is None:
        return call
    return replace(call, text=f"[taken out to save room; read_artifact(id={call.artifact_id!r}) returns it whole]")


def told(window: TimeWindow) -> dict[str, str]:
    """Write a window as models are told it."""
    return {"start": _moment(window.start), "end": _moment(window.end)}


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
