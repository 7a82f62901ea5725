"""Refused secrets, counted for each address, by all processes together where Redis is there."""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any, Protocol

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from worker.settings import Settings

WINDOW_S = 60
REDIS_S = 0.5
"""What a look into Redis may take that a request waits for."""
LOOKED_FOR_EVERY_S = 5.0
KNOWN = 10_000
"""Addresses that one process remembers; the one whose window ends first is forgotten for another."""
_PREFIX = "rca:failed-logins:"
_HOST_BITS = 64
"""One customer has a /64 of IPv6 addresses at the least."""


@dataclass(frozen=True)
class Count:
    """Failures of a network in a window that ends in so many seconds."""

    failures: int = 0
    ends_in_s: float = 0.0


class Counter(Protocol):
    """Counts by network, each in a window that begins with its first failure."""

    def read(self, network: str) -> Count: ...
    def add(self, network: str) -> Count: ...


class OwnCounter:
    """What this process saw. Safe to share between threads."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._counts: dict[str, tuple[int, float]] = {}  # failures and the window's end, the earliest end first

    def read(self, network: str) -> Count:
        failures, ends_at = self._counts.get(network, (0, 0.0))
        left_s = ends_at - self._clock()
        return Count(failures, left_s) if left_s > 0 else Count()

    def add(self, network: str) -> Count:
        with self._lock:
            before = self.read(network)
            if not before.failures:
                self._counts.pop(network, None)
                if len(self._counts) >= KNOWN:
                    del self._counts[next(iter(self._counts))]
            left_s = before.ends_in_s or WINDOW_S
            self._counts[network] = (before.failures + 1, self._clock() + left_s)
            return Count(before.failures + 1, left_s)


class SharedCounter:
    """What all processes saw. Raises RedisError while Redis is away."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def read(self, network: str) -> Count:
        name, steps = self._steps(network)
        failures, left_ms = steps.get(name).pttl(name).execute()
        return _count(failures, left_ms)

    def add(self, network: str) -> Count:
        name, steps = self._steps(network)
        _, failures, left_ms = steps.set(name, 0, ex=WINDOW_S, nx=True).incr(name).pttl(name).execute()
        return _count(failures, left_ms)

    def _steps(self, network: str) -> tuple[str, Any]:
        """Return a network's key, and what takes steps that are made at once."""
        return _PREFIX + network, self._redis.pipeline()


def _count(failures: Any, left_ms: int) -> Count:
    return Count(int(failures or 0), max(left_ms, 0) / 1000)


class FailedLogins:
    """Holds back an address after so many failures in a minute; 0 holds nobody back.

    What this process saw is counted here too, and is what is gone by while Redis is away.
    """

    def __init__(
        self, *, per_minute: int, redis: Redis | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_minute = per_minute
        self._own = OwnCounter(clock)
        self._shared = SharedCounter(redis) if redis else None
        self._clock, self._away_until = clock, 0.0

    def wait_s(self, address: str) -> int | None:
        """Return how many seconds an address has to wait before it may try again; None where it may now."""
        if not self._per_minute:
            return None
        count = self._ask(lambda counter: counter.read(network_of(address)))
        return None if count.failures < self._per_minute else max(1, math.ceil(count.ends_in_s))

    def note(self, address: str) -> bool:
        """Count a failure; say whether it is the one after which the address has to wait."""
        if not self._per_minute:
            return False
        own = self._own.add(network_of(address))
        count = own if self._shared is None else self._ask(lambda counter: counter.add(network_of(address)), own)
        return count.failures == self._per_minute

    def _ask(self, ask: Callable[[Counter], Count], otherwise: Count | None = None) -> Count:
        """Ask Redis; while it is away, when it is looked for every few seconds only, what this process knows."""
        if self._shared is not None and self._clock() >= self._away_until:
            try:
                return ask(self._shared)
            except RedisError:
                self._away_until = self._clock() + LOOKED_FOR_EVERY_S
        return otherwise or ask(self._own)


def open_failed_logins(settings: Settings) -> FailedLogins:
    redis = connect(settings.redis_url) if settings.redis_url else None
    return FailedLogins(per_minute=settings.rca_failed_logins_per_minute, redis=redis)


def connect(url: str) -> Redis:
    """Return a client that a request may wait for."""
    patience: dict[str, Any] = {"socket_timeout": REDIS_S, "socket_connect_timeout": REDIS_S}
    return Redis.from_url(url, **patience, retry=Retry(NoBackoff(), 0))


def network_of(address: str) -> str:
    """Return what one customer may be at: an IPv4 address, or the /64 of an IPv6 one."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if found.version == 4:  # noqa: PLR2004 - the version of the protocol
        return str(found)
    return str(found.ipv4_mapped or ip_network((int(found), _HOST_BITS), strict=False))
