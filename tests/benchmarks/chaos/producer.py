"""The incidents' source: sends each event until it is on disk, as whoever talks to a Redis that forgets must."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from tests.orchestra import CASE

SEND_AGAIN_AFTER_S = 4.0
TICK_S = 0.1


@dataclass
class Event:
    """One incident to report: when it is due, when it was sent, whether it has been seen on disk.

    Sub-agents look into a grave one, where there are any.
    """

    marker: str
    due_s: float
    is_grave: bool = False
    sent_at: list[float] = field(default_factory=list)
    is_stored: bool = False

    @property
    def key(self) -> str:
        return f"key-{self.marker}"


def plan_events(count: int, *, span_s: float) -> list[Event]:
    return [Event(f"chaos-{_letters(n)}-end", round(span_s * n / count, 3), n % 4 == 0) for n in range(count)]


def _letters(number: int) -> str:
    """Spell a number in letters: digits are what makes two alerts alike."""
    return "".join("abcdefghij"[int(digit)] for digit in f"{number:03d}")


class Producer:
    """Puts events on the stream when they are due, in a thread; again while they are not stored, under the same key."""

    def __init__(self, events: list[Event], *, redis_url: str, stored_keys: Callable[[], set[str] | None]) -> None:
        self._events = events
        self._redis = Redis.from_url(redis_url, socket_timeout=2, socket_connect_timeout=2)
        self._stored_keys = stored_keys
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="producer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join(timeout=10)
        self._redis.close()

    @property
    def is_done(self) -> bool:
        return all(event.is_stored for event in self._events)

    def _run(self) -> None:
        started = time.monotonic()
        while not self._stop.wait(TICK_S) and not self.is_done:
            if any(event.sent_at and not event.is_stored for event in self._events):
                self._look()
            for event in self._events:
                if event.due_s <= time.monotonic() - started and self._is_to_send(event):
                    self._send(event)

    def _look(self) -> None:
        stored = self._stored_keys()
        for event in self._events if stored else ():
            event.is_stored = event.is_stored or event.key in (stored or ())

    def _is_to_send(self, event: Event) -> bool:
        is_late = not event.sent_at or time.time() - event.sent_at[-1] > SEND_AGAIN_AFTER_S
        return not event.is_stored and is_late

    def _send(self, event: Event) -> None:
        told: dict[str, Any] = {"title": f"{event.marker} is slow", "source": "chaos", "idempotency_key": event.key}
        told |= {"severity": "high" if event.is_grave else "low", "labels": {"recorded_case": CASE}}
        try:
            self._redis.xadd("rca:incidents", {"event": json.dumps(told)})
        except RedisError:
            return  # Redis is away: the next look sends it
        event.sent_at.append(time.time())
