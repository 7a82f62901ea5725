"""A receiver of reports on loopback: it keeps what was posted and answers as it is told."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True)
class Say:
    """One answer. `drip_s` is the pause between the bytes of its head, `silent_s` what goes by before any."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"thank you"
    silent_s: float = 0.0
    drip_s: float = 0.0
    drop: bool = False


@dataclass(frozen=True)
class Post:
    path: str
    headers: Mapping[str, str]
    body: bytes


class Receiver:
    """Answers the n-th post with the n-th word; the last repeats. Serves from construction to `close()`."""

    def __init__(self, says: Sequence[Say] = (Say(),)) -> None:
        self.says = list(says)
        self.posts: list[Post] = []
        self.on_post: Callable[[Post], None] = lambda _: None
        self.ended = threading.Event()
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"receiver": self}))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/hook"

    def take(self, post: Post) -> Say:
        with self._lock:
            self.posts.append(post)
            say = self.says[min(len(self.posts), len(self.says)) - 1]
        self.on_post(post)
        return say

    def close(self) -> None:
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up: some tests make them."""


class _Handler(BaseHTTPRequestHandler):
    receiver: Receiver

    def do_POST(self) -> None:
        size = int(self.headers.get("content-length", 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        say = self.receiver.take(Post(self.path, headers, self.rfile.read(size)))
        self.receiver.ended.wait(say.silent_s)
        if not say.drop:
            self._write(say)
        self.close_connection = True

    def _write(self, say: Say) -> None:
        named = {"Content-Length": str(len(say.body)), **say.headers}
        head = "".join([f"HTTP/1.1 {say.status} Told\r\n", *(f"{k}: {v}\r\n" for k, v in named.items()), "\r\n"])
        if not say.drip_s:
            self.wfile.write(head.encode() + say.body)
            return
        for byte in head.encode():
            if self.receiver.ended.is_set():
                return
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            time.sleep(say.drip_s)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's signature
        """Say nothing."""
