"""Bedrock's Converse from the provider's side."""

import re
from collections.abc import Iterator
from urllib.parse import unquote

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

_PATH = re.compile(r"/model/(?P<model>[^/]+)/converse$")


def read(path: str, body: JsonObject) -> Heard:
    config = body.get("toolConfig", {})
    specs = [tool["toolSpec"] for tool in config.get("tools", ()) if "toolSpec" in tool]
    tools = [
        ToolDefinition(name=s["name"], description=s["description"], parameters=s["inputSchema"]["json"]) for s in specs
    ]
    found = _PATH.search(path)
    assert found
    return Heard(unquote(found["model"]), list(_messages(body)), tools, config.get("toolChoice"))


def _messages(body: JsonObject) -> Iterator[Message]:
    for part in body.get("system", ()):
        if "text" in part:
            yield SystemMessage(text=part["text"])
    names: dict[str, str] = {}
    for message in body["messages"]:
        blocks = [block for block in message["content"] if "cachePoint" not in block]
        if message["role"] == "assistant":
            uses = [block["toolUse"] for block in blocks if "toolUse" in block]
            names |= {use["toolUseId"]: use["name"] for use in uses}
            yield AssistantMessage(
                text="".join(block.get("text", "") for block in blocks),
                tool_requests=tuple(ToolRequest(id=u["toolUseId"], name=u["name"], arguments=u["input"]) for u in uses),
            )
            continue
        for block in blocks:
            yield UserMessage(text=block["text"]) if "text" in block else _result(block["toolResult"], names)


def _result(result: JsonObject, names: dict[str, str]) -> ToolMessage:
    ((part),) = result["content"]
    request_id, is_error = result["toolUseId"], result.get("status") == "error"
    return ToolMessage(request_id=request_id, name=names[request_id], text=part["text"], is_error=is_error)


def write(said: Said) -> JsonObject:
    reply, calls = said.reply, said.calls
    content: list[JsonObject] = [{"text": reply.text}] if reply.text else []
    content += [{"toolUse": {"toolUseId": i, "name": name, "input": arguments}} for i, name, arguments in calls]
    answer: JsonObject = {"output": {"message": {"role": "assistant", "content": content}}}
    answer |= {"stopReason": "tool_use" if calls else "end_turn", "metrics": {"latencyMs": 1}}
    if reply.usage:
        given, made = reply.usage
        answer["usage"] = {"inputTokens": given, "outputTokens": made, "totalTokens": given + made}
    return answer


VOICE = Voice("bedrock_converse", lambda path: _PATH.search(path) is not None, read, write)
