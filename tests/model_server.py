"""A scripted model: an HTTP server on loopback that speaks both wires, for every test that needs a provider.

    with ModelServer(scripted([Reply(tool_calls=[("query_metrics", {})]), Reply(text="done")])) as server:
        ...  # OPENAI_BASE_URL=server.openai_url, ANTHROPIC_BASE_URL=server.anthropic_url

As a process: python -m tests.model_server --port 0 --script module:callable --log requests.jsonl
"""

import argparse
import importlib
import json
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from worker.domain.conversation import (
    AssistantMessage,
    Message,
    SystemMessage,
    ToolDefinition,
    ToolMessage,
    ToolRequest,
    UserMessage,
)

OPENAI, ANTHROPIC = "openai_chat", "anthropic_messages"
JsonObject = dict[str, Any]


@dataclass(frozen=True)
class Exchange:
    """One request, in words of no vendor."""

    wire: str
    path: str
    model: str
    messages: tuple[Message, ...]
    tools: tuple[ToolDefinition, ...]
    tool_choice: Any
    headers: Mapping[str, str]
    body: JsonObject
    received_at: float
    number: int
    """Which request of this server it is, from 1."""

    @property
    def system(self) -> str:
        return "\n".join(m.text for m in self.messages if isinstance(m, SystemMessage))

    @property
    def first_user_text(self) -> str:
        return next((m.text for m in self.messages if isinstance(m, UserMessage)), "")

    @property
    def assistant_turns(self) -> int:
        return sum(isinstance(m, AssistantMessage) for m in self.messages)

    @property
    def tool_results(self) -> tuple[ToolMessage, ...]:
        """The results that came since the model last spoke."""
        since: list[ToolMessage] = []
        for message in self.messages:
            if isinstance(message, AssistantMessage):
                since.clear()
            elif isinstance(message, ToolMessage):
                since.append(message)
        return tuple(since)


@dataclass(frozen=True)
class Reply:
    """What the model says, or what goes wrong.

    `body` replaces the wire's answer as it stands; `drip_s` is the pause between its bytes; `drop` closes the
    connection without an answer; `cut` promises more bytes than it sends.
    """

    text: str = ""
    tool_calls: Sequence[tuple[str, JsonObject]] = ()
    usage: tuple[int, int] | None = (100, 20)
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    latency_s: float = 0.0
    drip_s: float = 0.0
    drop: bool = False
    cut: bool = False


Script = Callable[[Exchange], Reply]


def scripted(replies: Sequence[Reply]) -> Script:
    """Answer by the number of turns the conversation holds, so a resumed one goes on where it was."""
    return lambda exchange: replies[min(exchange.assistant_turns, len(replies) - 1)]


def by_marker(scripts: Mapping[str, Script], *, otherwise: Script) -> Script:
    """Choose the script whose marker stands in the conversation's first user message."""

    def choose(exchange: Exchange) -> Reply:
        found = (script for marker, script in scripts.items() if marker in exchange.first_user_text)
        return next(found, otherwise)(exchange)

    return choose


def in_order(replies: Sequence[Reply]) -> Script:
    """Answer by the order of requests; the last reply repeats. For faults that a retry meets."""
    return lambda exchange: replies[min(exchange.number, len(replies)) - 1]


def demo(exchange: Exchange) -> Reply:
    """Say how many turns the conversation has: the script of a server started without one."""
    return Reply(text=f"turn {exchange.assistant_turns + 1}")


class ModelServer:
    """Serves from construction to `close()`. `request_log` holds one entry for each request, added on arrival."""

    def __init__(self, script: Script, *, port: int = 0, log: Path | None = None) -> None:
        self._script = script
        self._lock = threading.Lock()
        self._log = log.open("a", encoding="utf-8") if log else None
        self.request_log: list[JsonObject] = []
        self.exchanges: list[Exchange] = []
        self._http = _Server(("127.0.0.1", port), type("Handler", (_Handler,), {"model_server": self}))
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()
        if self._log:
            self._log.close()

    @property
    def port(self) -> int:
        return int(self._http.server_address[1])

    @property
    def anthropic_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def openai_url(self) -> str:
        return f"{self.anthropic_url}/v1"

    @property
    def count(self) -> int:
        return len(self.request_log)

    def answer(self, path: str, headers: Mapping[str, str], body: JsonObject) -> tuple[Exchange, Reply]:
        """Log the request, then ask the script. The entry is there before any latency passes."""
        with self._lock:
            exchange = read_exchange(path, headers, body, number=len(self.request_log) + 1)
            entry = _entry(exchange)
            self.request_log.append(entry)
            self.exchanges.append(exchange)
            if self._log:
                self._log.write(json.dumps(entry) + "\n")
                self._log.flush()
        return exchange, self._script(exchange)


def _entry(exchange: Exchange) -> JsonObject:
    """Describe a request for the log: enough to count calls per conversation and turn, and no keys."""
    return {
        "number": exchange.number,
        "received_at": exchange.received_at,
        "wire": exchange.wire,
        "model": exchange.model,
        "assistant_turns": exchange.assistant_turns,
        "messages": len(exchange.messages),
        "tools": [tool.name for tool in exchange.tools],
        "first_user_text": exchange.first_user_text[:2000],
    }


# Reading requests


def read_exchange(path: str, headers: Mapping[str, str], body: JsonObject, *, number: int = 1) -> Exchange:
    """Read either wire's request, by its path. Raises ValueError for any other path."""
    readers = {"/chat/completions": (OPENAI, _openai_messages), "/messages": (ANTHROPIC, _anthropic_messages)}
    wire, read = next((found for end, found in readers.items() if path.endswith(end)), ("", None))
    if read is None:
        raise ValueError(path)
    return Exchange(
        wire=wire,
        path=path,
        model=body["model"],
        messages=tuple(read(body)),
        tools=tuple(map(_tool, body.get("tools", ()))),
        tool_choice=body.get("tool_choice"),
        headers={name.lower(): value for name, value in headers.items()},
        body=body,
        received_at=time.time(),
        number=number,
    )


def _tool(tool: JsonObject) -> ToolDefinition:
    about = tool.get("function", tool)
    parameters = about.get("parameters", about.get("input_schema"))
    return ToolDefinition(name=about["name"], description=about["description"], parameters=parameters)


def _openai_messages(body: JsonObject) -> list[Message]:
    names = {c["id"]: c["function"]["name"] for m in body["messages"] for c in m.get("tool_calls") or ()}
    return [_openai_message(message, names) for message in body["messages"]]


def _openai_message(message: JsonObject, names: Mapping[str, str]) -> Message:
    text = _plain(message.get("content"))
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
    return AssistantMessage(text=text, tool_requests=tuple(map(_openai_call, message.get("tool_calls") or ())))


def _openai_call(call: JsonObject) -> ToolRequest:
    function = call["function"]
    return ToolRequest(id=call["id"], name=function["name"], arguments=json.loads(function["arguments"]))


def _anthropic_messages(body: JsonObject) -> list[Message]:
    system = body.get("system", ())
    parts = [{"text": system}] if isinstance(system, str) else system
    messages: list[Message] = [SystemMessage(text=part["text"]) for part in parts]
    names: dict[str, str] = {}
    for message in body["messages"]:
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if message["role"] == "assistant":
            messages.append(_anthropic_turn(blocks))
            names |= {block["id"]: block["name"] for block in blocks if block["type"] == "tool_use"}
        else:
            messages += [_anthropic_block(block, names) for block in blocks]
    return messages


def _anthropic_turn(blocks: Sequence[JsonObject]) -> AssistantMessage:
    calls = (block for block in blocks if block["type"] == "tool_use")
    return AssistantMessage(
        text=_plain([block for block in blocks if block["type"] == "text"]),
        tool_requests=tuple(ToolRequest(id=c["id"], name=c["name"], arguments=c["input"]) for c in calls),
    )


def _anthropic_block(block: JsonObject, names: Mapping[str, str]) -> Message:
    if block["type"] == "text":
        return UserMessage(text=block["text"])
    request_id, error = block["tool_use_id"], block.get("is_error", False)
    text = _plain(block.get("content"))
    return ToolMessage(request_id=request_id, name=names[request_id], text=text, is_error=error)


def _plain(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part["text"] for part in content)
    return content or ""


# Writing answers


def write_answer(exchange: Exchange, reply: Reply) -> JsonObject:
    """Say the reply in the wire's words. Ids of tool calls are the same for the same turn of a conversation."""
    turn = exchange.assistant_turns + 1
    calls = [(f"call_{turn}_{i}", name, arguments) for i, (name, arguments) in enumerate(reply.tool_calls)]
    write = _write_openai if exchange.wire == OPENAI else _write_anthropic
    return {"id": f"answer-{exchange.number}", "model": exchange.model, **write(reply, calls)}


def _write_openai(reply: Reply, calls: Sequence[tuple[str, str, JsonObject]]) -> JsonObject:
    message: JsonObject = {"role": "assistant", "content": reply.text or None}
    if calls:
        message["tool_calls"] = [
            {"id": i, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
            for i, name, arguments in calls
        ]
    choice = {"index": 0, "finish_reason": "tool_calls" if calls else "stop", "message": message}
    answer: JsonObject = {"object": "chat.completion", "created": int(time.time()), "choices": [choice]}
    if reply.usage:
        given, made = reply.usage
        answer["usage"] = {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}
    return answer


def _write_anthropic(reply: Reply, calls: Sequence[tuple[str, str, JsonObject]]) -> JsonObject:
    content: list[JsonObject] = [{"type": "text", "text": reply.text}] if reply.text else []
    content += [{"type": "tool_use", "id": i, "name": name, "input": arguments} for i, name, arguments in calls]
    stop = "tool_use" if calls else "end_turn"
    answer: JsonObject = {"type": "message", "role": "assistant", "content": content, "stop_reason": stop}
    if reply.usage:
        given, made = reply.usage
        answer["usage"] = {"input_tokens": given, "output_tokens": made}
    return answer


# HTTP


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a reply that still waits must not hold the test
    request_queue_size = 1024

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up: tests make them do so."""


class _Handler(BaseHTTPRequestHandler):
    model_server: ModelServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body leave in one packet

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        try:
            exchange, reply = self.model_server.answer(self.path, dict(self.headers), body)
        except ValueError:
            return self._send(Reply(status=404), b'{"error": {"message": "no such path"}}')
        time.sleep(reply.latency_s)
        if reply.drop:
            return self._drop()
        written = reply.body if reply.body is not None else json.dumps(write_answer(exchange, reply)).encode()
        return self._send(reply, written)

    def _send(self, reply: Reply, body: bytes) -> None:
        self.send_response(reply.status)
        for name, value in {"content-type": "application/json", **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body) + (1000 if reply.cut else 0)))
        self.end_headers()
        self._write(body, reply.drip_s)
        if reply.cut:
            self._drop()

    def _write(self, body: bytes, drip_s: float) -> None:
        if not drip_s:
            self.wfile.write(body)
        for byte in body if drip_s else b"":
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            time.sleep(drip_s)
        self.wfile.flush()

    def _drop(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: Any) -> None:
        """The request log says more."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve a scripted model on loopback.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--script", default="tests.model_server:demo", help="module:callable")
    parser.add_argument("--log", type=Path)
    chosen = parser.parse_args()
    module, _, name = chosen.script.partition(":")
    script: Script = getattr(importlib.import_module(module), name)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with ModelServer(script, port=chosen.port, log=chosen.log) as server:
        print(f"listening on {server.anthropic_url}", flush=True)  # noqa: T201 - how the parent learns the port
        ended.wait()


if __name__ == "__main__":
    main()
