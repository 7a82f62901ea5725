"""A process that is about to leave waits for steps, from the moment they begin to be claimed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from sqlalchemy.orm import Session

from tests.builders import incident, queue_of, run_step, submits_report
from tests.fakes import ScriptedModel
from worker import pipeline
from worker.services import Services
from worker.storage.database import Database

Open = Callable[..., Services]


class WatchingDatabase(Database):
    """Notes at the end of every transaction what somebody sees then."""

    def __init__(self, url: str, look: Callable[[], bool]) -> None:
        super().__init__(url)
        self._look = look
        self.seen: list[bool] = []

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        with super().transaction() as session:
            yield session
        self.seen.append(self._look())


def test_a_process_is_not_idle_while_a_step_is_claimed_or_runs(open_services: Open, database_url: str) -> None:
    services = open_services(ScriptedModel([submits_report()]))
    pipeline.accept(services, incident(), via="test")
    watching = WatchingDatabase(database_url, lambda: services.heartbeat.is_idle)

    run_step(replace(services, database=watching), queue_of(services).take()[0])
    watching.close()

    assert len(watching.seen) > 2
    assert not any(watching.seen)
    assert services.heartbeat.is_idle
