"""OpenAI's Responses from the provider's side."""

import json
import time
from collections.abc import Iterator, Sequence
from itertools import groupby

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
        ToolDefinition(name=t["name"], description=t["description"], parameters=t["parameters"])
        for t in body.get("tools", ())
    ]
    return Heard(body["model"], list(_messages(body["input"])), tools, body.get("tool_choice"))


def _messages(items: Sequence[JsonObject]) -> Iterator[Message]:
    names = {item["call_id"]: item["name"] for item in items if item.get("type") == "function_call"}
    for is_models, group in groupby(items, key=_is_models):
        if is_models:
            yield _turn(list(group))
            continue
        for item in group:
            if item.get("type") == "function_call_output":
                yield _result(item, names[item["call_id"]])
            else:
                text = plain(item["content"])
                yield SystemMessage(text=text) if item["role"] in {"system", "developer"} else UserMessage(text=text)


def _is_models(item: JsonObject) -> bool:
    return item.get("role") == "assistant" or item.get("type") in {"function_call", "reasoning"}


def _turn(items: Sequence[JsonObject]) -> AssistantMessage:
    calls = [item for item in items if item.get("type") == "function_call"]
    return AssistantMessage(
        text="".join(plain(item["content"]) for item in items if item.get("role") == "assistant"),
        tool_requests=tuple(
            ToolRequest(id=c["call_id"], name=c["name"], arguments=json.loads(c["arguments"])) for c in calls
        ),
    )


def _result(item: JsonObject, name: str) -> ToolMessage:
    text = item["output"]
    error = text.startswith("Error: ")
    return ToolMessage(request_id=item["call_id"], name=name, text=text.removeprefix("Error: "), is_error=error)


def write(said: Said) -> JsonObject:
    reply = said.reply
    output: list[JsonObject] = []
    if reply.text:
        part = {"type": "output_text", "text": reply.text, "annotations": []}
        message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}
        output.append(message)
    output += [
        {"type": "function_call", "id": f"fc_{i}", "call_id": i, "name": name, "arguments": json.dumps(arguments)}
        | {"status": "completed"}
        for i, name, arguments in said.calls
    ]
    answer: JsonObject = {"id": said.id, "object": "response", "status": "completed", "model": said.exchange.model}
    answer |= {"created_at": int(time.time()), "error": None, "incomplete_details": None, "output": output}
    answer |= {"parallel_tool_calls": True, "tool_choice": "auto", "tools": []}
    if reply.usage:
        given, made = reply.usage
        details = {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
        answer["usage"] = {"input_tokens": given, "output_tokens": made, "total_tokens": given + made, **details}
    return answer


VOICE = Voice("openai_responses", lambda path: path.partition("?")[0].endswith("/responses"), read, write)
