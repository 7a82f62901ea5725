"""The server: where it may listen, and how it behaves on a real socket."""

import socket
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.web_client import running_server, sqlite_services, token_for
from worker.domain.incident import MAX_EVENT_BYTES
from worker.errors import ConfigError
from worker.services import Services
from worker.web.body import DRAINED_BYTES
from worker.web.server import configured, require_token


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_loopback_needs_no_token(tmp_path: Path, host: str) -> None:
    with sqlite_services(tmp_path, rca_http_host=host) as services:
        require_token(services)


@pytest.mark.parametrize(
    "settings",
    [
        {"rca_http_host": "0.0.0.0"},
        {"rca_http_host": "::"},
        {"rca_http_host": "10.1.2.3"},
        {"rca_http_host": "rca.internal"},
        {"rca_public_url": "https://rca.example.com"},
    ],
)
def test_any_other_address_is_refused_until_there_is_a_token(tmp_path: Path, settings: dict[str, str]) -> None:
    with sqlite_services(tmp_path, **settings) as services:
        with pytest.raises(ConfigError, match=r"RCA_API_TOKEN.*rca tokens create"):
            require_token(services)
        token_for(services, "reports:read")
        require_token(services)


def test_the_token_of_the_environment_is_enough(tmp_path: Path) -> None:
    with sqlite_services(tmp_path, rca_http_host="0.0.0.0", rca_api_token="something-long") as services:
        require_token(services)


def test_the_true_peer_is_seen_and_our_logging_kept(services: Services) -> None:
    config = configured(services)

    assert not config.proxy_headers
    assert config.log_config is None
    assert not config.server_header


def test_it_does_not_say_what_serves(services: Services) -> None:
    with running_server(services) as url:
        answer = httpx.get(f"{url}/healthz")

    assert answer.status_code == 200
    assert "server" not in answer.headers


@pytest.mark.parametrize("size", [MAX_EVENT_BYTES + 1, 3 * MAX_EVENT_BYTES])
def test_a_body_that_is_too_large_is_told_so(services: Services, size: int) -> None:
    with running_server(services) as url:
        answer = httpx.post(f"{url}/v1/incidents", content=b"x" * size)
        again = httpx.get(f"{url}/healthz")

    assert answer.status_code == 413
    assert again.status_code == 200


def test_a_body_without_end_is_cut_off(services: Services) -> None:
    sent = 0
    with running_server(services) as url:
        port = int(url.rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            head = f"POST /v1/incidents HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nTransfer-Encoding: chunked\r\n\r\n"
            client.sendall(head.encode())
            chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
            with suppress(ConnectionError):
                while sent < 20 * DRAINED_BYTES:
                    client.sendall(chunk)
                    sent += len(chunk)

    assert DRAINED_BYTES <= sent < 4 * DRAINED_BYTES


def test_a_caller_who_leaves_in_the_middle_leaves_the_server_well(services: Services) -> None:
    with running_server(services) as url:
        port = int(url.rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            head = f"POST /v1/incidents HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 100\r\n\r\n"
            client.sendall(head.encode() + b'{"title"')
        assert httpx.get(f"{url}/v1/investigations").json()["investigations"] == []
