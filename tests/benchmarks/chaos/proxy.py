"""A TCP proxy between a process and a server: a link that can stop carrying bytes and go on, as a network does."""

import socket
import threading
from contextlib import suppress

CHUNK_BYTES = 65536
CONNECT_S = 2.0


class Link:
    """Listens on a free loopback port and carries every connection to the target port while it is open."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._open = threading.Event()
        self._open.set()
        self._ends: set[socket.socket] = set()
        self._mutex = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, name=f"link-{self.port}", daemon=True).start()

    def pause(self) -> None:
        """Hold back every byte from now on; connections stay, as with a cable pulled out."""
        self._open.clear()

    def resume(self) -> None:
        self._open.set()

    def close(self) -> None:
        _shut(self._listener)
        self._open.set()
        with self._mutex:
            for end in list(self._ends):
                _shut(end)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        self._open.wait()
        try:
            server = socket.create_connection(("127.0.0.1", self._target_port), timeout=CONNECT_S)
        except OSError:
            _shut(client)  # nobody listens there: refused a moment late
            return
        server.settimeout(None)
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._mutex:
            self._ends |= {client, server}
        threading.Thread(target=self._carry, args=(server, client), daemon=True).start()
        self._carry(client, server)

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):  # either end went away: the other is told below
            while chunk := source.recv(CHUNK_BYTES):
                self._open.wait()
                sink.sendall(chunk)
        self._open.wait()
        for end in (source, sink):
            _shut(end)
        with self._mutex:
            self._ends -= {source, sink}


def _shut(end: socket.socket) -> None:
    with suppress(OSError):  # shut already
        end.shutdown(socket.SHUT_RDWR)
    end.close()
