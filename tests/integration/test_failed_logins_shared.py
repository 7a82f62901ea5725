"""Failed logins are counted for all processes together in a real Redis, and by each alone while that is away."""

import time
from pathlib import Path

from redis import Redis

from tests.servers import RedisServer, free_port, running_redis
from tests.web_client import FAR, client_of, sqlite_services
from worker.web import failed_logins
from worker.web.failed_logins import FailedLogins, OwnCounter, SharedCounter, connect

PEER = "192.0.2.99"


def test_processes_count_together(redis_server: RedisServer) -> None:
    one, other = (FailedLogins(per_minute=3, redis=connect(redis_server.url)) for _ in range(2))

    told = [counter.note(PEER) for counter in (one, other, one)]

    assert told == [False, False, True]
    assert [0 < (counter.wait_s(PEER) or 0) <= 60 for counter in (one, other)] == [True, True]
    assert other.wait_s("192.0.2.98") is None


def test_what_is_counted_is_forgotten_after_a_minute(redis_server: RedisServer) -> None:
    counter = FailedLogins(per_minute=1, redis=connect(redis_server.url))
    counter.note("192.0.2.97")

    with Redis.from_url(redis_server.url) as redis:
        (key,) = [key for key in redis.scan_iter("rca:failed-logins*") if b"192.0.2.97" in key]
        assert 0 < redis.ttl(key) <= 60


def test_both_counters_count_alike(redis_server: RedisServer) -> None:
    shared, own = SharedCounter(connect(redis_server.url)), OwnCounter(time.monotonic)

    for network in ("a", "b", "a", "a", "b"):
        told, seen = shared.add(network), own.add(network)
        assert told.failures == seen.failures
        assert abs(told.ends_in_s - seen.ends_in_s) < 5
    assert [shared.read(n).failures for n in "abc"] == [own.read(n).failures for n in "abc"] == [3, 2, 0]


def test_without_redis_each_goes_by_what_it_saw() -> None:
    url = f"redis://127.0.0.1:{free_port()}/0"
    one, other = (FailedLogins(per_minute=2, redis=connect(url)) for _ in range(2))

    assert [one.note(PEER) for _ in range(2)] == [False, True]

    assert one.wait_s(PEER) is not None
    assert other.wait_s(PEER) is None


def test_what_came_before_redis_went_away_counts_after(tmp_path: Path) -> None:
    with running_redis(tmp_path) as server:
        counter = FailedLogins(per_minute=2, redis=connect(server.url))
        assert [counter.note(PEER) for _ in range(2)] == [False, True]

    assert counter.wait_s(PEER) is not None


def test_redis_is_looked_for_again_after_a_while(tmp_path: Path) -> None:
    server, now_s = RedisServer(tmp_path), [100.0]
    other = FailedLogins(per_minute=1, redis=connect(server.url))
    counter = FailedLogins(per_minute=1, redis=connect(server.url), clock=lambda: now_s[0])
    assert counter.wait_s(PEER) is None  # it is away
    server.start()
    try:
        other.note(PEER)
        assert counter.wait_s(PEER) is None
        now_s[0] += failed_logins.LOOKED_FOR_EVERY_S
        assert counter.wait_s(PEER) is not None
    finally:
        server.kill()


def test_two_web_processes_hold_one_address_back(redis_server: RedisServer, tmp_path: Path) -> None:
    settings = {"rca_api_token": "right", "rca_failed_logins_per_minute": 2, "redis_url": redis_server.url}
    with sqlite_services(tmp_path, **settings) as services:
        with client_of(services, peer=FAR) as one:
            for _ in range(2):
                assert one.post("/login", data={"token": "wrong"}).status_code == 401
        with client_of(services, peer=FAR) as other:
            assert other.post("/login", data={"token": "right"}).status_code == 429
