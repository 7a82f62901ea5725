"""What `rca doctor` says about Redis: whether it answers, keeps what it is told, and refuses rather than forgets."""

from collections.abc import Iterator, Mapping
from typing import Any

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from worker.cli.system import connect_redis, redis_address
from worker.cli.upfile import find_redis_url
from worker.errors import UserError
from worker.intake.bridge import Names
from worker.ops.health import Check
from worker.settings import Settings

PERSISTENCE_FIX = "set `appendonly yes`: events between their XADD and the intake live only in Redis"
EVICTION_FIX = "set `maxmemory-policy noeviction`: any other may throw events away"


def look_at_redis(settings: Settings) -> Iterator[Check]:
    """Yield what is known of Redis; an address that does not answer ends it."""
    try:
        url = find_redis_url(settings)
        client = connect_redis(url)
    except UserError as error:
        yield Check.warn("Redis", str(error), fix="without it nothing comes in and nothing runs")
        return
    try:
        with client:
            yield from _look(client, settings, where=redis_address(url))
    except RedisError as error:
        fix = "start it with `rca up`, or correct REDIS_URL"
        yield Check.fail("Redis", f"{redis_address(url)}: {type(error).__name__}", fix=fix)


def _look(client: Redis, settings: Settings, *, where: str) -> Iterator[Check]:
    client.ping()
    yield Check.ok("Redis", f"{where} answers")
    yield from check_info(_info(client))
    rejected: Any = client.xlen(Names(settings.rca_stream, settings.rca_list).rejected)
    if rejected:
        fix = "`rca events rejected` tells why; `rca events retry` or `drop` clears them"
        yield Check.warn("rejected events", f"{rejected} wait for somebody to look", fix=fix)


def _info(client: Redis) -> Mapping[str, Any] | None:
    """Return what Redis says of itself; None where this user may not ask, or it cannot tell."""
    try:
        told: Any = client.info()
    except ResponseError:
        return None
    return told if isinstance(told, dict) else None


def check_info(info: Mapping[str, Any] | None) -> Iterator[Check]:
    """Judge persistence and what Redis does when its memory is full."""
    if not info or "aof_enabled" not in info:
        yield Check.warn("Redis persistence", "it does not tell", fix=PERSISTENCE_FIX)
        return
    if not info["aof_enabled"]:
        yield Check.warn("Redis persistence", "no append-only file", fix=PERSISTENCE_FIX)
    elif info.get("aof_last_write_status") != "ok":
        yield Check.fail("Redis persistence", "the last write failed", fix="free space on the disk of Redis")
    else:
        yield Check.ok("Redis persistence", "append-only file")
    policy = info.get("maxmemory_policy", "unknown")
    if policy != "noeviction":
        yield Check.warn("Redis memory", f"maxmemory-policy is {policy}", fix=EVICTION_FIX)
    else:
        yield Check.ok("Redis memory", "refuses writes when it is full")
