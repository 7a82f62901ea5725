"""Anthropic's Messages from the provider's side."""

from collections.abc import Mapping, Sequence

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
    tools = [
        ToolDefinition(name=t["name"], description=t["description"], parameters=t["input_schema"])
        for t in body.get("tools", ())
    ]
    return Heard(body["model"], _messages(body), tools, body.get("tool_choice"))


def _messages(body: JsonObject) -> list[Message]:
    system = body.get("system", ())
    parts = [{"text": system}] if isinstance(system, str) else system
    messages: list[Message] = [SystemMessage(text=part["text"]) for part in parts]
    names: dict[str, str] = {}
    for message in body["messages"]:
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if message["role"] == "assistant":
            messages.append(_turn(blocks))
            names |= {block["id"]: block["name"] for block in blocks if block["type"] == "tool_use"}
        else:
            messages += [_block(block, names) for block in blocks]
    return messages


def _turn(blocks: Sequence[JsonObject]) -> AssistantMessage:
    calls = (block for block in blocks if block["type"] == "tool_use")
    return AssistantMessage(
        text=plain([block for block in blocks if block["type"] == "text"]),
        tool_requests=tuple(ToolRequest(id=c["id"], name=c["name"], arguments=c["input"]) for c in calls),
    )


def _block(block: JsonObject, names: Mapping[str, str]) -> Message:
    if block["type"] == "text":
        return UserMessage(text=block["text"])
    request_id, error = block["tool_use_id"], block.get("is_error", False)
    text = plain(block.get("content"))
    return ToolMessage(request_id=request_id, name=names[request_id], text=text, is_error=error)


def write(said: Said) -> JsonObject:
    calls, reply = said.calls, said.reply
    content: list[JsonObject] = [{"type": "text", "text": reply.text}] if reply.text else []
    content += [{"type": "tool_use", "id": i, "name": name, "input": arguments} for i, name, arguments in calls]
    answer: JsonObject = {"id": said.id, "model": said.exchange.model, "type": "message", "role": "assistant"}
    answer |= {"content": content, "stop_reason": "tool_use" if calls else "end_turn"}
    if reply.usage:
        given, made = reply.usage
        answer["usage"] = {"input_tokens": given, "output_tokens": made}
    return answer


VOICE = Voice("anthropic_messages", lambda path: path.endswith("/messages"), read, write)
