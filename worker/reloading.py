"""SIGHUP: a process that serves lets RCA_LLM_CONFIG be read again, as `rca llm reload` does, and serves on."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue

import structlog

from worker import managing
from worker.errors import WorkerError
from worker.services import Services

log = structlog.get_logger()


class Hangups:
    """The SIGHUPs of this process that are not acted upon yet."""

    def __init__(self) -> None:
        self._asked: SimpleQueue[bool] = SimpleQueue()  # the one that a signal's handler may put into at any moment

    def note(self) -> None:
        self._asked.put(True)

    @contextmanager
    def reload(self, services: Services, *, process: str) -> Iterator[None]:
        """Reload once for each SIGHUP, those from before included, beside what this thread does."""
        thread = threading.Thread(target=self._reload_at_each, args=(services, process), name="reloads", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._asked.put(False)
            thread.join()

    def _reload_at_each(self, services: Services, process: str) -> None:
        while self._asked.get():
            reload(services, process=process)


def reload(services: Services, *, process: str) -> None:
    """Let every process read its file again; one line says why where that cannot work, and the old one holds on."""
    try:
        state = managing.reload(services, f"signal:{process}")
    except WorkerError as error:
        log.error("models_not_reloaded", serving=services.models.generation, error=str(error))  # noqa: TRY400 - one line
    else:
        log.info("models_reloaded", generation=state.generation)


@contextmanager
def hangups() -> Iterator[Hangups]:
    """Take this process's SIGHUPs, also one that was held back since before it began; for the main thread."""
    found = Hangups()
    before = signal.signal(signal.SIGHUP, lambda *_: found.note())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
    try:
        yield found
    finally:
        signal.signal(signal.SIGHUP, before)
