"""The bridge: what is on disk is acknowledged, what is bad is set aside with the reason, nothing else leaves."""

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pytest
from fakeredis import FakeRedis

from worker.errors import EventError, KeyTakenError, StorageUnavailableError
from worker.intake import bridge as module
from worker.intake.bridge import GROUP, Bridge, Names
from worker.intake.events import Offer
from worker.ops import metrics

NAMES = Names(stream="rca:incidents", list="rca:pushed")
GOOD = b'{"title": "checkout p99 is high"}'


class Intake:
    """Accepts what it is offered, but fails the calls that a script of errors names, in order."""

    def __init__(self, *errors: Exception | None) -> None:
        self.taken: list[Offer] = []
        self.errors = list(errors)
        self.refused_titles: dict[str, Exception] = {}

    def __call__(self, offers: Sequence[Offer]) -> None:
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error
        for offer in offers:
            if offer.event.title in self.refused_titles:
                raise self.refused_titles[offer.event.title]
        self.taken += offers

    @property
    def titles(self) -> list[str]:
        return [offer.event.title for offer in self.taken]


@pytest.fixture(autouse=True)
def _no_blocking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_MS", 1)


@pytest.fixture
def redis() -> Iterator[FakeRedis]:
    with FakeRedis() as client:
        yield client


def bridge_of(redis: Any, intake: Intake) -> Bridge:
    bridge = Bridge(redis, NAMES, accept=intake, scrub=lambda text: text.replace("hunter2", "[redacted]"))
    bridge.prepare()
    return bridge


def send(redis: FakeRedis, payload: bytes = GOOD, *, field: str = "event") -> bytes:
    message_id = redis.xadd(NAMES.stream, {field: payload})
    assert isinstance(message_id, bytes)
    return message_id


def pending(redis: FakeRedis) -> int:
    found: Any = redis.xpending(NAMES.stream, GROUP)
    return int(found["pending"])


def rejected(redis: FakeRedis) -> list[dict[str, str]]:
    entries: Any = redis.xrange(NAMES.rejected)
    return [{k.decode(): v.decode() for k, v in entry.items()} for _, entry in entries]


def event(title: str) -> bytes:
    return json.dumps({"title": title}).encode()


def test_an_event_is_acknowledged_once_it_was_taken(redis: FakeRedis) -> None:
    intake = Intake()
    bridge = bridge_of(redis, intake)
    message_id = send(redis)

    assert bridge.work() == 1

    assert pending(redis) == 0
    assert [(o.event.title, o.via, o.delivery) for o in intake.taken] == [
        ("checkout p99 is high", "stream", f"rca:incidents:{message_id.decode()}")
    ]


@pytest.mark.parametrize(
    ("payload", "field", "reason"),
    [
        (b'{"title": ', "event", "not JSON"),
        (b'["a list"]', "event", "object"),
        (b"{}", "event", "title"),
        (b'{"title": "\xff"}', "event", "UTF-8"),
        (GOOD, "payload", "no field 'event'"),
        (b'{"title": "' + b"x" * 2_000_000 + b'"}', "event", "at most 1048576"),
    ],
    ids=["malformed", "list", "no title", "not UTF-8", "missing field", "2 MB"],
)
def test_a_bad_event_is_set_aside_with_the_reason(redis: FakeRedis, payload: bytes, field: str, reason: str) -> None:
    intake = Intake()
    bridge = bridge_of(redis, intake)
    message_id = send(redis, payload, field=field)

    bridge.work()

    (entry,) = rejected(redis)
    assert reason in entry["reason"]
    assert entry["message_id"] == message_id.decode()
    assert field in json.loads(entry["fields"])
    assert (pending(redis), intake.taken) == (0, [])


def test_a_bad_event_harms_no_other(redis: FakeRedis) -> None:
    intake = Intake()
    bridge = bridge_of(redis, intake)
    for payload in (event("one"), b"nonsense", event("two")):
        send(redis, payload)

    bridge.work()

    assert intake.titles == ["one", "two"]
    assert (len(rejected(redis)), pending(redis)) == (1, 0)


@pytest.mark.parametrize("error", [EventError("title: too long"), ValueError("unforeseen"), RecursionError()])
def test_what_is_refused_when_it_is_taken_in_harms_no_other(redis: FakeRedis, error: Exception) -> None:
    intake = Intake()
    intake.refused_titles = {"poison": error}
    bridge = bridge_of(redis, intake)
    for title in ("one", "poison", "two"):
        send(redis, event(title))

    bridge.work()

    assert intake.titles == ["one", "two"]
    assert [json.loads(json.loads(e["fields"])["event"])["title"] for e in rejected(redis)] == ["poison"]
    assert pending(redis) == 0


def test_an_unforeseen_error_is_told_by_its_class_alone(redis: FakeRedis) -> None:
    bridge = bridge_of(redis, Intake(ValueError("hunter2 is the password"), ValueError("hunter2 is the password")))
    send(redis)

    bridge.work()

    assert [e["reason"] for e in rejected(redis)] == ["it cannot be taken in (ValueError)"]


def test_secrets_of_a_rejected_event_are_not_kept(redis: FakeRedis) -> None:
    bridge = bridge_of(redis, Intake())
    send(redis, b"password hunter2")

    bridge.work()

    assert "hunter2" not in str(rejected(redis))


def test_rejected_events_are_counted(redis: FakeRedis) -> None:
    bridge = bridge_of(redis, Intake())
    counter = metrics.EVENTS.labels(source="unknown", outcome="rejected")
    before = counter._value.get()
    send(redis, b"nonsense")

    bridge.work()

    assert counter._value.get() == before + 1


def test_a_database_that_is_away_keeps_events_pending_until_it_is_back(redis: FakeRedis) -> None:
    intake = Intake(StorageUnavailableError("away"))
    bridge = bridge_of(redis, intake)
    send(redis)

    with pytest.raises(StorageUnavailableError):
        bridge.work()
    assert (pending(redis), redis.xlen(NAMES.stream)) == (1, 1)

    bridge._interrupted("StorageUnavailableError")  # as `run` notes it
    bridge.work()
    assert (intake.titles, pending(redis)) == (["checkout p99 is high"], 0)


def test_a_redis_that_forgets_while_events_are_taken_in_ends_no_bridge(redis: FakeRedis) -> None:
    def forget_while_taking(offers: Sequence[Offer]) -> None:
        intake(offers)
        redis.flushall()
        send(redis, event("next"))

    intake = Intake()
    bridge = Bridge(redis, NAMES, accept=forget_while_taking, scrub=str)
    bridge.prepare()
    send(redis, event("first"))

    bridge.work()

    assert (intake.titles, redis.xlen(NAMES.stream)) == (["first"], 1)


def test_an_outage_is_not_over_because_another_bridge_took_the_messages(redis: FakeRedis) -> None:
    away = StorageUnavailableError("away")

    def admit() -> None:
        raise away

    bridge = Bridge(redis, NAMES, accept=Intake(), scrub=str, admit=admit)
    bridge.prepare()
    bridge.work()  # nothing came and nothing was wrong: the database is left alone

    bridge._interrupted("StorageUnavailableError")  # as `run` notes it
    with pytest.raises(StorageUnavailableError):
        bridge.work()


def test_a_database_that_goes_away_between_two_events_rejects_neither(redis: FakeRedis) -> None:
    intake = Intake(KeyTakenError(), None, StorageUnavailableError("away"))
    bridge = bridge_of(redis, intake)
    send(redis, event("one"))
    send(redis, event("two"))

    with pytest.raises(StorageUnavailableError):
        bridge.work()

    assert (intake.titles, pending(redis), rejected(redis)) == (["one"], 1, [])


def abandon(redis: FakeRedis, *, idle_ms: int) -> None:
    """Let a bridge that is dead have read everything, so long ago."""
    read: Any = redis.xreadgroup(GROUP, "dead", {NAMES.stream: ">"})
    ids = [message_id for _, batch in read for message_id, _ in batch]
    redis.xclaim(NAMES.stream, GROUP, "dead", min_idle_time=0, message_ids=ids, idle=idle_ms)


def test_what_a_dead_bridge_left_is_taken_over(redis: FakeRedis) -> None:
    intake = Intake()
    bridge = bridge_of(redis, intake)
    send(redis)
    abandon(redis, idle_ms=module.ABANDONED_MS + 1)

    bridge.work()

    assert (intake.titles, pending(redis)) == (["checkout p99 is high"], 0)


def test_what_a_living_bridge_holds_is_left_to_it(redis: FakeRedis) -> None:
    intake = Intake()
    bridge = bridge_of(redis, intake)
    send(redis)
    abandon(redis, idle_ms=0)

    bridge.work()

    assert (intake.titles, pending(redis)) == ([], 1)


def test_pushed_events_are_moved_to_the_stream_in_order(redis: FakeRedis) -> None:
    intake = Intake()
    bridge = bridge_of(redis, intake)
    redis.lpush(NAMES.list, event("first"))
    redis.lpush(NAMES.list, event("second"))

    bridge.work()

    assert [(o.event.title, o.via) for o in intake.taken] == [("first", "list"), ("second", "list")]
    assert redis.llen(NAMES.list) == 0


def test_a_pushed_event_is_on_the_stream_before_anybody_takes_it(redis: FakeRedis) -> None:
    bridge = bridge_of(redis, Intake(StorageUnavailableError("away")))
    redis.lpush(NAMES.list, GOOD)

    with pytest.raises(StorageUnavailableError):
        bridge.work()

    assert (redis.llen(NAMES.list), redis.xlen(NAMES.stream), pending(redis)) == (0, 1, 1)


def test_more_pushed_events_than_a_batch_wait_in_the_list(redis: FakeRedis) -> None:
    intake = Intake()
    bridge = bridge_of(redis, intake)
    redis.lpush(NAMES.list, *[GOOD] * (module.BATCH + 3))

    assert bridge.work() == module.BATCH
    assert redis.llen(NAMES.list) == 3


def test_the_stream_is_trimmed_behind_what_is_acknowledged(redis: FakeRedis) -> None:
    bridge = bridge_of(redis, Intake())
    for _ in range(10):
        send(redis)

    bridge.work()

    assert redis.xlen(NAMES.stream) == 0  # the newest too: beside it Redis keeps the bytes of those before

    send(redis)
    assert bridge.work() == 1


def test_trimming_stops_at_what_another_bridge_has_not_acknowledged(redis: FakeRedis) -> None:
    bridge = bridge_of(redis, Intake())
    kept = send(redis)
    abandon(redis, idle_ms=0)
    for _ in range(5):
        send(redis)

    bridge.work()

    entries: Any = redis.xrange(NAMES.stream)
    assert entries[0][0] == kept


class Meanwhile:
    """A Redis on which another bridge reads new events between any two questions of this one."""

    def __init__(self, redis: FakeRedis) -> None:
        self._redis = redis
        self.is_busy = False
        self.read: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        ask = getattr(self._redis, name)
        return partial(self._ask, ask) if self.is_busy and name in {"xpending", "xinfo_groups"} else ask

    def _ask(self, ask: Callable[..., Any], *args: Any) -> Any:
        answer = ask(*args)
        self.read += [send(self._redis), send(self._redis)]
        self._redis.xreadgroup(GROUP, "another", {NAMES.stream: ">"})
        return answer


def test_trimming_takes_nothing_that_another_bridge_reads_meanwhile(redis: FakeRedis) -> None:
    shared = Meanwhile(redis)
    bridge = bridge_of(shared, Intake())
    for _ in range(3):
        send(redis)
    shared.is_busy = True

    bridge.work()

    entries: Any = redis.xrange(NAMES.stream)
    assert shared.read
    assert set(shared.read) <= {message_id for message_id, _ in entries}


def test_a_stream_that_was_lost_is_made_again(redis: FakeRedis) -> None:
    intake = Intake()
    bridge = bridge_of(redis, intake)
    redis.delete(NAMES.stream)
    send(redis)

    bridge.prepare()
    bridge.work()

    assert intake.titles == ["checkout p99 is high"]


def test_a_bridge_that_leaves_takes_its_consumer_along(redis: FakeRedis) -> None:
    bridge = bridge_of(redis, Intake())
    send(redis)
    bridge.work()

    bridge._leave()

    assert redis.xinfo_consumers(NAMES.stream, GROUP) == []


def test_a_bridge_that_leaves_something_unfinished_stays_known(redis: FakeRedis) -> None:
    bridge = bridge_of(redis, Intake(StorageUnavailableError("away")))
    send(redis)
    with pytest.raises(StorageUnavailableError):
        bridge.work()

    bridge._leave()

    assert (len(redis.xinfo_consumers(NAMES.stream, GROUP)), pending(redis)) == (1, 1)
