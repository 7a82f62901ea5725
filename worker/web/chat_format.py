"""OpenAI's chat route from the serving side: a caller's request as ours, our answer in its words.

Formats: https://platform.openai.com/docs/api-reference/chat. An answer is made as a whole; streamed, it goes out in few
pieces.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pydantic import Field, ValidationError

from worker.domain.conversation import (
    AssistantMessage,
    JsonObject,
    JsonOutput,
    Message,
    ModelAnswer,
    ModelRequest,
    StopReason,
    SystemMessage,
    ToolChoice,
    ToolDefinition,
    ToolMessage,
    UserMessage,
)
from worker.errors import UserError
from worker.llm.wires.reading import tool_request
from worker.web.model_answers import Body

_FINISHED = {
    StopReason.END: "stop",
    StopReason.TOOL_USE: "tool_calls",
    StopReason.LENGTH: "length",
    StopReason.REFUSED: "content_filter",
}
_HARMLESS = frozenset({
    "user", "metadata", "store", "service_tier", "seed", "parallel_tool_calls", "safety_identifier", "prompt_cache_key",
})  # fmt: skip
"""What callers send that changes nothing here."""


class _Part(Body):
    type: Literal["text"]
    text: str


class _Function(Body):
    name: str
    arguments: str = "{}"


class _Call(Body):
    id: str
    type: Literal["function"] = "function"
    function: _Function


class _Said(Body):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | tuple[_Part, ...] | None = None
    name: str | None = None
    tool_calls: tuple[_Call, ...] | None = None
    tool_call_id: str | None = None
    refusal: str | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, tuple):
            return "".join(part.text for part in self.content)
        return self.content or ""


class _Offered(Body):
    name: str
    description: str = ""
    parameters: JsonObject = Field(default_factory=lambda: {"type": "object", "properties": {}})
    strict: bool | None = None


class _Tool(Body):
    type: Literal["function"]
    function: _Offered


class _Named(Body):
    name: str


class _Choice(Body):
    type: Literal["function"]
    function: _Named


class _Schema(Body):
    name: str
    schema_: JsonObject = Field(alias="schema")
    strict: bool | None = None
    description: str | None = None


class _Format(Body):
    type: Literal["text", "json_schema"]
    json_schema: _Schema | None = None


class _StreamOptions(Body):
    include_usage: bool = False


class ChatBody(Body):
    """What is taken of OpenAI's request; what would change the answer and is not known here is refused by name."""

    messages: tuple[_Said, ...]
    model: str | None = None
    tools: tuple[_Tool, ...] | None = None
    tool_choice: Literal["auto", "none", "required"] | _Choice | None = None
    response_format: _Format | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2, allow_inf_nan=False)
    n: Literal[1] | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None


def parse_chat(body: Any) -> ChatBody:
    """Read a request. Raises UserError that names the field that is wrong or not known here."""
    if not isinstance(body, dict):
        raise UserError("the body has to be a JSON object")
    known = {name: value for name, value in body.items() if name not in _HARMLESS}
    try:
        return ChatBody.model_validate(known)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def to_request(body: ChatBody) -> ModelRequest:
    """Return the request as ours. Raises UserError for the result of a tool that nobody called."""
    forced = body.tool_choice.function.name if isinstance(body.tool_choice, _Choice) else None
    schema = body.response_format.json_schema if body.response_format else None
    names = {call.id: call.function.name for said in body.messages for call in said.tool_calls or ()}
    return ModelRequest(
        messages=tuple(_message(said, names) for said in body.messages),
        tools=tuple(
            ToolDefinition(name=t.function.name, description=t.function.description, parameters=t.function.parameters)
            for t in body.tools or ()
        ),
        tool_choice=ToolChoice(body.tool_choice) if isinstance(body.tool_choice, str) else ToolChoice.AUTO,
        forced_tool=forced,
        json_output=JsonOutput(name=schema.name, json_schema=schema.schema_) if schema else None,
        max_output_tokens=body.max_completion_tokens or body.max_tokens,
        temperature=body.temperature,
    )


def _message(said: _Said, names: dict[str, str]) -> Message:
    match said.role:
        case "system" | "developer":
            return SystemMessage(text=said.text)
        case "user":
            return UserMessage(text=said.text)
        case "tool":
            if said.tool_call_id not in names:
                raise UserError(f"messages: tool_call_id {said.tool_call_id!r:.60} answers no tool call before it")
            return ToolMessage(request_id=said.tool_call_id, name=names[said.tool_call_id], text=said.text)
        case _:
            calls = said.tool_calls or ()
            requests = tuple(tool_request(call.id, call.function.name, call.function.arguments) for call in calls)
            return AssistantMessage(text=said.text, tool_requests=requests)


@dataclass(frozen=True)
class Envelope:
    """What an answer is sent in: the name that the caller asked by, and when (seconds since 1970)."""

    model: str
    id: str
    created: int


def render_answer(answer: ModelAnswer, envelope: Envelope) -> JsonObject:
    """Return the answer as one object."""
    message: JsonObject = {"role": "assistant", "content": answer.message.text or None, "refusal": None}
    if answer.message.tool_requests:
        message["tool_calls"] = _calls(answer)
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finished(answer)}
    body: JsonObject = {**asdict(envelope), "object": "chat.completion", "choices": [choice]}
    usage = _usage(answer)
    return body | ({"usage": usage} if usage else {})


def render_stream(answer: ModelAnswer, envelope: Envelope, *, with_usage: bool) -> Iterator[str]:
    """Yield the same as server-sent events."""
    head = {**asdict(envelope), "object": "chat.completion.chunk"}

    def event(delta: JsonObject, finished: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finished}
        return _event({**head, "choices": [choice]})

    yield event({"role": "assistant", "content": ""})
    if answer.message.text:
        yield event({"content": answer.message.text})
    for index, call in enumerate(_calls(answer)):
        yield event({"tool_calls": [{"index": index, **call}]})
    yield event({}, _finished(answer))
    if with_usage:
        yield _event({**head, "choices": [], "usage": _usage(answer)})
    yield "data: [DONE]\n\n"


def _event(body: JsonObject) -> str:
    return f"data: {json.dumps(body, ensure_ascii=False)}\n\n"


def _calls(answer: ModelAnswer) -> list[JsonObject]:
    return [
        {
            "id": request.id,
            "type": "function",
            "function": {
                "name": request.name,
                "arguments": request.raw_arguments if request.arguments is None else json.dumps(request.arguments),
            },
        }
        for request in answer.message.tool_requests
    ]


def _finished(answer: ModelAnswer) -> str:
    return _FINISHED.get(answer.stop_reason, "stop")


def _usage(answer: ModelAnswer) -> JsonObject | None:
    """Return the tokens; None where the provider did not say."""
    given, made = answer.usage.input_tokens, answer.usage.output_tokens
    if given is None or made is None:
        return None
    return {
        "prompt_tokens": given,
        "completion_tokens": made,
        "total_tokens": given + made,
        "prompt_tokens_details": {"cached_tokens": answer.usage.cached_input_tokens or 0},
        "completion_tokens_details": {"reasoning_tokens": answer.usage.reasoning_tokens or 0},
    }
