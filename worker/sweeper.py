"""The sweeper: a timer thread in every worker process, one at a time at work, that lets nothing wait for ever."""

import threading
import time
from contextlib import suppress
from datetime import timedelta
from uuid import uuid4

import structlog
from redis import Redis
from redis.exceptions import RedisError

from worker import delivering, pipeline
from worker.errors import StorageUnavailableError
from worker.ops import metrics
from worker.retention import Retention
from worker.services import Services
from worker.storage import agents, children, leases, outbox
from worker.storage.database import database_now

log = structlog.get_logger()

EPOCH_KEY = "rca:epoch"
"""Missing after Redis has lost its memory: then everything owed is sent again."""
DUTY = "sweeper"
DUTY_LEASE = timedelta(seconds=3)
STALL_SHARE = 0.5
"""A round that comes this share of a lease late says that this process stood still. A round that only took its time,
on a busy machine, must not: each would put off the recovery of what a dead worker held by another lease."""


class Sweeper:
    """Sends what is due, takes back what is lost, ends what is late, admits what waits."""

    def __init__(self, services: Services, redis: Redis) -> None:
        self._services = services
        self._redis = redis
        self._holder = str(uuid4())
        self._thread: threading.Thread | None = None
        self._is_interrupted = False
        self._looked_at_s = time.monotonic()
        self._takes_back_from_s = 0.0
        self._retention = Retention(services)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._services.stopping.wait(self._services.settings.rca_sweep_s):
            try:
                self.sweep()
            except StorageUnavailableError:
                self._is_interrupted = True
            else:
                self._is_interrupted = False

    def sweep(self) -> bool:
        """Do one round; False where another process has the duty."""
        self._note_round()
        with self._services.database.transaction() as session:
            if not leases.hold(session, DUTY, holder=self._holder, lease=DUTY_LEASE):
                return False
        started = time.monotonic()
        is_memory_lost = self._has_lost_memory()
        with self._services.database.transaction() as session:
            if is_memory_lost:
                outbox.make_all_due(session, database_now(session))
            wake_ups = agents.take_back_expired(session) if self._may_take_back() else []
            for taken_back in wake_ups:
                metrics.LEASES_LOST.labels(step=taken_back.step.value).inc()
            wake_ups += agents.expire_deadlines(session)
            agents.settle_cancelled(session)
        with self._services.database.transaction() as session:
            wake_ups += children.rejoin_all(session)
            wake_ups += outbox.take_due(session, database_now(session))
        delivering.send_due(self._services, is_memory_lost=is_memory_lost)
        if is_memory_lost:
            self._remember()
        self._services.send(wake_ups)
        pipeline.admit_waiting(self._services)
        self._retention.work()
        metrics.SWEEPER_AGE_SECONDS.set_to_current_time()
        if wake_ups:
            log.info("round_swept", sent=len(wake_ups), duration_ms=round((time.monotonic() - started) * 1000))
        return True

    def _note_round(self) -> None:
        """Notice when this process stood still or had no database: then others may have too.

        Their leases ran out for no fault of theirs, so they get the time of one lease to renew them.
        """
        now, settings = time.monotonic(), self._services.settings
        late_s = now - self._looked_at_s - settings.rca_sweep_s
        if late_s > STALL_SHARE * settings.rca_lease_s or self._is_interrupted:
            self._takes_back_from_s = now + settings.rca_lease_s
        self._looked_at_s = now

    def _may_take_back(self) -> bool:
        return time.monotonic() >= self._takes_back_from_s

    def _has_lost_memory(self) -> bool:
        try:
            return not self._redis.exists(EPOCH_KEY)
        except RedisError:
            return False  # away is not empty; when it is back the key tells

    def _remember(self) -> None:
        """Set the key again, once all that is owed is due: before, a failure in between would make us forget."""
        with suppress(RedisError):  # then everything is sent once more
            self._redis.set(EPOCH_KEY, self._holder)
