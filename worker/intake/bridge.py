"""The bridge: events on the Redis stream become rows, and only then are they acknowledged."""

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import structlog
from redis import Redis
from redis.exceptions import RedisError, ResponseError

from worker.errors import EventError, StorageUnavailableError, TransientError, WorkerError
from worker.intake.events import Offer, parse_event, without_keys
from worker.ops import metrics

log = structlog.get_logger()

GROUP = "rca-intake"
FIELD = "event"
BLOCK_MS = 200
BATCH = 50
ABANDONED_MS = 5000
"""A message that another bridge read this long ago and did not acknowledge is taken over."""
PAUSE_S = (0.2, 5.0)
"""Shortest and longest wait while Redis or the database is away."""

MOVE_LIST = """
local moved = 0
while moved < tonumber(ARGV[1]) do
  local event = redis.call('RPOP', KEYS[1])
  if not event then break end
  redis.call('XADD', KEYS[2], '*', 'event', event, 'via', 'list')
  moved = moved + 1
end
return moved
"""
"""Moves pushed events to the stream in one atomic step, so that a crash can neither lose nor double one."""

Fields = dict[bytes, bytes]
Message = tuple[bytes, Fields]

POISON = (ArithmeticError, LookupError, RecursionError, TypeError, ValueError)
"""What content that nobody foresaw may raise: it is set aside, or it would come back for ever."""


@dataclass(frozen=True)
class Names:
    """The keys the bridge works on."""

    stream: str
    list: str

    @property
    def rejected(self) -> str:
        return f"{self.stream}:rejected"


class Bridge:
    """Reads the stream as one consumer of a group. `accept` takes many events or none, on disk when it returns.

    `admit` starts what they opened, once they are acknowledged: whatever happens to it, no event comes in twice.
    The delivery's name makes a message that is read twice the same event. `scrub` takes secrets out of what is kept
    of a rejected one.
    """

    def __init__(
        self,
        redis: Redis,
        names: Names,
        *,
        accept: Callable[[Sequence[Offer]], object],
        scrub: Callable[[str], str],
        admit: Callable[[], object] = lambda: None,
    ) -> None:
        self._redis = redis
        self._names = names
        self._accept = accept
        self._scrub = scrub
        self._admit = admit
        self._consumer = f"bridge-{uuid4().hex[:12]}"
        self._move_list = redis.register_script(MOVE_LIST)
        self._is_interrupted = False
        self._pause_s = PAUSE_S[0]

    def run(self, stopping: threading.Event) -> None:
        """Work until told to stop; outages are waited out, with one log line when they begin and one when they end."""
        while not stopping.is_set():
            try:
                self.prepare()
                while not stopping.is_set():
                    self.work()
                    self._resumed()
            except (RedisError, TransientError) as error:
                self._interrupted(type(error).__name__)
                stopping.wait(self._pause_s)
                self._pause_s = min(self._pause_s * 2, PAUSE_S[1])
        self._leave()

    def prepare(self) -> None:
        """Make the stream and its group if they are not there (again)."""
        try:
            self._redis.xgroup_create(self._names.stream, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    def work(self) -> int:
        """Take in what has come: from the list, from bridges that died, from the stream. Returns how many events."""
        self._move_list(keys=[self._names.list, self._names.stream], args=[BATCH])
        messages = [*self._own_pending(), *self._abandoned(), *self._new()]
        for start in range(0, len(messages), BATCH):
            self._take(messages[start : start + BATCH])
        if messages or self._is_interrupted:
            self._admit()  # which asks the database, too: an outage has not ended because nothing was left to take in
            self._trim()
        return len(messages)

    def _own_pending(self) -> list[Message]:
        """Return what this bridge read and could not store, because the database was away."""
        return self._read("0", block=None) if self._is_interrupted else []

    def _abandoned(self) -> list[Message]:
        claimed: Any = self._redis.xautoclaim(
            self._names.stream, GROUP, self._consumer, min_idle_time=ABANDONED_MS, start_id="0-0", count=BATCH
        )
        return [(i, f) for i, f in claimed[1] if f is not None]

    def _new(self) -> list[Message]:
        return self._read(">", block=BLOCK_MS)

    def _read(self, start: str, *, block: int | None) -> list[Message]:
        found: Any = self._redis.xreadgroup(
            GROUP, self._consumer, {self._names.stream: start}, count=BATCH, block=block
        )
        streams = found.items() if isinstance(found, dict) else found or []
        return [(i, f) for _, batches in streams for i, f in _flat(batches) if f]

    def _take(self, messages: Sequence[Message]) -> None:
        """Take in what can be read, in one transaction; if that fails, one by one, so that a bad one harms no other."""
        read = [(message, offer) for message in messages if (offer := self._read_offer(message)) is not None]
        if not read:
            return
        try:
            self._accept([offer for _, offer in read])
        except StorageUnavailableError:
            raise  # nothing was taken: all of them are read again
        except (WorkerError, *POISON):
            for message, offer in read:
                self._take_alone(message, offer)
        else:
            self._redis.xack(self._names.stream, GROUP, *(message_id for (message_id, _), _ in read))
            self._forget_keys(read)

    def _forget_keys(self, read: Sequence[tuple[Message, Offer]]) -> None:
        """Delete the messages that brought a caller's key: it is sealed elsewhere now."""
        with_key = [message_id for (message_id, _), offer in read if offer.event.llm and offer.event.llm.key]
        if with_key:
            self._redis.xdel(self._names.stream, *with_key)

    def _read_offer(self, message: Message) -> Offer | None:
        message_id, fields = message
        try:
            via = fields.get(b"via", b"stream").decode(errors="replace")
            return Offer(parse_event(_payload(fields)), via, f"{self._names.stream}:{message_id.decode()}")
        except EventError as error:
            self._reject(message_id, fields, str(error))
            return None

    def _take_alone(self, message: Message, offer: Offer) -> None:
        message_id, fields = message
        try:
            self._accept([offer])
        except EventError as error:
            self._reject(message_id, fields, str(error))
        except POISON as error:
            self._reject(message_id, fields, f"it cannot be taken in ({type(error).__name__})")
        else:
            self._redis.xack(self._names.stream, GROUP, message_id)
            self._forget_keys([(message, offer)])

    def _reject(self, message_id: bytes, fields: Fields, reason: str) -> None:
        """Set a bad event aside with the reason, in one step with its acknowledgement."""
        said = {k.decode(errors="replace"): v.decode(errors="replace") for k, v in fields.items()}
        kept = {name: self._scrub(without_keys(value)) for name, value in said.items()}
        entry = {"reason": reason, "message_id": message_id.decode(), "fields": json.dumps(kept, ensure_ascii=False)}
        with self._redis.pipeline(transaction=True) as both:
            both.xadd(self._names.rejected, entry)  # type: ignore[arg-type]  # the stubs want invariant values
            both.xack(self._names.stream, GROUP, message_id)
            both.xdel(self._names.stream, message_id)  # it may hold a caller's key
            both.execute()
        metrics.EVENTS.labels(source="unknown", outcome="rejected").inc()
        log.warning("event_rejected", message_id=message_id.decode(), reason=reason)

    def _trim(self) -> None:
        """Trim the stream behind what is acknowledged, and not a message further.

        The last one goes too: Redis keeps the bytes of deleted messages, callers' keys among them, in its memory and
        files while a message beside them is there. How far the group has read is asked first: what another bridge
        reads in between is then still pending. A Redis that has just lost its memory has no group: nothing is
        acknowledged, and `run` makes it again.
        """
        groups: Any = self._redis.xinfo_groups(self._names.stream)
        ours = [g["last-delivered-id"] for g in groups if g["name"] in {GROUP, GROUP.encode()}]
        if not ours:
            return
        pending: Any = self._redis.xpending(self._names.stream, GROUP)
        self._redis.xtrim(self._names.stream, minid=pending["min"] or _after(ours[0]), approximate=False)

    def _leave(self) -> None:
        """Take this consumer off the group if nothing is pending on it; else its messages are taken over."""
        try:
            pending: Any = self._redis.xpending_range(self._names.stream, GROUP, "-", "+", 1, self._consumer)
            if not pending:
                self._redis.xgroup_delconsumer(self._names.stream, GROUP, self._consumer)
        except RedisError as error:
            log.info("consumer_left_behind", error=type(error).__name__)

    def _interrupted(self, error: str) -> None:
        if not self._is_interrupted:
            log.warning("intake_interrupted", error=error)
        self._is_interrupted = True

    def _resumed(self) -> None:
        if self._is_interrupted:
            log.info("intake_resumed")
        self._is_interrupted, self._pause_s = False, PAUSE_S[0]


def _after(message_id: bytes | str) -> str:
    """Return the least id behind one."""
    moment, _, number = (message_id if isinstance(message_id, str) else message_id.decode()).partition("-")
    return f"{moment}-{int(number) + 1}"


def _payload(fields: Fields) -> bytes:
    payload = fields.get(FIELD.encode())
    if payload is None:
        raise EventError(f"the message has no field {FIELD!r}: send XADD KEY '*' {FIELD} '<json>'")
    return payload


def _flat(batches: Any) -> list[Message]:
    """Level the two shapes in which clients answer: a list of messages, or a list of lists of them."""
    return [m for batch in batches for m in (batch if isinstance(batch, list) else [batch])]
