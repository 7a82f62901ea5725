"""Patience: how long nobody of the fleet asks an account again, because its provider said so."""

import hashlib
import threading
import time
from collections.abc import Callable
from typing import Protocol

from redis import Redis
from redis.exceptions import RedisError

from worker.domain.conversation import Route

MOST_S = 600.0
"""Then somebody asks again, whatever was said: one answer must not stop a fleet for a day."""
LOOKED_FOR_EVERY_S = 5.0
_PREFIX = "rca:patience:"


class Patience(Protocol):
    """Safe to share between threads. Times are seconds; nothing is raised."""

    def left_s(self, route: Route) -> float:
        """Return how long the account of this route is still to be left alone; 0 where it is not."""

    def have(self, route: Route, seconds: float) -> None:
        """Leave the account alone for so long, unless it already is for longer."""


class LocalPatience:
    """The patience of one process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}
        self._lock = threading.Lock()

    def left_s(self, route: Route) -> float:
        return max(self._until.get(account_of(route), 0.0) - self._clock(), 0.0)

    def have(self, route: Route, seconds: float) -> None:
        account, until = account_of(route), self._clock() + min(seconds, MOST_S)
        with self._lock:
            self._until[account] = max(until, self._until.get(account, 0.0))


class SharedPatience:
    """The patience of all processes on one Redis; while that is away, of this process alone."""

    def __init__(self, redis: Redis, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = redis
        self._own = LocalPatience(clock)
        self._clock = clock
        self._away_until = 0.0

    def left_s(self, route: Route) -> float:
        return max(self._shared_s(route), self._own.left_s(route))

    def have(self, route: Route, seconds: float) -> None:
        wanted_s = min(seconds, MOST_S)
        if wanted_s > self._shared_s(route):
            key = _PREFIX + account_of(route)
            self._try(lambda: self._redis.set(key, route.provider, px=max(round(wanted_s * 1000), 1)))
        self._own.have(route, seconds)

    def _shared_s(self, route: Route) -> float:
        left_ms = self._try(lambda: self._redis.pttl(_PREFIX + account_of(route)))
        return max(left_ms, 0) / 1000 if isinstance(left_ms, int) else 0.0

    def _try(self, ask: Callable[[], object]) -> object:
        """Return what Redis says; None while it is away, when it is looked for every few seconds only."""
        if self._clock() < self._away_until:
            return None
        try:
            return ask()
        except RedisError:
            self._away_until = self._clock() + LOOKED_FOR_EVERY_S
            return None


def account_of(route: Route) -> str:
    """Name an account without telling its address or its credential's name."""
    told = "\n".join(
        (route.provider, route.base_url, route.region or "", route.project or "", route.credential_ref or "")
    )
    return hashlib.sha256(told.encode()).hexdigest()[:32]
