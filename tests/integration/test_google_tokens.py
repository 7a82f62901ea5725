"""Tokens of a service account, got from a token server on loopback that checks the signature."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import jwt

from tests.llm_builders import bare_settings, hello
from tests.model_server import ModelServer, Reply
from worker.domain.conversation import Route
from worker.errors import ProviderAuthError, ProviderUnavailableError
from worker.llm.client import ProviderClient
from worker.llm.secrets import Credentials
from worker.llm.standing import constant
from worker.llm.transport import Transport

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


class TokenServer:
    """Gives a token for a request that the service account has signed; `lives_s` is how long it holds."""

    def __init__(self) -> None:
        self.claims: list[dict[str, Any]] = []
        self.lives_s, self.status, self.slow_s = 3600, 200, 0.0
        served = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                status, answer = served.answer(parse_qs(body)["assertion"][0])
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(answer).encode())

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,))
        self.thread.start()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.http.server_address[1]}/token"

    def answer(self, assertion: str) -> tuple[int, dict[str, Any]]:
        time.sleep(self.slow_s)
        if self.status != 200:
            return self.status, {"error": "invalid_grant"}
        certificate = KEY.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.claims.append(dict(jwt.decode(assertion, certs=certificate)))
        return 200, {"access_token": f"token-{len(self.claims)}", "expires_in": self.lives_s, "token_type": "Bearer"}

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def server() -> Iterator[TokenServer]:
    with closing(TokenServer()) as one:
        yield one


@pytest.fixture
def transport() -> Iterator[Transport]:
    with closing(Transport()) as one:
        yield one


def account(server: TokenServer) -> str:
    pem = KEY.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    facts = {"type": "service_account", "client_email": "rca@shop.example", "token_uri": server.uri}
    return json.dumps({**facts, "private_key": pem, "private_key_id": "1", "project_id": "shop"})


def test_a_key_in_memory_signs_for_a_token_that_is_kept(server: TokenServer, transport: Transport) -> None:
    credentials = Credentials(constant(bare_settings(vertex_ai_service_account_json=account(server))), transport)

    tokens = [credentials.find("google:VERTEX_AI_SERVICE_ACCOUNT_JSON") for _ in range(2)]

    assert tokens == ["token-1", "token-1"]
    assert [claim["iss"] for claim in server.claims] == ["rca@shop.example"]
    assert server.claims[0]["scope"] == "https://www.googleapis.com/auth/cloud-platform"


def test_a_token_that_runs_out_is_renewed(server: TokenServer, transport: Transport) -> None:
    server.lives_s = 1
    credentials = Credentials(constant(bare_settings(vertex_ai_service_account_json=account(server))), transport)

    tokens = [credentials.find("google:VERTEX_AI_SERVICE_ACCOUNT_JSON") for _ in range(2)]

    assert tokens == ["token-1", "token-2"]


def test_a_key_in_a_file_is_taken_too(server: TokenServer, transport: Transport, tmp_path: Path) -> None:
    (tmp_path / "key.json").write_text(account(server))
    settings = bare_settings(google_application_credentials=str(tmp_path / "key.json"))

    assert Credentials(constant(settings), transport).find("google:GOOGLE_APPLICATION_CREDENTIALS") == "token-1"


def test_a_key_that_google_refuses_is_named_and_not_shown(server: TokenServer, transport: Transport) -> None:
    server.status = 400
    credentials = Credentials(constant(bare_settings(vertex_ai_service_account_json=account(server))), transport)

    with pytest.raises(ProviderAuthError, match="VERTEX_AI_SERVICE_ACCOUNT_JSON") as caught:
        credentials.find("google:VERTEX_AI_SERVICE_ACCOUNT_JSON")

    assert "PRIVATE KEY" not in str(caught.value)


@pytest.mark.parametrize("content", ["{}", '{"type": "service_account"}', "no json"])
def test_a_file_that_is_no_key_is_named(content: str, transport: Transport, tmp_path: Path) -> None:
    (tmp_path / "key.json").write_text(content)
    settings = bare_settings(google_application_credentials=str(tmp_path / "key.json"))

    with pytest.raises(ProviderAuthError, match="GOOGLE_APPLICATION_CREDENTIALS"):
        Credentials(constant(settings), transport).find("google:GOOGLE_APPLICATION_CREDENTIALS")


def test_a_token_server_that_is_away_is_tried_again_later(server: TokenServer, transport: Transport) -> None:
    credentials = Credentials(constant(bare_settings(vertex_ai_service_account_json=account(server))), transport)
    server.close()

    with pytest.raises(ProviderUnavailableError):
        credentials.find("google:VERTEX_AI_SERVICE_ACCOUNT_JSON")


def vertex_at(models: ModelServer) -> Route:
    return Route(
        provider="vertex",
        model="gemini-2.5-flash",
        wire="gemini_generate",
        base_url=models.root,
        credential_ref="google:VERTEX_AI_SERVICE_ACCOUNT_JSON",
        project="shop",
        location="global",
    )


def test_vertex_is_asked_with_the_token(server: TokenServer) -> None:
    settings = bare_settings(vertex_ai_service_account_json=account(server))
    with ModelServer(lambda _: Reply(text="ok")) as models, closing(ProviderClient(settings)) as client:
        route = vertex_at(models)

        answer = client.ask(hello(), route=route, timeout_s=10)

        (exchange,) = models.exchanges
    assert answer.message.text == "ok"
    assert exchange.headers["authorization"] == "Bearer token-1"
    assert exchange.path.startswith("/v1/projects/shop/locations/global/publishers/google/models/gemini-2.5-flash")


def test_a_token_that_comes_late_takes_its_time_from_the_call(server: TokenServer) -> None:
    server.slow_s = 1.0
    settings = bare_settings(vertex_ai_service_account_json=account(server))
    with ModelServer(lambda _: Reply(text="ok")) as models, closing(ProviderClient(settings)) as client:
        route = vertex_at(models)

        with pytest.raises(ProviderUnavailableError, match="no time is left"):
            client.ask(hello(), route=route, timeout_s=0.5)

    assert models.count == 0
