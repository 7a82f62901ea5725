"""Bad and doubled messages: each ends where it is said to, and the processes live on."""

import json
from collections.abc import Iterator

import pytest
from redis import Redis

from tests.acceptance.system import System, reports, wait_for


@pytest.fixture
def redis(system: System) -> Iterator[Redis]:
    with Redis.from_url(system.redis_url, decode_responses=True) as client:
        yield client


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ('{"title": "cut off', "not JSON"),
        ('{"severity": "high"}', "title: is required"),
        (json.dumps({"title": "large", "description": "x" * 2_000_000}), "bytes; at most"),
    ],
    ids=["malformed", "no-title", "2-MB"],
)
def test_a_bad_event_is_set_aside_with_its_reason_and_the_bridge_lives_on(
    system: System, redis: Redis, payload: str, reason: str
) -> None:
    marker = f"after a bad event: {reason}"
    system.provider.play(marker, [reports()])
    before = redis.xlen("rca:incidents:rejected")

    message = redis.xadd("rca:incidents", {"event": payload})
    wait_for(lambda: redis.xlen("rca:incidents:rejected") == before + 1, within_s=5, otherwise=lambda: "not rejected")
    system.xadd(json.dumps({"title": marker}))
    found = wait_for(lambda: system.find(marker), within_s=5, otherwise=lambda: "the bridge takes nothing more")

    entry = redis.xrevrange("rca:incidents:rejected", count=1)[0][1]
    assert (entry["message_id"], reason in entry["reason"]) == (message, True), entry
    assert system.wait_until_completed(found[0].id)
    assert redis.xpending("rca:incidents", "rca-intake")["pending"] == 0
    assert [p.is_alive for p in system.processes if p.name != "flower"] == [True, True]


def test_a_message_sent_twice_with_one_idempotency_key_is_one_incident(system: System) -> None:
    marker = "the same alert, delivered twice"
    system.provider.play(marker, [reports()])
    event = json.dumps({"title": marker, "idempotency_key": "alert-7"})

    for _ in range(2):
        system.xadd(event)
    last = "sent after the doubled one"
    system.provider.play(last, [reports()])
    system.xadd(json.dumps({"title": last}))
    wait_for(lambda: system.find(last), within_s=5, otherwise=lambda: "the last event did not arrive")

    found = system.find(marker)
    assert len(found) == 1
    assert system.wait_until_completed(found[0].id)["incident_id"] == found[0].incident_id
    assert system.provider.turns(marker) == {1: 1}


def test_an_event_pushed_to_the_list_is_taken_like_one_on_the_stream(system: System, redis: Redis) -> None:
    marker = "pushed to the list"
    system.provider.play(marker, [reports()])

    redis.lpush("rca:incidents:list", json.dumps({"title": marker}))
    found = wait_for(lambda: system.find(marker), within_s=2, otherwise=lambda: "the list is not read")

    assert system.wait_until_completed(found[0].id)["title"] == marker
    assert redis.llen("rca:incidents:list") == 0
