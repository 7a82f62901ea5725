"""A link carries bytes both ways, holds them back while it is paused, and loses none."""

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.benchmarks.chaos.proxy import Link

WAIT_S = 5.0


@pytest.fixture
def echo_port() -> Iterator[int]:
    """Serve whoever connects by sending back what comes."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                while chunk := client.recv(1024):
                    client.sendall(chunk)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield int(listener.getsockname()[1])
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(WAIT_S)


@pytest.fixture
def link(echo_port: int) -> Iterator[Link]:
    carrying = Link(echo_port)
    yield carrying
    carrying.close()


def connect(link: Link) -> socket.socket:
    return socket.create_connection(("127.0.0.1", link.port), timeout=WAIT_S)


def test_bytes_go_there_and_back(link: Link) -> None:
    with connect(link) as client:
        client.sendall(b"hello")

        assert client.recv(10) == b"hello"


def test_a_pause_holds_bytes_back_and_loses_none(link: Link) -> None:
    with connect(link) as client:
        client.sendall(b"1")
        assert client.recv(10) == b"1"

        link.pause()
        client.sendall(b"2")
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(10)
        link.resume()
        client.settimeout(WAIT_S)

        assert client.recv(10) == b"2"


def test_a_connection_made_during_a_pause_works_after_it(link: Link) -> None:
    link.pause()
    with connect(link) as client:
        client.sendall(b"early")
        link.resume()

        assert client.recv(10) == b"early"


def test_a_server_that_is_away_ends_the_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    link = Link(port)

    with connect(link) as client:
        assert client.recv(10) == b""
    link.close()
