"""A stub of Vault's KV version 2, as its API is documented: no sealing, policies or leases, only secrets and refusals.

https://openbao.org/api-docs/secret/kv/kv-v2 (Vault's is the same). It stands in for a server that no registry holds.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

TOKEN = "hvs.stub-token-of-the-tests"
MOUNT = "aurorasoc"


class KvStub:
    """Serves from construction to `close()`. `status` answers everything instead, where it is set."""

    def __init__(self) -> None:
        self.secrets: dict[str, list[dict[str, Any]]] = {}
        self.status: int | None = None
        self.asked: list[tuple[str, str]] = []
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"stub": self}))
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def answer(self, method: str, path: str, token: str | None, body: Any) -> tuple[int, Any]:
        """Return status and body. `LIST` may come as a GET with `list=true`."""
        self.asked.append((method, path))
        if self.status is not None:
            return self.status, {"errors": ["Vault is sealed"]}
        if token != TOKEN:
            return 403, {"errors": ["permission denied"]}
        kind, _, name = path.removeprefix(f"/v1/{MOUNT}/").partition("?")[0].partition("/")
        if not path.startswith(f"/v1/{MOUNT}/") or kind not in {"data", "metadata"}:
            return 404, {"errors": [f"no handler for route {path!r}"]}
        is_list = method == "LIST" or "list=true" in path
        if kind == "metadata":
            return self._list(name.rstrip("/")) if is_list else self._remove(name)
        return self._read(name) if method == "GET" else self._write(name, body)

    def _read(self, name: str) -> tuple[int, Any]:
        versions = self.secrets.get(name)
        if not versions:
            return 404, {"errors": []}
        return 200, {"data": {"data": versions[-1], "metadata": {"version": len(versions), "deletion_time": ""}}}

    def _write(self, name: str, body: Any) -> tuple[int, Any]:
        self.secrets.setdefault(name, []).append(body["data"])
        return 200, {"data": {"version": len(self.secrets[name])}}

    def _list(self, folder: str) -> tuple[int, Any]:
        names = sorted(n.removeprefix(f"{folder}/") for n in self.secrets if n.startswith(f"{folder}/"))
        return (200, {"data": {"keys": names}}) if names else (404, {"errors": []})

    def _remove(self, name: str) -> tuple[int, Any]:
        self.secrets.pop(name, None)
        return 204, None


class _Handler(BaseHTTPRequestHandler):
    stub: KvStub
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        status, told = self.stub.answer(self.command, self.path, self.headers.get("x-vault-token"), body)
        data = json.dumps(told).encode() if told is not None else b""
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = do_LIST = _serve  # noqa: N815 - the base class's names

    def log_message(self, *_: object) -> None:
        pass
