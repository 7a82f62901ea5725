"""Ollama's own chat wire (https://docs.ollama.com/api/chat).

Its OpenAI route takes no `num_ctx` and cuts what is longer without a word. Here what does not fit is refused:
`truncate` and `shift` are fields of the server's `api/types.go`, known since 0.12.6; older servers are found out by
their counts. Which tool to call cannot be said: what is forced is asked for as JSON of a schema that the server holds
the model to, and read back as the call.
"""

import json
from typing import Any

from worker.domain.conversation import (
    AssistantMessage,
    JsonObject,
    Message,
    ModelAnswer,
    ModelRequest,
    Route,
    StopReason,
    ToolChoice,
    ToolDefinition,
    ToolMessage,
    ToolRequest,
    Usage,
)
from worker.errors import ContextOverflowError
from worker.llm.failures import error_inside
from worker.llm.wires.listing import Page, entries, ids
from worker.llm.wires.reading import as_object, count_of, fields_of, objects, parse_json, sent_arguments, text_of
from worker.llm.wires.reading import tool_request as read_request
from worker.llm.wires.saying import function_of, output_limit, result_text

NAME = "ollama_chat"
_STOPS = {"stop": StopReason.END, "length": StopReason.LENGTH}
_THINKING = "thinking"
_CALL_KEYS = {"tool", "arguments"}


def url(route: Route) -> str:
    return f"{route.base_url.rstrip('/')}/api/chat"


def list_url(route: Route, _after: str | None) -> str:
    """Return where the pulled models are listed (https://docs.ollama.com/api/tags), all at once."""
    return f"{route.base_url.rstrip('/')}/api/tags"


def read_list(body: JsonObject) -> Page:
    return Page(ids(entry.get("model") or entry.get("name") for entry in entries(body, "models")))


def headers(_route: Route, key: str | None) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"} if key else {}


def encode(request: ModelRequest, route: Route) -> JsonObject:
    forced = _forced(request)
    body: JsonObject = {
        "model": route.model,
        "messages": [_message(message) for message in request.messages],
        "stream": False,
        "truncate": False,
        "shift": False,
        "options": _options(request, route),
    }
    if forced:
        body |= {"format": _schema(forced)}
        body["messages"].append(_wish(forced))
    elif request.tools and request.tool_choice is not ToolChoice.NONE:
        body["tools"] = [{"type": "function", "function": function_of(tool)} for tool in request.tools]
    if request.json_output and not forced:
        body["format"] = request.json_output.json_schema
    return body | route.parameters


def _forced(request: ModelRequest) -> tuple[ToolDefinition, ...]:
    """Return the tools of which one must be called; none where the model may choose."""
    if request.forced_tool:
        return tuple(tool for tool in request.tools if tool.name == request.forced_tool)
    return request.tools if request.tool_choice is ToolChoice.REQUIRED else ()


def _schema(tools: tuple[ToolDefinition, ...]) -> JsonObject:
    calls = [
        {
            "type": "object",
            "properties": {"tool": {"type": "string", "enum": [tool.name]}, "arguments": tool.parameters},
            "required": ["tool", "arguments"],
        }
        for tool in tools
    ]
    return calls[0] if len(calls) == 1 else {"anyOf": calls}


def _wish(tools: tuple[ToolDefinition, ...]) -> JsonObject:
    """Tell what is asked for: the model is held to the schema, but does not see it."""
    told = json.dumps([function_of(tool) for tool in tools], ensure_ascii=False)
    text = f'Call one of these tools now. Answer with {{"tool": name, "arguments": {{…}}}} alone.\n{told}'
    return {"role": "user", "content": text}


def _options(request: ModelRequest, route: Route) -> JsonObject:
    known = {
        "num_ctx": route.context_window,
        "num_predict": output_limit(request, route),
        "temperature": request.temperature,
    }
    return {name: value for name, value in known.items() if value is not None}


def _message(message: Message) -> JsonObject:
    match message:
        case ToolMessage():
            return {"role": "tool", "content": result_text(message), "tool_name": message.name}
        case AssistantMessage():
            return _assistant(message)
        case _:
            return {"role": message.role, "content": message.text}


def _assistant(message: AssistantMessage) -> JsonObject:
    sent: JsonObject = {"role": "assistant", "content": message.text}
    if message.tool_requests:
        sent["tool_calls"] = [
            {"function": {"name": call.name, "arguments": sent_arguments(call)}} for call in message.tool_requests
        ]
    thought = "".join(text_of(item.get(_THINKING)) for item in message.reasoning) if message.wire == NAME else ""
    return sent | ({_THINKING: thought} if thought else {})


def decode(body: JsonObject) -> ModelAnswer:
    """Read an answer. Raises MalformedAnswerError, or what an error inside the answer stands for."""
    if error := error_inside(body):
        raise error
    message = as_object(body.get("message"), "message")
    named = text_of(body.get("created_at"))
    text = text_of(message.get("content"))
    forced = _forced_call(text)
    calls = [forced] if forced else [fields_of(call.get("function")) for call in objects(message.get("tool_calls"))]
    stop = _STOPS.get(text_of(body.get("done_reason")), StopReason.OTHER)
    thought = text_of(message.get(_THINKING))
    return ModelAnswer(
        message=AssistantMessage(
            text="" if forced else text,
            tool_requests=tuple(_request(f"call-{named}-{index}", call) for index, call in enumerate(calls)),
            reasoning=({_THINKING: thought},) if thought else (),
            wire=NAME,
        ),
        stop_reason=StopReason.TOOL_USE if calls and stop is StopReason.END else stop,
        usage=_usage(body),
        model=text_of(body.get("model")),
    )


def _forced_call(text: str) -> JsonObject | None:
    """Return what a forced answer calls; None for one that is not of the schema we ask for."""
    try:
        read: Any = parse_json(text) if text.lstrip().startswith("{") else None
    except ValueError:
        return None
    if not isinstance(read, dict) or read.keys() != _CALL_KEYS:
        return None
    return {"name": read["tool"], "arguments": read["arguments"]}


def _request(request_id: str, function: JsonObject) -> ToolRequest:
    """Read a tool call; the format gives it no id, so it gets one."""
    return read_request(request_id, text_of(function.get("name")), function.get("arguments", {}))


def _usage(body: JsonObject) -> Usage:
    return Usage(input_tokens=count_of(body.get("prompt_eval_count")), output_tokens=count_of(body.get("eval_count")))


def check(answer: ModelAnswer, route: Route) -> None:
    """Raise ContextOverflowError where the counts show that the prompt was cut, or pushed out by the answer."""
    read, made, window = answer.usage.input_tokens, answer.usage.output_tokens or 0, route.context_window
    if read is not None and window is not None and (read >= window or read + made > window):
        raise ContextOverflowError(
            f"the conversation filled all {window} tokens of Ollama's window and was cut; raise OLLAMA_NUM_CTX"
        )
