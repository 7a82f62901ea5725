"""The OpenAI chat completions wire (https://platform.openai.com/docs/api-reference/chat).

Also what OpenRouter and most other endpoints speak. What they add is taken as it comes: OpenRouter's
`reasoning_details` and cache marks for Anthropic's models, DeepSeek's `reasoning_content`.
"""

import json
from typing import Any
from urllib.parse import urlencode

from worker.domain.conversation import (
    AssistantMessage,
    JsonObject,
    JsonOutput,
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
from worker.llm.wires.caching import EPHEMERAL, marked_messages
from worker.llm.wires.listing import Page, entries, ids
from worker.llm.wires.reading import (
    as_list,
    as_object,
    count_of,
    fields_of,
    objects,
    sent_arguments,
    text_of,
    tool_request,
)
from worker.llm.wires.saying import function_of, output_limit, result_text
from worker.llm.wires.strictness import is_strict

NAME = "openai_chat"

_STOPS = {
    "stop": StopReason.END,
    "tool_calls": StopReason.TOOL_USE,
    "function_call": StopReason.TOOL_USE,
    "length": StopReason.LENGTH,
    "content_filter": StopReason.REFUSED,
}
_REASONING_TEXT = "reasoning_content"


def url(route: Route) -> str:
    base = route.base_url.rstrip("/")
    whole = base if base.endswith("/chat/completions") else f"{base}/chat/completions"
    return with_version(whole, route)


def with_version(address: str, route: Route) -> str:
    """Add the version that an Azure deployment wants in its address."""
    return f"{address}?{urlencode({'api-version': route.api_version})}" if route.api_version else address


def list_url(route: Route, _after: str | None) -> str:
    """Return where the models are listed (https://platform.openai.com/docs/api-reference/models/list), all at once."""
    return f"{route.base_url.rstrip('/').removesuffix('/chat/completions')}/models"


def read_list(body: JsonObject) -> Page:
    return Page(ids(entry.get("id") for entry in entries(body, "data")))


def headers(route: Route, key: str | None) -> dict[str, str]:
    if key is None:
        return {}
    return {"api-key": key} if route.vendor == "azure" else {"authorization": f"Bearer {key}"}


def encode(request: ModelRequest, route: Route) -> JsonObject:
    marks = _marks(request, route)
    body: JsonObject = {
        "model": route.model,
        "messages": [_message(m, route, marked=i in marks) for i, m in enumerate(request.messages)],
    }
    if request.tools:
        body["tools"] = [{"type": "function", "function": function_of(tool)} for tool in request.tools]
        body["tool_choice"] = _tool_choice(request)
    if request.json_output:
        body["response_format"] = _response_format(request.json_output)
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if (limit := output_limit(request, route)) is not None:
        body[_limit_name(route)] = limit
    return body | route.parameters


def _limit_name(route: Route) -> str:
    """OpenAI's reasoning models refuse `max_tokens`; other endpoints may know nothing newer."""
    return "max_completion_tokens" if route.vendor == "openai" and reasons(route.model) else "max_tokens"


def _marks(request: ModelRequest, route: Route) -> frozenset[int]:
    """Return the messages to mark for the cache: only Anthropic's models behind OpenRouter need to be told."""
    if route.vendor != "openrouter" or not route.model.startswith("anthropic/"):
        return frozenset()
    system = [i for i, message in enumerate(request.messages) if isinstance(message, SystemMessage) and message.text]
    return marked_messages(request) | frozenset(system[-1:])


def _message(message: Message, route: Route, *, marked: bool) -> JsonObject:
    match message:
        case SystemMessage() | UserMessage():
            return {"role": message.role, "content": _content(message.text, marked=marked)}
        case ToolMessage():
            content = _content(result_text(message), marked=marked)
            return {"role": "tool", "tool_call_id": message.request_id, "content": content}
        case AssistantMessage():
            return _assistant(message, route)


def _content(text: str, *, marked: bool) -> str | list[JsonObject]:
    return [{"type": "text", "text": text, "cache_control": EPHEMERAL}] if marked else text


def _assistant(message: AssistantMessage, route: Route) -> JsonObject:
    content = message.text or (None if message.tool_requests else "")
    sent: JsonObject = {"role": "assistant", "content": content}
    if message.tool_requests:
        sent["tool_calls"] = [_tool_call(request) for request in message.tool_requests]
    if message.wire == NAME:
        sent |= _reasoning_back(message, route)
    return sent


def _reasoning_back(message: AssistantMessage, route: Route) -> JsonObject:
    """Return the reasoning this provider wants back: OpenRouter its details, DeepSeek its text on tool turns."""
    if route.vendor == "openrouter":
        details = [item for item in message.reasoning if item.get("type") != _REASONING_TEXT]
        return {"reasoning_details": details} if details else {}
    texts = [text_of(item.get("text")) for item in message.reasoning if item.get("type") == _REASONING_TEXT]
    return {_REASONING_TEXT: "".join(texts)} if texts and message.tool_requests and route.vendor != "openai" else {}


def _tool_call(request: ToolRequest) -> JsonObject:
    function = {"name": request.name, "arguments": json.dumps(sent_arguments(request), ensure_ascii=False)}
    return {"id": request.id, "type": "function", "function": function}


def _tool_choice(request: ModelRequest) -> str | JsonObject:
    if request.forced_tool:
        return {"type": "function", "function": {"name": request.forced_tool}}
    return str(request.tool_choice)


def _response_format(output: JsonOutput) -> JsonObject:
    strict = is_strict(output.json_schema)
    return {
        "type": "json_schema",
        "json_schema": {"name": output.name, "schema": output.json_schema, "strict": strict},
    }


def decode(body: JsonObject) -> ModelAnswer:
    """Read an answer. Raises MalformedAnswerError, or what an error inside the answer stands for."""
    if error := error_inside(body):
        raise error
    choices = objects(as_list(body.get("choices"), "choices"))
    if not choices:
        raise MalformedAnswerError("the answer has no choices")
    choice = choices[0]
    if error := error_inside(choice):
        raise error
    message = as_object(choice.get("message"), "message")
    requests = _tool_requests(message, text_of(body.get("id")))
    refusal = text_of(message.get("refusal"))
    stop = _STOPS.get(text_of(choice.get("finish_reason")), StopReason.OTHER)
    if requests and stop is StopReason.END:  # a forced tool ends with "stop"
        stop = StopReason.TOOL_USE
    return ModelAnswer(
        message=AssistantMessage(
            text=_text(message.get("content")) or refusal,
            tool_requests=requests,
            reasoning=_reasoning(message),
            wire=NAME,
        ),
        stop_reason=StopReason.REFUSED if refusal else stop,
        usage=_usage(body.get("usage")),
        model=text_of(body.get("model")),
        request_id=text_of(body.get("id")) or None,
    )


def _text(content: Any) -> str:
    """Join the text of an answer; some endpoints send it in parts."""
    return text_of(content) or "".join(text_of(part.get("text")) for part in objects(content))


def _tool_requests(message: JsonObject, answer_id: str) -> tuple[ToolRequest, ...]:
    """Read the tool calls. One without an id gets one that is unique in the conversation."""
    found = []
    for index, call in enumerate(objects(message.get("tool_calls"))):
        function = as_object(call.get("function"), "function of a tool call")
        request_id = text_of(call.get("id")) or f"{answer_id}-{index}"
        found.append(tool_request(request_id, text_of(function.get("name")), function.get("arguments", "")))
    return tuple(found)


def _reasoning(message: JsonObject) -> tuple[JsonObject, ...]:
    if details := objects(message.get("reasoning_details")):
        return tuple(details)
    text = text_of(message.get(_REASONING_TEXT))
    return ({"type": _REASONING_TEXT, "text": text},) if text else ()


def _usage(usage: Any) -> Usage:
    if not isinstance(usage, dict):
        return Usage()
    sent = fields_of(usage.get("prompt_tokens_details"))
    made = fields_of(usage.get("completion_tokens_details"))
    cached = sent.get("cached_tokens", usage.get("prompt_cache_hit_tokens"))  # the second is DeepSeek's
    return Usage(
        input_tokens=count_of(usage.get("prompt_tokens")),
        cached_input_tokens=count_of(cached),
        cache_write_tokens=count_of(sent.get("cache_write_tokens")),
        output_tokens=count_of(usage.get("completion_tokens")),
        reasoning_tokens=count_of(made.get("reasoning_tokens")),
    )
