"""Gemini's generateContent from the provider's side."""

import re
from collections.abc import Iterator

from tests.served.exchange import Heard, JsonObject, Said, Voice
from worker.domain.conversation import (
    AssistantMessage,
    Message,
    SystemMessage,
    ToolDefinition,
    ToolMessage,
    ToolRequest,
    UserMessage,
)

_PATH = re.compile(r"/models/(?P<model>[^/:]+):generateContent$")


def read(path: str, body: JsonObject) -> Heard:
    tools = [
        ToolDefinition(name=d["name"], description=d["description"], parameters=_schema(d))
        for tool in body.get("tools", ())
        for d in tool["functionDeclarations"]
    ]
    found = _PATH.search(path)
    assert found
    choice = body.get("toolConfig", {}).get("functionCallingConfig")
    return Heard(found["model"], list(_messages(body)), tools, choice)


def _schema(declaration: JsonObject) -> JsonObject:
    """Return the schema of arguments, under either spelling that is taken."""
    found: JsonObject = declaration.get("parametersJsonSchema") or declaration["parameters_json_schema"]
    return found


def _messages(body: JsonObject) -> Iterator[Message]:
    for part in body.get("systemInstruction", {}).get("parts", ()):
        yield SystemMessage(text=part["text"])
    for content in body["contents"]:
        if content["role"] == "model":
            yield _turn(content["parts"])
        else:
            yield from map(_part, content["parts"])


def _turn(parts: list[JsonObject]) -> AssistantMessage:
    calls = [part["functionCall"] for part in parts if "functionCall" in part]
    return AssistantMessage(
        text="".join(part.get("text", "") for part in parts),
        tool_requests=tuple(ToolRequest(id=c.get("id", ""), name=c["name"], arguments=c["args"]) for c in calls),
    )


def _part(part: JsonObject) -> Message:
    if "text" in part:
        return UserMessage(text=part["text"])
    result = part["functionResponse"]
    ((kind, text),) = result["response"].items()
    return ToolMessage(request_id=result.get("id", ""), name=result["name"], text=text, is_error=kind == "error")


def write(said: Said) -> JsonObject:
    reply = said.reply
    parts: list[JsonObject] = [{"text": reply.text}] if reply.text else []
    parts += [{"functionCall": {"id": i, "name": name, "args": arguments}} for i, name, arguments in said.calls]
    candidate = {"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}
    answer: JsonObject = {"candidates": [candidate], "modelVersion": said.exchange.model, "responseId": said.id}
    if reply.usage:
        given, made = reply.usage
        counts = {"promptTokenCount": given, "candidatesTokenCount": made, "totalTokenCount": given + made}
        answer["usageMetadata"] = counts
    return answer


VOICE = Voice("gemini_generate", lambda path: _PATH.search(path) is not None, read, write)
