"""Which processes make the product, and what each is started with: the shape that the Procfile names too."""

import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from worker.domain.states import Queue
from worker.ops.children import tied_to_parent
from worker.settings import Settings, child_environment

MAIN_QUEUES = tuple(queue for queue in Queue if queue is not Queue.QUARANTINE)


@dataclass(frozen=True)
class ProcessSpec:
    """One program to keep running; `name` is unique and stands before its output.

    `takes_hangup` says that a SIGHUP asks it to read the models' file again; others would end or start anew.
    """

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    takes_hangup: bool = False


def product_processes(settings: Settings, *, redis_url: str, flower_auth: str | None) -> list[ProcessSpec]:
    """List web, intake, workers, the quarantine worker, and Flower where `flower_auth` is given."""
    ours = child_environment(keys=True, **_shared(settings, redis_url))
    workers = [_worker(f"worker-{n}", settings, ours) for n in range(1, settings.rca_worker_processes + 1)]
    specs = [
        ProcessSpec("web", rca("web"), ours, takes_hangup=True),
        ProcessSpec("intake", rca("intake"), ours, takes_hangup=True),
        *workers,
        _quarantine(settings, ours),
    ]
    return [*specs, _flower(settings, redis_url, flower_auth)] if flower_auth else specs


def rca(*arguments: str) -> tuple[str, ...]:
    """Return the command line of one of our own commands in this very installation."""
    return (*tied_to_parent("TERM"), sys.executable, "-m", "worker.cli.main", *arguments)


def has_flower() -> bool:
    return importlib.util.find_spec("flower") is not None


def _shared(settings: Settings, redis_url: str) -> dict[str, str]:
    """Say what all children have to agree on, whatever folder they run in."""
    return {"REDIS_URL": redis_url, "RCA_HOME": str(settings.rca_home.resolve()), "PYTHONUNBUFFERED": "1"}


def _celery(*arguments: str) -> tuple[str, ...]:
    return (*tied_to_parent("TERM"), sys.executable, "-m", "celery", "--quiet", "-A", "worker.celery", *arguments)


def _worker(name: str, settings: Settings, environment: Mapping[str, str]) -> ProcessSpec:
    queues = ",".join(MAIN_QUEUES)
    return ProcessSpec(name, _consumer(name, queues, settings.rca_worker_slots), environment)


def _quarantine(settings: Settings, environment: Mapping[str, str]) -> ProcessSpec:
    argv = _consumer("quarantine", Queue.QUARANTINE, settings.rca_quarantine_slots)
    return ProcessSpec("quarantine", argv, environment)


def _consumer(name: str, queues: str, slots: int) -> tuple[str, ...]:
    """Gossip and mingle make every worker talk to every other at its start, and nothing here uses them."""
    return _celery(
        "worker", "-P", "threads", "-c", str(slots), "-Q", queues, "-E", "-n", f"{name}@%h",
        "--without-gossip", "--without-mingle", "--prefetch-multiplier=1",
    )  # fmt: skip


def _flower(settings: Settings, redis_url: str, auth: str) -> ProcessSpec:
    """Flower gets its password by its environment, where `ps` does not show it, and none of our keys."""
    environment = child_environment(keys=False, **_shared(settings, redis_url), FLOWER_BASIC_AUTH=auth)
    argv = _celery("flower", "--address=127.0.0.1", f"--port={settings.rca_flower_port}")
    return ProcessSpec("flower", argv, environment)
