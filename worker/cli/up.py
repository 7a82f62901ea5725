"""`rca up`: the whole system on one machine. Redis if none is given, tables, then processes kept running."""

import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Protocol

import click
import httpx

from worker.cli import embedded
from worker.cli.migrate import migrate_database
from worker.cli.processes import ProcessSpec, has_flower, product_processes
from worker.cli.supervisor import Say, Supervisor
from worker.cli.upfile import UpFile, describe_up, only_one, remove_up_file, write_up_file
from worker.errors import ConfigError, UserError
from worker.llm.routing import Router
from worker.ops.redaction import Redactor
from worker.settings import Settings, load_settings
from worker.sign_in import find_sign_in

SLOW_START_S = 60.0
MARGIN_S = 5.0
"""What a worker gets beyond its own grace before it is killed."""

_LOOK_EVERY_S = 0.3
_NAME_WIDTH = 10


@click.command()
@click.option("--no-flower", is_flag=True, help="Do not start Flower.")
@click.option("--for", "for_s", type=click.FloatRange(min=0), help="Stop after this many seconds.")
def up(no_flower: bool, for_s: float | None) -> None:  # noqa: FBT001 - click passes flags by name
    """Start everything on this machine and keep it running until Ctrl-C."""
    settings = load_settings()
    Router(settings)  # a model that leads nowhere is named once here, not again and again by each process
    find_sign_in(settings)
    with only_one(settings.rca_home), stop_signals(after_s=for_s) as stop:
        require_free_ports(settings, flower=not no_flower)
        auth = flower_auth(settings) if has_flower() and not no_flower else None
        run(settings, stop, list_processes=partial(product_processes, flower_auth=auth), flower=auth)


class ListProcesses(Protocol):
    """What says which processes to run once Redis has an address."""

    def __call__(self, settings: Settings, *, redis_url: str) -> list[ProcessSpec]: ...


class Stop:
    """Whether to stop: after a time, at a first signal in order, at a second at once.

    A SIGHUP is one of those only where the terminal of the start has gone; else it is for those that take it.
    """

    def __init__(self, *, after_s: float | None) -> None:
        self._signals = 0
        self._hangups = 0
        self._had_terminal = _has_terminal()
        self._over_at_s = None if after_s is None else time.monotonic() + after_s

    def note(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1

    def hang_up(self, number: int, frame: FrameType | None) -> None:
        if self._had_terminal and not _has_terminal():
            self.note(number, frame)
        self._hangups += 1

    def take_hangup(self) -> bool:
        """Say whether there was a SIGHUP since this was last asked."""
        found, self._hangups = self._hangups, 0
        return found > 0

    def is_asked(self) -> bool:
        return self._signals > 0 or (self._over_at_s is not None and time.monotonic() >= self._over_at_s)

    def is_hurried(self) -> bool:
        return self._signals > 1


def _has_terminal() -> bool:
    try:
        with Path("/dev/tty").open("rb"):
            return True
    except OSError:
        return False


@contextmanager
def stop_signals(*, after_s: float | None) -> Iterator[Stop]:
    """Turn the signals that end a program into a question that the loop asks; ours again afterwards."""
    stop = Stop(after_s=after_s)
    handlers = {signal.SIGTERM: stop.note, signal.SIGINT: stop.note, signal.SIGHUP: stop.hang_up}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def require_free_ports(settings: Settings, *, flower: bool) -> None:
    """Refuse a taken port now: later, a stranger's answer would pass for our own readiness."""
    ports = {"RCA_HTTP_PORT": settings.rca_http_port}
    if flower and has_flower():
        ports["RCA_FLOWER_PORT"] = settings.rca_flower_port
    for variable, port in ports.items():
        if not embedded.is_free(port):
            raise UserError(f"port {port} is taken; set {variable} to another")


def flower_auth(settings: Settings) -> str:
    """Return `user:password` of Flower, made for this run where none is set: it can revoke and stop things."""
    if settings.rca_flower_auth is None:
        return f"rca:{secrets.token_urlsafe(18)}"
    auth = settings.rca_flower_auth.get_secret_value()
    if ":" not in auth.strip(":"):
        raise ConfigError("RCA_FLOWER_AUTH: has to be user:password")
    return auth


def printer(redactor: Redactor) -> Say:
    """Return what prints a process's line with its name before it, whole and redacted."""
    lock = threading.Lock()

    def say(name: str, line: str) -> None:
        with lock:
            sys.stdout.write(f"{name:<{_NAME_WIDTH}} | {redactor.scrub(line)}\n")
            sys.stdout.flush()

    return say


def is_healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=2, trust_env=False).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


class Herald:
    """Says once that the web server answers and where everything is; until then, now and then, that it does not."""

    def __init__(self, running: UpFile, *, say: Say) -> None:
        self._running = running
        self._say = say
        self._is_done = False
        self._slow_at_s = time.monotonic() + SLOW_START_S

    def look(self, names: list[str]) -> None:
        if self._is_done:
            return
        url = self._running.local_url
        if is_healthy(url):
            self._is_done = True
            for line in describe_up(self._running, names=names):
                self._say("up", line)
        elif time.monotonic() > self._slow_at_s:
            self._say("up", f"{url}/healthz does not answer yet; the lines of `web` above say why")
            self._slow_at_s = time.monotonic() + SLOW_START_S


def run(settings: Settings, stop: Stop, *, list_processes: ListProcesses, flower: str | None = None) -> None:
    """Start all, say once where everything is, keep it running until `stop`, end all."""
    say = printer(Redactor((*settings.secrets, flower or "")))
    supervisor = Supervisor(say=say)
    try:
        redis_url, kind = _start_redis(settings, supervisor)
        migrate_database(settings)
        supervisor.start(list_processes(settings, redis_url=redis_url))
        running = _describe(settings, redis_url=redis_url, redis_kind=kind, flower=flower)
        herald = Herald(running, say=say)
        while not stop.is_asked():
            supervisor.tend()
            if stop.take_hangup():
                supervisor.hang_up()
            running = _note_processes(settings, running, supervisor)
            herald.look([child.spec.name for child in supervisor.children])
            time.sleep(_LOOK_EVERY_S)
        say("up", "stopping")
    finally:
        supervisor.stop(grace_s=settings.rca_grace_s + MARGIN_S, is_hurried=stop.is_hurried)
        remove_up_file(settings.rca_home)


def _start_redis(settings: Settings, supervisor: Supervisor) -> tuple[str, str]:
    """Return the address of a Redis that answers, and in words which it is; start one where none is given."""
    url, kind = settings.redis_url, "as configured"
    if not url:
        own = embedded.prepare_redis(settings.rca_home)
        url, kind = own.url, f"embedded, {own.kind}{'' if own.is_durable else ' (keeps nothing when it ends)'}"
        supervisor.start([own.spec])
    embedded.wait_for_redis(url)
    return url, kind


def _describe(settings: Settings, *, redis_url: str, redis_kind: str, flower: str | None) -> UpFile:
    local_url = f"http://{_reachable(settings.rca_http_host)}:{settings.rca_http_port}"
    return UpFile(
        pid=os.getpid(),
        redis_url=redis_url,
        redis_kind=redis_kind,
        web_url=settings.rca_public_url or local_url,
        local_url=local_url,
        database=settings.database.partition(":")[0],
        flower_url=f"http://127.0.0.1:{settings.rca_flower_port}" if flower else None,
        flower_auth=flower,
    )


def _note_processes(settings: Settings, running: UpFile, supervisor: Supervisor) -> UpFile:
    """Keep `up.json` true: a restart gives a process another number."""
    processes = {child.spec.name: child.pid for child in supervisor.children}
    if processes == running.processes:
        return running
    running = running.model_copy(update={"processes": processes})
    write_up_file(settings.rca_home, running)
    return running


def _reachable(host: str) -> str:
    """Return where this machine reaches a server that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 - compared, not bound
