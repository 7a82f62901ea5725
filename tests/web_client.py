"""Two ways to ask the web part: its application directly from a chosen peer, or a real server on loopback."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from tests.builders import build_services, close_services, submits_report
from tests.databases import migrated_sqlite
from tests.fakes import ScriptedModel
from worker.services import Services
from worker.storage import tokens
from worker.web.app import create_app
from worker.web.server import configured

NEAR, FAR = ("127.0.0.1", 50000), ("192.0.2.7", 50000)
LOCAL = "http://127.0.0.1:8642"


@cache
def _application() -> FastAPI:
    """Return the one that answers in all tests: to lay out its routes takes longer than most answers."""
    nobody: Any = None
    return create_app(nobody)


class AppClient:
    """Asks the application over these services as a peer at an address would, without a socket."""

    def __init__(self, services: Services, *, peer: tuple[str, int] = NEAR, base_url: str = LOCAL) -> None:
        self._state = create_app(services).state
        transport = httpx.ASGITransport(_application(), client=peer, raise_app_exceptions=False)
        self._client = httpx.AsyncClient(transport=transport, base_url=base_url)
        self._runner = asyncio.Runner()

    def request(self, method: str, path: str, **how: Any) -> httpx.Response:
        _application().state = self._state
        return self._runner.run(self._client.request(method, path, **how))

    def get(self, path: str, **how: Any) -> httpx.Response:
        return self.request("GET", path, **how)

    def post(self, path: str, **how: Any) -> httpx.Response:
        return self.request("POST", path, **how)

    def forget_cookies(self) -> None:
        self._client.cookies.clear()

    def close(self) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()


def web_services(url: str, **settings: Any) -> Services:
    """Return services whose model submits an empty report at its first turn."""
    return build_services(url, ScriptedModel([submits_report()]), **settings)


@contextmanager
def sqlite_services(folder: Path, **settings: Any) -> Iterator[Services]:
    services = web_services(migrated_sqlite(folder), **settings)
    try:
        yield services
    finally:
        close_services(services)


@contextmanager
def client_of(services: Services, *, peer: tuple[str, int] = NEAR, base_url: str = LOCAL) -> Iterator[AppClient]:
    client = AppClient(services, peer=peer, base_url=base_url)
    try:
        yield client
    finally:
        client.close()


def token_for(services: Services, *scopes: str, user_path: str = "/") -> dict[str, str]:
    """Return the header of a new token with these scopes."""
    with services.database.transaction() as session:
        _, secret = tokens.create(session, "test", name="test", scopes=scopes, user_path=user_path)
    return {"Authorization": f"Bearer {secret}"}


@contextmanager
def running_server(services: Services) -> Iterator[str]:
    """Serve as `rca web` does, on a free port; yield the address."""
    config = configured(services)
    config.port = 0
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    ends = time.monotonic() + 10
    while not server.started:
        assert time.monotonic() < ends, "the server did not start"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)
