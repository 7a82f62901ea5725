"""The Bedrock Converse wire (https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html).

Binary fields are Base64 here, as they are in JSON. The request itself is made and signed by AWS's own library.
"""

import importlib
import json
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from urllib.parse import quote

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
from worker.errors import MalformedAnswerError
from worker.llm.bedrock_ids import suggested_id
from worker.llm.failures import Refusal, error_inside, read_refusal
from worker.llm.transport import Answered
from worker.llm.wires.anthropic_messages import ANSWER_TOOL
from worker.llm.wires.caching import marked_messages
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
from worker.llm.wires.saying import output_limit
from worker.llm.wires.signing import Signer
from worker.llm.wires.turns import alternate

NAME = "bedrock_converse"
CACHE_POINT: JsonObject = {"cachePoint": {"type": "default"}}
NO_TEXT = "(empty)"  # a blank text is refused

_STOPS = {
    "end_turn": StopReason.END,
    "stop_sequence": StopReason.END,
    "tool_use": StopReason.TOOL_USE,
    "max_tokens": StopReason.LENGTH,
    "model_context_window_exceeded": StopReason.LENGTH,
    "guardrail_intervened": StopReason.REFUSED,
    "content_filtered": StopReason.REFUSED,
}
_TEXT, _CALL, _THINKING = "text", "toolUse", "reasoningContent"
_PLACES = (_THINKING, _TEXT, _CALL)  # the usual order of a turn

# Others refuse the request for a cache point, and for the status of a tool's result.
_CACHES = re.compile(r"anthropic\.claude-(?!3-haiku|3-sonnet|3-opus|3-5-sonnet|v2|instant)")
_TAKES_STATUS = re.compile(r"anthropic\.claude|amazon\.nova")


def url(route: Route) -> str:
    return f"{route.base_url.rstrip('/')}/model/{quote(route.model, safe='')}/converse"


def headers(_route: Route, _key: str | None) -> dict[str, str]:
    return {}


def signer() -> Signer:
    """Return what makes and signs each request, with AWS's library: an extra, and heavy."""
    signing = importlib.import_module("worker.llm.aws_signing")
    made: Signer = signing.AwsSigner()
    return made


def encode(request: ModelRequest, route: Route) -> JsonObject:
    body: JsonObject = {"messages": _messages(request, route)}
    if system := [_text_block(m.text) for m in request.messages if isinstance(m, SystemMessage) and m.text.strip()]:
        body["system"] = system + _cache_point(route)
    if limits := _inference_config(request, route):
        body["inferenceConfig"] = limits
    if tools := _tools(request, route):
        body["toolConfig"] = {"tools": tools} | _tool_choice(request, route)
    if route.parameters:
        body["additionalModelRequestFields"] = route.parameters
    return body


def _cache_point(route: Route) -> list[JsonObject]:
    return [CACHE_POINT] if _CACHES.search(route.model) else []


def _text_block(text: str) -> JsonObject:
    return {_TEXT: text}


def _inference_config(request: ModelRequest, route: Route) -> JsonObject:
    known = {"maxTokens": output_limit(request, route), "temperature": request.temperature}
    return {name: value for name, value in known.items() if value is not None}


def _tools(request: ModelRequest, route: Route) -> list[JsonObject]:
    """Describe the tools. A conversation that has used some is refused without any, whatever may be called now."""
    turns = [message for message in request.messages if isinstance(message, AssistantMessage)]
    used = dict.fromkeys(call.name for turn in turns for call in turn.tool_requests)
    offered = request.tools if used or request.tool_choice is not ToolChoice.NONE else ()
    tools = [_tool(tool.name, tool.description, tool.parameters) for tool in offered]
    if not tools and not request.json_output:
        return [_tool(name, name, {"type": "object"}) for name in used]
    marked = tools + _cache_point(route) if tools else []
    if request.json_output:  # behind the mark: whether JSON is wanted changes between turns, the tools do not
        marked.append(_tool(ANSWER_TOOL, "Give the final answer.", request.json_output.json_schema))
    return marked


def _tool(name: str, description: str, schema: JsonObject) -> JsonObject:
    return {"toolSpec": {"name": name, "description": description, "inputSchema": {"json": schema}}}


def _tool_choice(request: ModelRequest, route: Route) -> JsonObject:
    """Say what must be called; nothing where the model may choose. The format has no word for none."""
    thinks = fields_of(route.parameters.get("thinking")).get("type") in {"enabled", "adaptive"}
    alone = not request.tools or request.tool_choice is ToolChoice.NONE
    if thinks:  # the model refuses to be forced then
        return {}
    if request.forced_tool or (request.json_output and alone):
        return {"toolChoice": {"tool": {"name": request.forced_tool or ANSWER_TOOL}}}
    if request.json_output or (request.tool_choice is ToolChoice.REQUIRED and request.tools):
        return {"toolChoice": {"any": {}}}
    return {"toolChoice": {"auto": {}}} if not alone else {}


def _messages(request: ModelRequest, route: Route) -> list[JsonObject]:
    marks = marked_messages(request)
    said = [(m, list(_blocks(m, route))) for m in request.messages]
    marked = [(m, [*b, *_cache_point(route)] if b and i in marks else b) for i, (m, b) in enumerate(said)]
    turns = alternate(marked, place=_place_in_user_turn)
    return [{"role": "assistant" if is_models else "user", "content": blocks} for is_models, blocks in turns]


def _place_in_user_turn(block: JsonObject) -> int:
    return 0 if "toolResult" in block else 2 if "cachePoint" in block else 1


def _blocks(message: Message, route: Route) -> Iterable[JsonObject]:
    match message:
        case SystemMessage():
            return ()
        case UserMessage():
            return (_text_block(message.text),) if message.text.strip() else ()
        case ToolMessage():
            return (_tool_result(message, route),)
        case AssistantMessage():
            return _assistant_blocks(message)


def _tool_result(message: ToolMessage, route: Route) -> JsonObject:
    result: JsonObject = {"toolUseId": message.request_id}
    text = message.text if message.text.strip() else NO_TEXT
    if message.is_error and _TAKES_STATUS.search(route.model):
        result["status"] = "error"
    elif message.is_error:
        text = f"Error: {text}"
    return {"toolResult": result | {"content": [_text_block(text)]}}


def _assistant_blocks(message: AssistantMessage) -> Iterable[JsonObject]:
    """Yield the turn as it was said: thinking, text, tool calls, or the order that was kept with the thinking."""
    calls = {request.id: _tool_use(request) for request in message.tool_requests}
    kept = message.reasoning if message.wire == NAME else ()
    for block in kept:
        if _CALL not in block:
            yield block
        elif call := calls.pop(text_of(block[_CALL].get("toolUseId")), None):
            yield call
    if message.text.strip() and not any(_TEXT in block for block in kept):
        yield _text_block(message.text)
    yield from calls.values()


def _tool_use(request: ToolRequest) -> JsonObject:
    return {_CALL: {"toolUseId": request.id, "name": request.name, "input": sent_arguments(request)}}


def decode(body: JsonObject) -> ModelAnswer:
    """Read an answer. Raises MalformedAnswerError, or what an error inside the answer stands for."""
    if error := error_inside(body):
        raise error
    said = as_object(as_object(body.get("output"), "output").get("message"), "message")
    blocks = objects(as_list(said.get("content"), "content"))
    uses = [fields_of(block[_CALL]) for block in blocks if _CALL in block]
    answers = [use for use in uses if use.get("name") == ANSWER_TOOL]
    calls = [use for use in uses if use not in answers]
    text = "".join(text_of(block.get(_TEXT)) for block in blocks)
    stop = _stop_reason(text_of(body.get("stopReason")))
    if answers and not calls:
        text = json.dumps(answers[-1].get("input"), ensure_ascii=False)
        stop = StopReason.END if stop is StopReason.TOOL_USE else stop
    return ModelAnswer(
        message=AssistantMessage(
            text=text,
            tool_requests=tuple(_request(use) for use in calls),
            reasoning=() if answers else _reasoning(blocks),
            wire=NAME,
        ),
        stop_reason=stop,
        usage=_usage(body.get("usage")),
    )


def _stop_reason(word: str) -> StopReason:
    if word.startswith("malformed_"):
        raise MalformedAnswerError(f"the model's own output could not be read ({word})")
    return _STOPS.get(word, StopReason.OTHER)


def _request(use: JsonObject) -> ToolRequest:
    return tool_request(text_of(use.get("toolUseId")), text_of(use.get("name")), use.get("input"))


def _reasoning(blocks: list[JsonObject]) -> tuple[JsonObject, ...]:
    """Keep signed thinking as it is, and the order of all blocks where it is not the usual one.

    It is refused when it comes back changed or in another place.
    """
    known = [block for block in blocks if _place(block) < len(_PLACES) and not _is_blank(block)]
    thinking = [block for block in known if _THINKING in block]
    places = [_place(block) for block in known]
    is_usual = places == sorted(places) and places.count(_PLACES.index(_TEXT)) <= 1
    return tuple(thinking) if not thinking or is_usual else tuple(map(_kept, known))


def _place(block: JsonObject) -> int:
    return next((place for place, kind in enumerate(_PLACES) if kind in block), len(_PLACES))


def _is_blank(block: JsonObject) -> bool:
    return _TEXT in block and not text_of(block[_TEXT]).strip()


def _kept(block: JsonObject) -> JsonObject:
    """Keep of a call only which one it is: the rest is kept as a tool request."""
    return {_CALL: {"toolUseId": fields_of(block[_CALL]).get("toolUseId")}} if _CALL in block else block


def _usage(usage: Any) -> Usage:
    """Read usage; the vendor counts what was cached or written beside the rest of the input, we count it within."""
    if not isinstance(usage, dict):
        return Usage()
    fresh = count_of(usage.get("inputTokens"))
    cached = count_of(usage.get("cacheReadInputTokens"))
    written = count_of(usage.get("cacheWriteInputTokens"))
    return Usage(
        input_tokens=None if fresh is None else fresh + (cached or 0) + (written or 0),
        cached_input_tokens=cached,
        cache_write_tokens=written,
        output_tokens=count_of(usage.get("outputTokens")),
    )


def refusal(answered: Answered, body: object, route: Route) -> Refusal:
    """Read an error of AWS: its kind stands in a header. For a model it does not know, say how its id is written."""
    kind = answered.headers.get("x-amzn-errortype", "").partition(":")[0]
    read = read_refusal(answered.status, body)
    whole = suggested_id(route.model)
    return replace(read, words=f"{kind} {read.words}", hint=f"AWS writes it {whole}" if whole else "")
