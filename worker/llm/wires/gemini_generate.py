"""The Gemini wire: generateContent of Google AI and of Vertex AI (https://ai.google.dev/api/generate-content).

A thought signature goes back on the very part it came with, so what was said is kept part by part where one came.
"""

from collections.abc import Iterable, Iterator
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
    ToolDefinition,
    ToolMessage,
    ToolRequest,
    Usage,
)
from worker.errors import MalformedAnswerError, ModelRefusedError
from worker.llm.failures import error_inside
from worker.llm.wires.listing import Page, entries, ids
from worker.llm.wires.reading import (
    as_list,
    count_of,
    fields_of,
    objects,
    sent_arguments,
    text_of,
    tool_request,
)
from worker.llm.wires.saying import output_limit
from worker.llm.wires.turns import alternate

NAME = "gemini_generate"
_STOPS = {
    "STOP": StopReason.END,
    "MAX_TOKENS": StopReason.LENGTH,
    "SAFETY": StopReason.REFUSED,
    "RECITATION": StopReason.REFUSED,
    "BLOCKLIST": StopReason.REFUSED,
    "PROHIBITED_CONTENT": StopReason.REFUSED,
    "SPII": StopReason.REFUSED,
}
_UNREADABLE = frozenset({"MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL"})
_SIGNATURE = "thoughtSignature"
_OURS = "ours-"
"""How an id begins that the provider did not give: it is not told of it."""
_MODES = {ToolChoice.AUTO: "AUTO", ToolChoice.NONE: "NONE", ToolChoice.REQUIRED: "ANY"}


def url(route: Route) -> str:
    owner = f"projects/{route.project}/locations/{route.location}/publishers/google/" if route.project else ""
    return f"{route.base_url.rstrip('/')}/v1/{owner}models/{route.model}:generateContent"


def list_url(route: Route, after: str | None) -> str:
    """Return where Google AI lists its models, in pages (https://ai.google.dev/api/models#method:-models.list)."""
    asked = {"pageSize": "1000"} | ({"pageToken": after} if after else {})
    return f"{route.base_url.rstrip('/')}/v1beta/models?{urlencode(asked)}"


def read_list(body: JsonObject) -> Page:
    """Return the models that take part in a conversation; those that only embed, count or paint do not."""
    found = entries({"models": None, **body}, "models")  # Google's JSON leaves an empty list out
    fit = (entry for entry in found if "generateContent" in _methods(entry))
    names = (text_of(entry.get("name")).removeprefix("models/") for entry in fit)
    return Page(ids(names), text_of(body.get("nextPageToken")) or None)


def _methods(entry: JsonObject) -> list[Any]:
    methods = entry.get("supportedGenerationMethods")
    return methods if isinstance(methods, list) else []


def headers(route: Route, key: str | None) -> dict[str, str]:
    if key is None:
        return {}
    return {"x-goog-api-key": key} if route.project is None else {"authorization": f"Bearer {key}"}


def encode(request: ModelRequest, route: Route) -> JsonObject:
    body: JsonObject = {"contents": _contents(request.messages)}
    system = [{"text": m.text} for m in request.messages if isinstance(m, SystemMessage) and m.text]
    if system:
        body["systemInstruction"] = {"parts": system}
    if request.tools and not request.json_output:  # the two exclude each other on most of its models
        body["tools"] = [{"functionDeclarations": [_declaration(tool) for tool in request.tools]}]
        body["toolConfig"] = {"functionCallingConfig": _calling(request)}
    if wanted := _generation(request, route):
        body["generationConfig"] = wanted
    return body | route.parameters


def _declaration(tool: ToolDefinition) -> JsonObject:
    return {"name": tool.name, "description": tool.description, "parametersJsonSchema": tool.parameters}


def _calling(request: ModelRequest) -> JsonObject:
    if request.forced_tool:
        return {"mode": "ANY", "allowedFunctionNames": [request.forced_tool]}
    return {"mode": _MODES[request.tool_choice]}


def _generation(request: ModelRequest, route: Route) -> JsonObject:
    wanted: JsonObject = {}
    if request.temperature is not None:
        wanted["temperature"] = request.temperature
    if (limit := output_limit(request, route)) is not None:
        wanted["maxOutputTokens"] = limit
    if request.json_output:
        wanted |= {"responseMimeType": "application/json", "responseJsonSchema": request.json_output.json_schema}
    return wanted


def _contents(messages: Iterable[Message]) -> list[JsonObject]:
    turns = alternate([(m, list(_parts(m))) for m in messages], place=lambda part: "functionResponse" not in part)
    return [{"role": "model" if is_models else "user", "parts": parts} for is_models, parts in turns]


def _parts(message: Message) -> Iterator[JsonObject]:
    match message:
        case SystemMessage():
            return
        case AssistantMessage():
            yield from _said(message)
        case ToolMessage():
            result = {"error" if message.is_error else "output": message.text}
            yield {"functionResponse": _named(message.request_id) | {"name": message.name, "response": result}}
        case _ if message.text:
            yield {"text": message.text}


def _said(message: AssistantMessage) -> Iterator[JsonObject]:
    """Yield the turn as it was said: where signatures came, part by part with each at its place."""
    calls = {call.id: _call(call) for call in message.tool_requests}
    kept = message.reasoning if message.wire == NAME else ()
    for part in kept:
        signature = {_SIGNATURE: part[_SIGNATURE]} if part.get(_SIGNATURE) else {}
        if "call" not in part:
            yield {"text": text_of(part.get("text"))} | signature
        elif call := calls.pop(text_of(part["call"]), None):
            yield call | signature
    if message.text and not any("text" in part for part in kept):
        yield {"text": message.text}
    yield from calls.values()


def _call(call: ToolRequest) -> JsonObject:
    return {"functionCall": _named(call.id) | {"name": call.name, "args": sent_arguments(call)}}


def _named(request_id: str) -> JsonObject:
    return {} if request_id.startswith(_OURS) else {"id": request_id}


def decode(body: JsonObject) -> ModelAnswer:
    """Read an answer. Raises MalformedAnswerError, ModelRefusedError, or what an error inside stands for."""
    if error := error_inside(body):
        raise error
    candidate = _candidate(body)
    reason = text_of(candidate.get("finishReason"))
    if reason in _UNREADABLE:
        raise MalformedAnswerError(f"the model's tool call cannot be read ({reason})")
    stop = _STOPS.get(reason, StopReason.OTHER)
    parts = objects(fields_of(candidate.get("content")).get("parts"))
    said = [part for part in parts if not part.get("thought")]
    requests = _requests(said, text_of(body.get("responseId")))
    return ModelAnswer(
        message=AssistantMessage(
            text="".join(text_of(part.get("text")) for part in said),
            tool_requests=tuple(requests),
            reasoning=_kept(said, requests),
            wire=NAME,
        ),
        stop_reason=StopReason.TOOL_USE if requests and stop is StopReason.END else stop,
        usage=_usage(body.get("usageMetadata")),
        model=text_of(body.get("modelVersion")),
        request_id=text_of(body.get("responseId")) or None,
    )


def _candidate(body: JsonObject) -> JsonObject:
    if blocked := text_of(fields_of(body.get("promptFeedback")).get("blockReason")):
        raise ModelRefusedError(f"the provider's content filter refused the conversation ({blocked})")
    candidates = objects(as_list(body.get("candidates"), "candidates"))
    if not candidates or not (candidates[0].keys() & {"content", "finishReason"}):
        raise MalformedAnswerError("the answer has no candidates")
    return candidates[0]


def _requests(parts: Iterable[JsonObject], answer_id: str) -> list[ToolRequest]:
    """Read the tool calls; one without an id gets one that is unique in the conversation."""
    calls = [fields_of(part["functionCall"]) for part in parts if "functionCall" in part]
    return [
        tool_request(
            text_of(call.get("id")) or f"{_OURS}{answer_id}-{index}", text_of(call.get("name")), call.get("args", {})
        )
        for index, call in enumerate(calls)
    ]


def _kept(parts: list[JsonObject], requests: Iterable[ToolRequest]) -> tuple[JsonObject, ...]:
    """Keep all parts in order with their signatures; nothing where there is none."""
    if not any(part.get(_SIGNATURE) for part in parts):
        return ()
    ids = iter([request.id for request in requests])
    kept: list[JsonObject] = []
    for part in parts:
        what: JsonObject = {"call": next(ids)} if "functionCall" in part else {"text": text_of(part.get("text"))}
        kept.append(what | ({_SIGNATURE: part[_SIGNATURE]} if part.get(_SIGNATURE) else {}))
    return tuple(kept)


def _usage(usage: Any) -> Usage:
    """Read usage; the vendor counts thoughts beside the rest of the output, we count them within."""
    if not isinstance(usage, dict):
        return Usage()
    made, thought = count_of(usage.get("candidatesTokenCount")), count_of(usage.get("thoughtsTokenCount"))
    return Usage(
        input_tokens=count_of(usage.get("promptTokenCount")),
        cached_input_tokens=count_of(usage.get("cachedContentTokenCount")),
        output_tokens=None if made is None and thought is None else (made or 0) + (thought or 0),
        reasoning_tokens=thought,
    )
