"""Ollama's chat from the provider's side; it gives tool calls no ids, so they are numbered as they come."""

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


def read(_path: str, body: JsonObject) -> Heard:
    tools = [
        ToolDefinition(name=t["name"], description=t["description"], parameters=t["parameters"])
        for t in (tool["function"] for tool in body.get("tools", ()))
    ]
    return Heard(body["model"], list(_messages(body)), tools, body.get("format"))


def _messages(body: JsonObject) -> Iterator[Message]:
    made, answered = 0, 0
    for message in body["messages"]:
        text = message["content"]
        match message["role"]:
            case "system":
                yield SystemMessage(text=text)
            case "user":
                yield UserMessage(text=text)
            case "assistant":
                functions = [call["function"] for call in message.get("tool_calls", ())]
                calls = [
                    ToolRequest(id=f"n{made + i}", name=f["name"], arguments=f["arguments"])
                    for i, f in enumerate(functions)
                ]
                made += len(calls)
                yield AssistantMessage(text=text, tool_requests=tuple(calls))
            case "tool":
                error = text.startswith("Error: ")
                said = text.removeprefix("Error: ")
                yield ToolMessage(request_id=f"n{answered}", name=message["tool_name"], text=said, is_error=error)
                answered += 1


def write(said: Said) -> JsonObject:
    reply = said.reply
    message: JsonObject = {"role": "assistant", "content": reply.text}
    if reply.tool_calls:
        message["tool_calls"] = [
            {"function": {"name": name, "arguments": arguments}} for name, arguments in reply.tool_calls
        ]
    answer: JsonObject = {"model": said.exchange.model, "created_at": "2026-03-01T12:00:00Z", "message": message}
    answer |= {"done": True, "done_reason": "stop"}
    if reply.usage:
        given, made = reply.usage
        answer |= {"prompt_eval_count": given, "eval_count": made}
    return answer


VOICE = Voice("ollama_chat", lambda path: path.endswith("/api/chat"), read, write)
