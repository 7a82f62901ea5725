"""OpenAI's chat completions from the provider's side."""

import json
import time
from collections.abc import Mapping

from tests.served.exchange import Heard, JsonObject, Said, Voice, plain
from worker.domain.conversation import (
    AssistantMessage,
    Message,
    SystemMessage,
    ToolDefinition,
    ToolMessage,
    ToolRequest,
    UserMessage,
)


def read(_path: str, body: JsonObject) -> Heard:
    names = {c["id"]: c["function"]["name"] for m in body["messages"] for c in m.get("tool_calls") or ()}
    messages = [_message(message, names) for message in body["messages"]]
    tools = [_tool(tool["function"]) for tool in body.get("tools", ())]
    return Heard(body["model"], messages, tools, body.get("tool_choice"))


def _tool(about: JsonObject) -> ToolDefinition:
    return ToolDefinition(name=about["name"], description=about["description"], parameters=about["parameters"])


def _message(message: JsonObject, names: Mapping[str, str]) -> Message:
    text = plain(message.get("content"))
    match message["role"]:
        case "system" | "developer":
            return SystemMessage(text=text)
        case "user":
            return UserMessage(text=text)
        case "tool":
            request_id = message["tool_call_id"]
            error = text.startswith("Error: ")
            text = text.removeprefix("Error: ")
            return ToolMessage(request_id=request_id, name=names[request_id], text=text, is_error=error)
    return AssistantMessage(text=text, tool_requests=tuple(map(_call, message.get("tool_calls") or ())))


def _call(call: JsonObject) -> ToolRequest:
    function = call["function"]
    return ToolRequest(id=call["id"], name=function["name"], arguments=json.loads(function["arguments"]))


def write(said: Said) -> JsonObject:
    calls, reply = said.calls, said.reply
    message: JsonObject = {"role": "assistant", "content": reply.text or None}
    if calls:
        message["tool_calls"] = [
            {"id": i, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
            for i, name, arguments in calls
        ]
    choice = {"index": 0, "finish_reason": "tool_calls" if calls else "stop", "message": message}
    answer: JsonObject = {"id": said.id, "model": said.exchange.model, "object": "chat.completion"}
    answer |= {"created": int(time.time()), "choices": [choice]}
    if reply.usage:
        given, made = reply.usage
        answer["usage"] = {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}
    return answer


VOICE = Voice("openai_chat", lambda path: path.partition("?")[0].endswith("/chat/completions"), read, write)
