"""A scripted model: an HTTP server on loopback that speaks all wires, for every test that needs a provider.

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
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.served import VOICES
from tests.served.exchange import Exchange as Exchange
from tests.served.exchange import JsonObject as JsonObject
from tests.served.exchange import Reply as Reply
from tests.served.exchange import Said

Script = Callable[[Exchange], Reply]
List = Callable[[str, Mapping[str, str]], Reply]
"""Answer a GET, by its path with the query and its headers (names in lower case): a provider's list of its models."""


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


def no_list(_path: str, _headers: Mapping[str, str]) -> Reply:
    """List nothing, as an endpoint that has no such route."""
    return Reply(status=404, body=b'{"error": {"message": "no such path"}}')


class ModelServer:
    """Serves from construction to `close()`. `request_log` holds one entry for each request, added on arrival.

    `lists` answers what is asked by GET; `listed` holds the paths that were, with their queries.
    """

    def __init__(self, script: Script, *, lists: List = no_list, port: int = 0, log: Path | None = None) -> None:
        self._script, self.lists = script, lists
        self.listed: list[str] = []
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
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def anthropic_url(self) -> str:
        return self.root

    @property
    def openai_url(self) -> str:
        return f"{self.root}/v1"

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


# Reading requests, writing answers


def read_exchange(path: str, headers: Mapping[str, str], body: JsonObject, *, number: int = 1) -> Exchange:
    """Read any wire's request, by its path. Raises ValueError for any other path."""
    voice = next((voice for voice in VOICES if voice.fits(path)), None)
    if voice is None:
        raise ValueError(path)
    heard = voice.read(path, body)
    return Exchange(
        wire=voice.name,
        path=path,
        model=heard.model,
        messages=tuple(heard.messages),
        tools=tuple(heard.tools),
        tool_choice=heard.tool_choice,
        headers={name.lower(): value for name, value in headers.items()},
        body=body,
        received_at=time.time(),
        number=number,
    )


def write_answer(exchange: Exchange, reply: Reply) -> JsonObject:
    """Say the reply in the wire's words."""
    voice = next(voice for voice in VOICES if voice.name == exchange.wire)
    return voice.write(Said(exchange, reply))


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

    def do_GET(self) -> None:
        self.model_server.listed.append(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = self.model_server.lists(self.path, headers)
        time.sleep(reply.latency_s)
        if reply.drop:
            return self._drop()
        return self._send(reply, reply.body or b"")

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
