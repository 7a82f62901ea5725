"""The Anthropic Messages wire (https://platform.claude.com/docs/en/api/messages)."""

import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from worker.domain.conversation import (
    AssistantMessage,
    JsonObject,
    Message,
    ModelAnswer,
    ModelRequest,
    Route,
    StopReason,
    SystemMessage,
    ToolChoice,
    ToolMessage,
    ToolRequest,
    Usage,
    UserMessage,
)
from worker.llm.failures import error_inside
from worker.llm.wires.caching import EPHEMERAL, marked_messages
from worker.llm.wires.listing import Page, entries, ids
from worker.llm.wires.reading import as_list, count_of, fields_of, objects, sent_arguments, text_of, tool_request
from worker.llm.wires.turns import alternate

NAME = "anthropic_messages"
VERSION = "2023-06-01"  # known to every compatible endpoint; the next, 2026-10-21, removed temperature
DEFAULT_MAX_TOKENS = 8192  # the field is required; enough for a report, below what needs streaming
ANSWER_TOOL = "answer_as_json"
"""The format has no output schema that all its models take: the answer is asked for as a call of this tool."""

_STOPS = {
    "end_turn": StopReason.END,
    "stop_sequence": StopReason.END,
    "tool_use": StopReason.TOOL_USE,
    "max_tokens": StopReason.LENGTH,
    "model_context_window_exceeded": StopReason.LENGTH,
    "refusal": StopReason.REFUSED,
}
_THINKING = frozenset({"thinking", "redacted_thinking"})


def url(route: Route) -> str:
    return f"{_root(route)}/v1/messages"


def _root(route: Route) -> str:
    return route.base_url.rstrip("/").removesuffix("/messages").removesuffix("/v1")


def list_url(route: Route, after: str | None) -> str:
    """Return where the models are listed, in pages (https://docs.anthropic.com/en/api/models-list)."""
    asked = {"limit": "1000"} | ({"after_id": after} if after else {})
    return f"{_root(route)}/v1/models?{urlencode(asked)}"


def read_list(body: JsonObject) -> Page:
    following = text_of(body.get("last_id")) if body.get("has_more") is True else ""
    return Page(ids(entry.get("id") for entry in entries(body, "data")), following or None)


def headers(_route: Route, key: str | None) -> dict[str, str]:
    return {"anthropic-version": VERSION} | ({"x-api-key": key} if key else {})


def encode(request: ModelRequest, route: Route) -> JsonObject:
    body: JsonObject = {
        "model": route.model,
        "max_tokens": _max_tokens(request, route),
        "messages": _messages(request),
    }
    if system := _system(request):
        body["system"] = system
    if tools := _tools(request):
        body["tools"] = tools
        body["tool_choice"] = _tool_choice(request, route)
    if request.temperature is not None:
        body["temperature"] = request.temperature
    return body | route.parameters


def _max_tokens(request: ModelRequest, route: Route) -> int:
    wanted = request.max_output_tokens or DEFAULT_MAX_TOKENS
    return min(wanted, route.max_output_tokens or wanted)


def _system(request: ModelRequest) -> list[JsonObject]:
    texts = [message.text for message in request.messages if isinstance(message, SystemMessage) and message.text]
    return _with_mark([_text_block(text) for text in texts])


def _tools(request: ModelRequest) -> list[JsonObject]:
    tools = [{"name": t.name, "description": t.description, "input_schema": t.parameters} for t in request.tools]
    marked = _with_mark(tools)
    if request.json_output:  # behind the mark: whether JSON is wanted changes between turns, the tools do not
        schema = request.json_output.json_schema
        marked.append({"name": ANSWER_TOOL, "description": "Give the final answer.", "input_schema": schema})
    return marked


def _with_mark(blocks: list[JsonObject]) -> list[JsonObject]:
    """Mark the end of the stable prefix on its last block."""
    return [*blocks[:-1], {**blocks[-1], "cache_control": EPHEMERAL}] if blocks else []


def _tool_choice(request: ModelRequest, route: Route) -> JsonObject:
    thinks = fields_of(route.parameters.get("thinking")).get("type") in {"enabled", "adaptive"}
    if thinks and request.tool_choice is not ToolChoice.NONE:
        return {"type": "auto"}  # the provider refuses to force a tool on a model that thinks
    if request.forced_tool:
        return {"type": "tool", "name": request.forced_tool}
    if request.json_output:
        alone = not request.tools or request.tool_choice is ToolChoice.NONE
        return {"type": "tool", "name": ANSWER_TOOL} if alone else {"type": "any"}
    return {"type": {ToolChoice.REQUIRED: "any"}.get(request.tool_choice, str(request.tool_choice))}


def _messages(request: ModelRequest) -> list[JsonObject]:
    marks = marked_messages(request)
    blocks = [(m, _blocks(m)) for m in request.messages]
    said = [(m, _with_mark(parts) if index in marks else parts) for index, (m, parts) in enumerate(blocks)]
    turns = alternate(said, place=lambda block: block["type"] != "tool_result")
    return [{"role": "assistant" if is_models else "user", "content": parts} for is_models, parts in turns]


def _blocks(message: Message) -> list[JsonObject]:
    match message:
        case SystemMessage():
            return []
        case UserMessage():
            return [_text_block(message.text)] if message.text.strip() else []
        case ToolMessage():
            return [_tool_result(message)]
        case AssistantMessage():
            return list(_assistant_blocks(message))


def _text_block(text: str) -> JsonObject:
    return {"type": "text", "text": text}


def _tool_result(message: ToolMessage) -> JsonObject:
    result: JsonObject = {"type": "tool_result", "tool_use_id": message.request_id}
    if message.text:
        result["content"] = message.text
    return result | ({"is_error": True} if message.is_error else {})


def _assistant_blocks(message: AssistantMessage) -> Iterable[JsonObject]:
    """Yield the turn as it was said: thinking, text, tool calls, or the order that was kept with the thinking."""
    calls = {request.id: _tool_use(request) for request in message.tool_requests}
    kept = message.reasoning if message.wire == NAME else ()
    for block in kept:
        if block.get("type") != "tool_use":
            yield block
        elif call := calls.pop(text_of(block.get("id")), None):
            yield call
    if message.text.strip() and not any(block.get("type") == "text" for block in kept):
        yield _text_block(message.text)
    yield from calls.values()


def _tool_use(request: ToolRequest) -> JsonObject:
    return {"type": "tool_use", "id": request.id, "name": request.name, "input": sent_arguments(request)}


def decode(body: JsonObject) -> ModelAnswer:
    """Read an answer. Raises MalformedAnswerError, or what an error inside the answer stands for."""
    if error := error_inside(body):
        raise error
    blocks = objects(as_list(body.get("content"), "content"))
    answers = [block for block in blocks if block.get("type") == "tool_use" and block.get("name") == ANSWER_TOOL]
    calls = [block for block in blocks if block.get("type") == "tool_use" and block not in answers]
    text = "".join(text_of(block.get("text")) for block in blocks if block.get("type") == "text")
    stop = _STOPS.get(text_of(body.get("stop_reason")), StopReason.OTHER)
    if answers and not calls:
        text = json.dumps(answers[-1].get("input"), ensure_ascii=False)
        stop = StopReason.END if stop is StopReason.TOOL_USE else stop
    return ModelAnswer(
        message=AssistantMessage(
            text=text,
            tool_requests=tuple(_request(block) for block in calls),
            reasoning=() if answers else _reasoning(blocks),
            wire=NAME,
        ),
        stop_reason=stop,
        usage=_usage(body.get("usage")),
        model=text_of(body.get("model")),
        request_id=text_of(body.get("id")) or None,
    )


def _request(block: JsonObject) -> ToolRequest:
    return tool_request(text_of(block.get("id")), text_of(block.get("name")), block.get("input"))


def _reasoning(blocks: list[JsonObject]) -> tuple[JsonObject, ...]:
    """Keep signed thinking as it is, and the order of all blocks where it is not the usual one.

    The provider refuses thinking that comes back changed or in another place.
    """
    thinking = [block for block in blocks if block.get("type") in _THINKING]
    is_usual = blocks == sorted(blocks, key=_usual_place) and [b.get("type") for b in blocks].count("text") <= 1
    if not thinking or is_usual:
        return tuple(thinking)
    return tuple(kept for block in blocks if (kept := _kept(block)))


def _usual_place(block: JsonObject) -> int:
    kind = block.get("type")
    return 0 if kind in _THINKING else 1 if kind == "text" else 2


def _kept(block: JsonObject) -> JsonObject | None:
    match block.get("type"):
        case "text":
            return _text_block(text_of(block.get("text")))
        case "tool_use":
            return {"type": "tool_use", "id": text_of(block.get("id"))}
        case kind:
            return block if kind in _THINKING else None


def _usage(usage: Any) -> Usage:
    """Read usage; the vendor counts what was cached or written beside the rest of the input, we count it within."""
    if not isinstance(usage, dict):
        return Usage()
    fresh = count_of(usage.get("input_tokens"))
    cached = count_of(usage.get("cache_read_input_tokens"))
    written = count_of(usage.get("cache_creation_input_tokens"))
    details = fields_of(usage.get("output_tokens_details"))
    return Usage(
        input_tokens=None if fresh is None else fresh + (cached or 0) + (written or 0),
        cached_input_tokens=cached,
        cache_write_tokens=written,
        output_tokens=count_of(usage.get("output_tokens")),
        reasoning_tokens=count_of(details.get("thinking_tokens")),
    )
