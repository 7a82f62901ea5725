"""A worker process as a test can hold it: its steps stop where they are told to, go on late, or die there."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from sqlalchemy.orm import Session

from tests.builders import run_step
from worker.services import Services
from worker.storage import agents
from worker.storage.database import Database
from worker.storage.outbox import WakeUp

WAIT_S = 30
NEVER = 1000
"""A transaction that no step comes to."""


class Killed(BaseException):
    """The process is gone. No `except Exception` of the product may see it."""


class StoppingDatabase(Database):
    """The database as one step sees it: from its n-th transaction on the step stands still until it is told."""

    def __init__(self, database: Database, *, stops_before: int) -> None:
        vars(self).update(vars(database))  # the same pool, the same listeners
        self._outages = None
        self.moved = threading.Event()
        self._go_on = threading.Event()
        self._is_dead = False
        self._stops_before = stops_before
        self._count = 0
        self._mutex = threading.Lock()

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        self._come_to_a_stop()
        with super().transaction() as session:
            yield session

    def go_on(self) -> None:
        self._go_on.set()

    def die(self) -> None:
        self._is_dead = True
        self._go_on.set()

    def _come_to_a_stop(self) -> None:
        with self._mutex:
            self._count += 1
            is_here = self._count >= self._stops_before
        if is_here:
            self.moved.set()
            assert self._go_on.wait(WAIT_S), "a step was left standing"
        if self._is_dead:
            raise Killed


class Delivery:
    """One delivery of a message, run by a thread that stands still before its n-th transaction."""

    def __init__(self, services: Services, wake_up: WakeUp, *, stops_before: int) -> None:
        self._database = StoppingDatabase(services.database, stops_before=stops_before)
        self._services = replace(services, database=self._database)
        self._wake_up = wake_up
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._database.moved.wait(WAIT_S), "a step neither stopped nor ended"

    @property
    def is_under_way(self) -> bool:
        return self._thread.is_alive()

    def go_on(self) -> None:
        self._database.go_on()
        self._join()

    def die(self) -> None:
        self._database.die()
        self._join()

    def _run(self) -> None:
        try:
            with suppress(Killed):
                run_step(self._services, self._wake_up)
        finally:
            self._database.moved.set()

    def _join(self) -> None:
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive(), "a step does not end"


class Process:
    """A worker process with the deliveries that are under way in it."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.is_frozen = False
        self._deliveries: list[Delivery] = []

    def begin(self, wake_up: WakeUp, *, stops_before: int = NEVER) -> None:
        """Run the delivery to its end, or to where it is to stop."""
        if stops_before == NEVER:
            run_step(self.services, wake_up)
            return
        delivery = Delivery(self.services, wake_up, stops_before=stops_before)
        if delivery.is_under_way:
            self._deliveries.append(delivery)

    def go_on(self, index: int) -> None:
        """Let one of the steps that stand still go on to its end."""
        if self._deliveries:
            self._deliveries.pop(index % len(self._deliveries)).go_on()

    def go_on_all(self) -> None:
        while self._deliveries:
            self.go_on(0)

    def kill(self) -> None:
        """End the process as `kill -9` does: nothing of what is under way is written."""
        while self._deliveries:
            self._deliveries.pop().die()

    def leave(self) -> None:
        """End the process as a deploy does: what is under way is put back, then the process is gone."""
        with self.services.database.transaction() as session:
            agents.release_all(session, self.services.heartbeat.running())
        self.kill()

    def let_time_pass(self, seconds: float) -> None:
        """Age what the process knows of its leases; one that is not frozen renews them."""
        heartbeat = self.services.heartbeat
        for held in heartbeat._claims.values():
            held.confirmed -= seconds
            held.deadline -= seconds
        if not self.is_frozen:
            heartbeat.beat()
