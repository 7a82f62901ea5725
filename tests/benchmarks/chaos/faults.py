"""How each fault is done and undone, and the log that says when."""

import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import psycopg
from redis import Redis
from redis.exceptions import RedisError

from tests.benchmarks.chaos.fleet import Fleet, Place, send
from tests.benchmarks.chaos.records import JsonLines
from tests.benchmarks.chaos.schedule import Fault, FaultKind
from tests.servers import PostgresServer, RedisServer

READY_WITHIN_S = 60.0
POLL_S = 0.05
Entry = dict[str, Any]


@dataclass
class Stage:
    """All that can be broken. One fault at a time has the same server, or freezes processes."""

    fleet: Fleet
    redis: RedisServer
    postgres: PostgresServer
    database_dsn: str
    log: JsonLines
    locks: dict[str, threading.Lock] = field(
        default_factory=lambda: {name: threading.Lock() for name in ("redis", "postgres", "freeze")}
    )


def inflict(stage: Stage, fault: Fault) -> None:
    """Do the fault, undo it after its time, and log both, with the moment from which all was well again."""
    needs, break_it = _WAYS[fault.kind]
    lock: AbstractContextManager[Any] = stage.locks[needs] if needs else nullcontext()
    with lock:
        entry: Entry = {"kind": fault.kind, "planned_s": fault.at_s, "at": time.time(), "target": needs or ""}
        break_it(stage, fault, entry)
        entry.setdefault("until", time.time())
        entry.setdefault("recovered_at", time.time())
    stage.log.write(entry)


def _choose(places: Sequence[Place], fault: Fault) -> Place:
    """Choose among the processes that work; wait for one if need be."""
    ends = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < ends:
        ready = [place for place in places if place.is_ready()]
        if ready:
            return ready[fault.target % len(ready)]
        time.sleep(POLL_S)
    raise TimeoutError("no process is ready to be broken")


def _kill(place: Place, entry: Entry) -> None:
    process = place.process
    entry |= {"target": place.name, "at": time.time()}
    send(place, signal.SIGKILL)
    entry["until"] = time.time()
    _await_next(place, process, entry)


def _await_next(place: Place, old: object, entry: Entry) -> None:
    ends = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < ends and (place.process is old or not place.is_ready()):
        time.sleep(POLL_S)
    entry["recovered_at"] = time.time()


def _kill_worker(stage: Stage, fault: Fault, entry: Entry) -> None:
    _kill(_choose(stage.fleet.workers, fault), entry)


def _kill_bridge(stage: Stage, fault: Fault, entry: Entry) -> None:
    _kill(_choose([stage.fleet.bridge], fault), entry)


def _deploy(stage: Stage, fault: Fault, entry: Entry) -> None:
    place = _choose(stage.fleet.workers, fault)
    process = place.process
    entry |= {"target": place.name, "at": time.time()}
    send(place, signal.SIGTERM)
    entry["exit_code"] = process.wait(timeout=READY_WITHIN_S) if process else None
    entry["until"] = time.time()
    _await_next(place, process, entry)


def _freeze(stage: Stage, fault: Fault, entry: Entry) -> None:
    place = _choose(stage.fleet.workers, fault)
    entry["target"] = place.name
    _stop_and_continue([place], fault.lasts_s, entry)


def _stall(stage: Stage, fault: Fault, entry: Entry) -> None:
    """Stop every worker at once, for less than a lease: as a starved machine does."""
    entry["target"] = "workers"
    workers = [p for p in stage.fleet.places if p is not stage.fleet.bridge]
    _stop_and_continue(workers, fault.lasts_s, entry)


def _stop_and_continue(places: Sequence[Place], lasts_s: float, entry: Entry) -> None:
    entry["at"] = time.time()
    for place in places:
        send(place, signal.SIGSTOP)
    time.sleep(lasts_s)
    for place in places:
        send(place, signal.SIGCONT)
    entry["until"] = time.time()


def _kill_redis(stage: Stage, fault: Fault, _entry: Entry) -> None:
    stage.redis.kill()
    time.sleep(fault.lasts_s)
    stage.redis.start()


def _flush_redis(stage: Stage, _fault: Fault, entry: Entry) -> None:
    try:
        with Redis.from_url(stage.redis.url, socket_timeout=2) as redis:
            redis.flushall()
    except RedisError as error:
        entry["failed"] = type(error).__name__


def _restart_postgres(stage: Stage, fault: Fault, _entry: Entry) -> None:
    stage.postgres.stop()
    time.sleep(fault.lasts_s)
    stage.postgres.start()


def _fill_pool(stage: Stage, fault: Fault, entry: Entry) -> None:
    """Let every commit of a step wait, until the pools have no connection left."""
    try:
        with psycopg.connect(stage.database_dsn, connect_timeout=2) as blocker:
            blocker.execute("SET lock_timeout = '5s'")
            blocker.execute("LOCK TABLE turns, tool_calls IN EXCLUSIVE MODE")
            time.sleep(fault.lasts_s)
    except psycopg.Error as error:
        entry["failed"] = type(error).__name__


def _pause_network(stage: Stage, fault: Fault, entry: Entry) -> None:
    """Cut one worker off from PostgreSQL, from Redis, or from both."""
    place = _choose(stage.fleet.workers, fault)
    chosen = (("postgres",), ("postgres", "redis"), ("redis",))[fault.target % 3]
    entry |= {"target": place.name, "from": chosen, "at": time.time()}
    for name in chosen:
        place.links[name].pause()
    time.sleep(fault.lasts_s)
    for name in chosen:
        place.links[name].resume()


_WAYS: dict[FaultKind, tuple[str | None, Callable[[Stage, Fault, Entry], None]]] = {
    FaultKind.WORKER_KILL: (None, _kill_worker),
    FaultKind.BRIDGE_KILL: (None, _kill_bridge),
    FaultKind.DEPLOY: (None, _deploy),
    FaultKind.FREEZE: ("freeze", _freeze),
    FaultKind.STALL: ("freeze", _stall),
    FaultKind.REDIS_KILL: ("redis", _kill_redis),
    FaultKind.REDIS_FLUSH: ("redis", _flush_redis),
    FaultKind.POSTGRES_RESTART: ("postgres", _restart_postgres),
    FaultKind.POOL_FULL: ("postgres", _fill_pool),
    FaultKind.NETWORK_PAUSE: (None, _pause_network),
}
