"""The gate of the whole fleet, in Redis; while that is away, each process goes by what it has itself sent and heard."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from redis import Redis
from redis.exceptions import RedisError

from worker.domain.conversation import Route
from worker.llm.gate import (
    FAILURES,
    LOOK_AGAIN_S,
    MOST_COOLDOWN_S,
    OPEN_S,
    PROBE_S,
    WINDOW_S,
    Asking,
    End,
    Held,
    LocalGate,
    Standing,
    Ticket,
    Why,
    account_of,
)

LOOKED_FOR_EVERY_S = 5.0
SLOT_S = 8.0
"""How long a slot outlives the process that has it."""
RENEWED_EVERY_S = 2.0
_PREFIX = "rca:gate:"
_PARTS = ("cooldown", "circuit", "requests", "tokens", "slots")
_HERE = Path(__file__).parent
_ENTER, _LEAVE = ((_HERE / f"gate_{name}.lua").read_text() for name in ("enter", "leave"))

Found = TypeVar("Found")


class SharedGate:
    """Safe to share between threads. `now_ms` replaces the clock of the Redis server."""

    def __init__(
        self, redis: Redis, clock: Callable[[], float] = time.monotonic, now_ms: Callable[[], int] = lambda: 0
    ) -> None:
        self._redis = redis
        self._enter, self._leave = redis.register_script(_ENTER), redis.register_script(_LEAVE)
        self._own = LocalGate(clock)
        self._clock, self._now_ms = clock, now_ms
        self._away_until = 0.0
        self._slots = _Slots(self._renew)

    def enter(self, asking: Asking) -> Ticket | Held:
        account, id_ = account_of(asking.route), uuid4().hex
        said = self._try(lambda: self._enter(_keys(account), _arguments(asking, id_, self._now_ms())))
        if said is None:
            return self._own.enter(asking)
        what, number = _text(said[0]), int(said[1])
        if what:
            return Held(Why(what), number / 1000)
        ticket = Ticket(account, id_, number, asking, is_after_failures=bool(said[2]))
        self._own.note(ticket)
        if asking.limits.concurrent is not None:
            self._slots.take(ticket)
        return ticket

    def leave(self, ticket: Ticket, end: End, *, tokens: int | None = None) -> None:
        self._own.leave(ticket, end, tokens=tokens)
        self._slots.give_back(ticket)
        limits = ticket.asking.limits
        is_counted = limits.concurrent is not None or limits.tokens_per_minute is not None
        if not is_counted and not ticket.is_after_failures and end is not End.FAILED:
            return  # nobody has to hear of it
        more = 0 if tokens is None or limits.tokens_per_minute is None else tokens - ticket.asking.tokens
        opens = (FAILURES, *(round(s * 1000) for s in (*OPEN_S, WINDOW_S)))
        _, circuit, _, used, slots = _keys(ticket.account)
        arguments = (self._now_ms(), ticket.id, ticket.second, more, end.value, *opens)
        self._try(lambda: self._leave((circuit, used, slots), arguments))

    def cool_down(self, route: Route, seconds: float) -> None:
        self._own.cool_down(route, seconds)
        until_ms = (self._now() or 0) + round(min(seconds, MOST_COOLDOWN_S) * 1000)
        key = _keys(account_of(route))[0]
        known = self._try(lambda: self._redis.get(key))
        if until_ms > int(known or 0):
            self._try(lambda: self._redis.set(key, until_ms, pxat=until_ms))

    def look(self, route: Route) -> Standing:
        found = self._try(lambda: self._read(account_of(route)))
        return self._own.look(route) if found is None else found

    def _read(self, account: str) -> Standing:
        cooldown, circuit, requests, tokens, slots = _keys(account)
        now_ms = self._now() or 0
        pipe = self._redis.pipeline(transaction=False)
        pipe.get(cooldown)
        pipe.hget(circuit, "open_until")
        pipe.hgetall(requests)
        pipe.hgetall(tokens)
        pipe.zcount(slots, now_ms, "+inf")
        cooldown_until, open_until, sent, used, running = pipe.execute()
        since = now_ms // 1000 - WINDOW_S - 1
        left = (max(int(float(until or 0)) - now_ms, 0) / 1000 for until in (cooldown_until, open_until))
        return Standing(_sum(sent, since), _sum(used, since), running, *left)

    def _now(self) -> int | None:
        """Return the milliseconds of the clock that all go by."""
        if given := self._now_ms():
            return given
        told = self._try(self._redis.time)
        return None if told is None else told[0] * 1000 + told[1] // 1000

    def _renew(self, tickets: list[Ticket]) -> None:
        """Hold the slots on; one that was lost with Redis's memory is taken again."""
        until_ms = (self._now() or 0) + round(SLOT_S * 1000)

        def put() -> None:
            pipe = self._redis.pipeline(transaction=False)
            for ticket in tickets:
                key = _keys(ticket.account)[4]
                pipe.zadd(key, {ticket.id: until_ms})
                pipe.pexpire(key, round(SLOT_S * 1000))
            pipe.execute()

        self._try(put)

    def _try(self, ask: Callable[[], Found]) -> Found | None:
        """Return what Redis says; None while it is away, when it is looked for every few seconds only."""
        if self._clock() < self._away_until:
            return None
        try:
            return ask()
        except RedisError:
            self._away_until = self._clock() + LOOKED_FOR_EVERY_S
            return None


class _Slots:
    """The slots that this process holds, renewed by a thread that ends with the last of them."""

    def __init__(self, renew: Callable[[list[Ticket]], None]) -> None:
        self._renew = renew
        self._held: dict[str, Ticket] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def take(self, ticket: Ticket) -> None:
        with self._lock:
            self._held[ticket.id] = ticket
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="gate-slots", daemon=True)
                self._thread.start()

    def give_back(self, ticket: Ticket) -> None:
        with self._lock:
            self._held.pop(ticket.id, None)

    def _run(self) -> None:
        while True:
            time.sleep(RENEWED_EVERY_S)
            with self._lock:
                tickets = list(self._held.values())
                if not tickets:
                    self._thread = None
                    return
            self._renew(tickets)


def _keys(account: str) -> tuple[str, ...]:
    """Return the account's keys; the braces keep them on one node of a cluster."""
    return tuple(f"{_PREFIX}{{{account}}}:{part}" for part in _PARTS)


def _arguments(asking: Asking, id_: str, now_ms: int) -> tuple[int | str, ...]:
    limits = asking.limits
    bounds = (limits.requests_per_minute, limits.tokens_per_minute, limits.concurrent)
    times = (round(s * 1000) for s in (SLOT_S, PROBE_S, LOOK_AGAIN_S))
    return (now_ms, *(-1 if bound is None else bound for bound in bounds), asking.tokens, id_, *times)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _sum(window: dict[Any, Any], since: int) -> int:
    return max(sum(int(amount) for second, amount in window.items() if int(second) > since), 0)
