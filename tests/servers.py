"""Real servers for tests: each starts on a free loopback port in a folder of its own and is ended by its pid."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import psycopg
from redis import Redis
from redis.exceptions import RedisError

from worker.storage.migrate import migrate

START_S = 30
_ports = count(10_000 + os.getpid() % 40 * 500)
"""Below those the kernel gives away, which might be taken again before a server binds; for each process its own."""


def free_port() -> int:
    """Return a port that nothing uses; none is named twice."""
    return next(filter(_is_free, _ports))


def _is_free(port: int) -> bool:
    with socket.socket() as probe, suppress(OSError):
        probe.bind(("127.0.0.1", port))
        return True
    return False


def find_binary(name: str, *patterns: str) -> str | None:
    """Return the path of a server binary: on PATH, or where Debian keeps it."""
    found = [
        path for pattern in patterns for path in sorted(map(str, Path("/").glob(pattern.lstrip("/"))), reverse=True)
    ]
    return next(iter(found), None) or shutil.which(name)


class RedisServer:
    """One redis-server, without persistence unless told otherwise."""

    def __init__(self, folder: Path, *, port: int | None = None) -> None:
        self.port = port or free_port()
        self.folder = folder
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        binary = find_binary("redis-server") or "redis-server"
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)]
        self._process = subprocess.Popen([binary, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._wait()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=10)

    def _wait(self) -> None:
        ends = time.monotonic() + START_S
        with Redis.from_url(self.url) as client:
            while time.monotonic() < ends:
                try:
                    client.ping()
                except RedisError:
                    time.sleep(0.05)
                else:
                    return
        raise TimeoutError("redis-server did not start")


class PostgresServer:
    """One PostgreSQL cluster; `create_database` gives each test its own database."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.data = folder / "data"
        self._bin = Path(find_binary("postgres", "/usr/lib/postgresql/*/bin/postgres") or "postgres").parent
        self._user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        if self._user is not None:  # PostgreSQL refuses to run as root
            folder.chmod(0o755)
            os.chown(folder, self._user.pw_uid, self._user.pw_gid)
        self._process: subprocess.Popen[bytes] | None = None
        self._made = 0
        self._template: str | None = None

    def start(self) -> None:
        if not self.data.exists():
            arguments = ["initdb", "-D", str(self.data), "-U", "rca", "--auth=trust", "-E", "UTF8", "--locale=C"]
            self._run([*arguments, "--no-sync"])
        options = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={self.data}"]
        options += ["-c", "fsync=off", "-c", "max_connections=200", "-p", str(self.port)]
        self._process = subprocess.Popen(
            [str(self._bin / "postgres"), "-D", str(self.data), *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=self._user.pw_uid if self._user else None,
            cwd="/",
        )
        self._wait()

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """End the server; SIGQUIT is an immediate stop, as after a power cut."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout=30)

    def create_database(self, *, template: str = "template1") -> str:
        """Return the URL of a new database: an empty one, or a copy of another."""
        self._made += 1
        name = f"test_{os.getpid()}_{self._made}"
        with psycopg.connect(self._dsn("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'.encode())
        return f"postgresql+psycopg://rca@127.0.0.1:{self.port}/{name}"

    def create_migrated(self) -> str:
        """Return the URL of a new database with the newest schema and no rows: a copy of one migrated once."""
        if self._template is None:
            url = self.create_database()
            migrate(url)
            self._template = url.rpartition("/")[2]
        return self.create_database(template=self._template)

    def drop(self, url: str) -> None:
        """Delete a database, and end whoever is still there."""
        with psycopg.connect(self._dsn("postgres"), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{url.rpartition("/")[2]}" WITH (FORCE)'.encode())

    def _dsn(self, database: str) -> str:
        return f"host=127.0.0.1 port={self.port} user=rca dbname={database}"

    def _run(self, arguments: list[str]) -> None:
        program = str(self._bin / arguments[0])
        user = self._user.pw_uid if self._user else None
        subprocess.run([program, *arguments[1:]], check=True, capture_output=True, user=user, cwd="/")

    def _wait(self) -> None:
        ends = time.monotonic() + START_S
        while time.monotonic() < ends:
            try:
                psycopg.connect(self._dsn("postgres"), connect_timeout=2).close()
            except psycopg.OperationalError:
                time.sleep(0.1)
            else:
                return
        raise TimeoutError("postgres did not start")


@contextmanager
def running_redis(folder: Path) -> Iterator[RedisServer]:
    server = RedisServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def running_postgres(folder: Path) -> Iterator[PostgresServer]:
    server = PostgresServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()
