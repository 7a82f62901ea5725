"""The OpenAI Responses wire (https://platform.openai.com/docs/api-reference/responses).

Reasoning models call tools over it alone. Nothing is stored at the provider: what it has reasoned comes back
encrypted, and goes there again at its place in the conversation.
"""

import json
from collections.abc import Iterator
from typing import Any

from worker.domain.conversation import (
    AssistantMessage,
    JsonObject,
    Message,
    ModelAnswer,
    ModelRequest,
    Route,
    StopReason,
    SystemMessage,
    ToolMessage,
    ToolRequest,
    Usage,
    UserMessage,
)
from worker.errors import MalformedAnswerError
from worker.llm.catalogue import reasons
from worker.llm.failures import error_inside
from worker.llm.wires.openai_chat import headers as headers
from worker.llm.wires.openai_chat import with_version
from worker.llm.wires.reading import as_list, count_of, fields_of, objects, sent_arguments, text_of, tool_request
from worker.llm.wires.saying import function_of, output_limit, result_text
from worker.llm.wires.strictness import is_strict

NAME = "openai_responses"
_ENCRYPTED = "reasoning.encrypted_content"
_CALL = "function_call"
_INCOMPLETE = {"max_output_tokens": StopReason.LENGTH, "content_filter": StopReason.REFUSED}


def url(route: Route) -> str:
    base = route.base_url.rstrip("/")
    return with_version(base if base.endswith("/responses") else f"{base}/responses", route)


def encode(request: ModelRequest, route: Route) -> JsonObject:
    body: JsonObject = {
        "model": route.model,
        "input": [item for message in request.messages for item in _items(message)],
        "store": False,
        "include": [_ENCRYPTED],
    }
    if request.tools:
        body["tools"] = [{"type": "function", **function_of(tool), "strict": False} for tool in request.tools]
        body["tool_choice"] = _tool_choice(request)
    if request.json_output:
        output = request.json_output
        strict = is_strict(output.json_schema)
        format_ = {"type": "json_schema", "name": output.name, "schema": output.json_schema, "strict": strict}
        body["text"] = {"format": format_}
    if request.temperature is not None and not reasons(route.model):
        body["temperature"] = request.temperature
    if (limit := output_limit(request, route)) is not None:
        body["max_output_tokens"] = limit
    return body | route.parameters


def _tool_choice(request: ModelRequest) -> str | JsonObject:
    return {"type": "function", "name": request.forced_tool} if request.forced_tool else str(request.tool_choice)


def _items(message: Message) -> Iterator[JsonObject]:
    match message:
        case SystemMessage() | UserMessage():
            yield {"role": message.role, "content": message.text}
        case ToolMessage():
            yield {"type": "function_call_output", "call_id": message.request_id, "output": result_text(message)}
        case AssistantMessage():
            yield from _said(message)


def _said(message: AssistantMessage) -> Iterator[JsonObject]:
    """Yield the turn as it was said: each piece of reasoning before what came of it."""
    calls = {call.id: _call(call) for call in message.tool_requests}
    kept = message.reasoning if message.wire == NAME else ()
    for item in kept:
        if item.get("type") == "message":
            yield {"role": "assistant", "content": text_of(item.get("text"))}
        elif item.get("type") != _CALL:
            yield item
        elif call := calls.pop(text_of(item.get("call_id")), None):
            yield call
    if message.text and not any(item.get("type") == "message" for item in kept):
        yield {"role": "assistant", "content": message.text}
    yield from calls.values()


def _call(call: ToolRequest) -> JsonObject:
    arguments = json.dumps(sent_arguments(call), ensure_ascii=False)
    return {"type": _CALL, "call_id": call.id, "name": call.name, "arguments": arguments}


def decode(body: JsonObject) -> ModelAnswer:
    """Read an answer. Raises MalformedAnswerError, or what an error inside the answer stands for."""
    if error := error_inside(body):
        raise error
    output = objects(as_list(body.get("output"), "output"))
    if not output and body.get("status") != "incomplete":
        raise MalformedAnswerError("the answer has no output")
    calls = [item for item in output if item.get("type") == _CALL]
    refusal = "".join(text_of(part.get("refusal")) for part in _parts(output))
    return ModelAnswer(
        message=AssistantMessage(
            text="".join(text_of(part.get("text")) for part in _parts(output)) or refusal,
            tool_requests=tuple(
                tool_request(text_of(c.get("call_id")), text_of(c.get("name")), c.get("arguments", "")) for c in calls
            ),
            reasoning=_kept(output),
            wire=NAME,
        ),
        stop_reason=StopReason.REFUSED if refusal else _stop(body, is_calling=bool(calls)),
        usage=_usage(body.get("usage")),
        model=text_of(body.get("model")),
        request_id=text_of(body.get("id")) or None,
    )


def _parts(output: list[JsonObject]) -> list[JsonObject]:
    return [part for item in output if item.get("type") == "message" for part in objects(item.get("content"))]


def _stop(body: JsonObject, *, is_calling: bool) -> StopReason:
    if body.get("status") == "incomplete":
        reason = text_of(fields_of(body.get("incomplete_details")).get("reason"))
        return _INCOMPLETE.get(reason, StopReason.OTHER)
    return StopReason.TOOL_USE if is_calling else StopReason.END


def _kept(output: list[JsonObject]) -> tuple[JsonObject, ...]:
    """Keep the reasoning as it is, and the order of all items; nothing where nothing was reasoned."""
    if not any(item.get("type") == "reasoning" for item in output):
        return ()
    return tuple(kept for item in output if (kept := _kept_item(item)))


def _kept_item(item: JsonObject) -> JsonObject | None:
    match item.get("type"):
        case "reasoning":
            return {name: item[name] for name in ("type", "id", "summary", "encrypted_content") if name in item}
        case "message":
            return {"type": "message", "text": "".join(text_of(part.get("text")) for part in _parts([item]))}
        case "function_call":
            return {"type": _CALL, "call_id": text_of(item.get("call_id"))}
    return None


def _usage(usage: Any) -> Usage:
    if not isinstance(usage, dict):
        return Usage()
    sent, made = fields_of(usage.get("input_tokens_details")), fields_of(usage.get("output_tokens_details"))
    return Usage(
        input_tokens=count_of(usage.get("input_tokens")),
        cached_input_tokens=count_of(sent.get("cached_tokens")),
        output_tokens=count_of(usage.get("output_tokens")),
        reasoning_tokens=count_of(made.get("reasoning_tokens")),
    )
