"""A Redis that lives in memory, for a machine that has none: a process of its own, loopback only.

It keeps nothing beyond its end. That is acceptable for trying things out because events are rows a
moment after they arrive and everything else in Redis is only a wake-up call.
"""

import io
import select
import signal
import socket
import sys
import threading
from types import FrameType
from typing import Any

from fakeredis import TcpFakeServer
from fakeredis._clients._sync import FakeRedisConnection
from fakeredis._clients._tcp_server import TCPFakeRequestHandler
from redis.exceptions import ResponseError
from typing_extensions import Buffer

HOST = "127.0.0.1"


STALLED_MS = 30_000


class PatientWriter(io.BufferedIOBase):
    """Writes to a socket that does not block: a reply larger than its buffer waits for the reader."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__()
        self._connection = connection
        self._room = select.poll()
        self._room.register(connection, select.POLLOUT)

    def write(self, data: Buffer, /) -> int:
        rest = memoryview(data)
        while rest:
            if not self._room.poll(STALLED_MS):
                raise ConnectionError("the client does not read its replies")
            rest = rest[self._connection.send(rest) :]
        return memoryview(data).nbytes


class Answering:
    """The connection behind a client, for which an error is a reply like any other and no reason to hang up."""

    def __init__(self, connection: FakeRedisConnection) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def read_response(self) -> Any:
        try:
            return self._connection.read_response()
        except ResponseError as error:
            return error


class Handler(TCPFakeRequestHandler):
    """Answers at once, and whole: with Nagle's algorithm each reply of two packets would wait 40 ms."""

    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.current_client = Answering(self.current_client)  # type: ignore[assignment]  # it stands in for it
        self.writer.writer = PatientWriter(self.connection)


class MemoryRedis(TcpFakeServer):
    """The server with our handler, and threads that do not hold up its end."""

    request_queue_size = 256

    def __init__(self, port: int) -> None:
        super().__init__((HOST, port), server_version=(7, 0))
        self.RequestHandlerClass = Handler
        self.daemon_threads = True
        self.block_on_close = False


def main() -> None:
    server = MemoryRedis(int(sys.argv[1]))

    def end(_number: int, _frame: FrameType | None) -> None:
        threading.Thread(target=server.shutdown).start()  # serve_forever runs in this thread and has to return first

    signal.signal(signal.SIGTERM, end)
    sys.stdout.write(f"in-memory Redis on {HOST}:{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()
    server.server_close()


if __name__ == "__main__":
    main()
