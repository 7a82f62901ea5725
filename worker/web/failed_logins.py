"""Refused secrets, counted for each address, by all processes together where Redis is there."""

import math
import time
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import TypeVar

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import FixedWindowRateLimiter
from redis import ConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from worker.settings import Settings

REDIS_S = 0.5
"""What a look into Redis may take that a request waits for."""
LOOKED_FOR_EVERY_S = 5.0
_PREFIX = "rca:failed-logins"
_HOST_BITS = 64
"""One customer has a /64 of IPv6 addresses at the least."""

Found = TypeVar("Found")


class FailedLogins:
    """Counts a minute from an address's first failure. Safe to share between threads.

    What this process saw is counted here too, and is what is gone by while Redis is away.
    """

    def __init__(
        self, *, per_minute: int, redis_url: str | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = RateLimitItemPerMinute(per_minute) if per_minute else None
        self._own = FixedWindowRateLimiter(MemoryStorage())
        self._shared = _in_redis(redis_url) if redis_url else None
        self._clock, self._away_until = clock, 0.0

    def wait_s(self, address: str) -> int | None:
        """Return how many seconds an address has to wait before it may try again; None where it may now."""
        limit = self._limit
        if limit is None:
            return None
        left = self._ask(lambda counter: counter.get_window_stats(limit, network_of(address)))
        return None if left.remaining > 0 else max(1, math.ceil(left.reset_time - time.time()))

    def note(self, address: str) -> bool:
        """Count a failure; say whether it is the one after which the address has to wait."""
        limit, network = self._limit, network_of(address)
        if limit is None:
            return False

        def count(counter: FixedWindowRateLimiter) -> bool:
            return counter.hit(limit, network) and counter.get_window_stats(limit, network).remaining == 0

        own = count(self._own)
        return own if self._shared is None else self._ask(count, otherwise=lambda: own)

    def _ask(
        self, ask: Callable[[FixedWindowRateLimiter], Found], *, otherwise: Callable[[], Found] | None = None
    ) -> Found:
        """Ask Redis; while it is away, when it is looked for every few seconds only, what this process knows."""
        if self._shared is not None and self._clock() >= self._away_until:
            try:
                return ask(self._shared)
            except RedisError:
                self._away_until = self._clock() + LOOKED_FOR_EVERY_S
        return otherwise() if otherwise else ask(self._own)


def open_failed_logins(settings: Settings) -> FailedLogins:
    return FailedLogins(per_minute=settings.rca_failed_logins_per_minute, redis_url=settings.redis_url)


def network_of(address: str) -> str:
    """Return what one customer may be at: an IPv4 address, or the /64 of an IPv6 one."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if found.version == 4:  # noqa: PLR2004 - the version of the protocol
        return str(found)
    return str(found.ipv4_mapped or ip_network((int(found), _HOST_BITS), strict=False))


def _in_redis(url: str) -> FixedWindowRateLimiter:
    patience = {"socket_timeout": REDIS_S, "socket_connect_timeout": REDIS_S, "retry": Retry(NoBackoff(), 0)}
    pool = ConnectionPool.from_url(url, **patience)
    return FixedWindowRateLimiter(RedisStorage(url, pool, key_prefix=_PREFIX))
