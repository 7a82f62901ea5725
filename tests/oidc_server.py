"""A real OpenID Connect server on loopback, and a hand on what it answers."""

import json
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

with warnings.catch_warnings():
    import authlib.deprecate  # it would undo the next line

    warnings.simplefilter("ignore", authlib.deprecate.AuthlibDeprecationWarning)
    import oidc_provider_mock

Tamper = Callable[[Any], Any]
OLD_WAYS = pytest.mark.filterwarnings("ignore::DeprecationWarning")
"""The server uses what its library will take away; that is no concern of ours."""


@dataclass
class OidcServer:
    """The server. `tamper` says for a path what is done to the JSON that it answers; `asked` are path and form."""

    url: str = ""
    tamper: dict[str, Tamper] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def approve(self, address: str, *, sub: str = "alice") -> str:
        """Be the person who says yes where a browser was sent to; return where that leads."""
        answer = httpx.post(address, data={"sub": sub})
        assert answer.status_code == 302, answer.text
        return answer.headers["location"]

    def deny(self, address: str) -> str:
        return httpx.post(address, data={"action": "deny"}).headers["location"]


def query_of(address: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}


def with_query(address: str, **changed: str) -> str:
    return f"{address.partition('?')[0]}?{urlencode(query_of(address) | changed)}"


@contextmanager
def running_oidc_server(
    groups: dict[str, list[str]], *, lasts: timedelta = timedelta(hours=1), port: int = 0
) -> Iterator[OidcServer]:
    """Run it for people and their groups; its ID tokens hold as long as `lasts`."""
    people = [oidc_provider_mock.User(sub=sub, claims={"groups": held}) for sub, held in groups.items()]
    inner = oidc_provider_mock.app(require_nonce=True, access_token_max_age=lasts, user_claims=people)
    served = OidcServer()

    @Request.application
    def app(request: Request) -> Response:
        body = request.get_data()
        asked = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        served.asked.append((request.path, asked | {"authorization": request.headers.get("Authorization", "")}))
        answer = Response.from_app(inner.wsgi_app, request.environ | {"wsgi.input": BytesIO(body)})
        if (change := served.tamper.get(request.path)) and answer.status_code == 200:
            answer.set_data(json.dumps(change(json.loads(answer.get_data()))))
        return answer

    server = make_server("127.0.0.1", port, app, threaded=True)
    served.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join(timeout=10)
        server.server_close()
