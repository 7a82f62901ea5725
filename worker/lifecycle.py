"""A worker process from its start to its orderly end."""

import os
import threading
import time
from collections.abc import Callable
from typing import Any

import structlog
from celery.signals import (
    celeryd_after_setup,
    setup_logging,
    task_prerun,
    task_revoked,
    worker_ready,
    worker_shutting_down,
)
from celery.worker.state import revoked
from redis import Redis

from worker.bootstrap import get_services
from worker.celery import LOCAL_REDIS
from worker.errors import ConfigError, StorageUnavailableError
from worker.ops import metrics
from worker.ops.logging import configure_logging
from worker.ops.tracing import FLUSH_S
from worker.services import Services
from worker.settings import load_settings
from worker.storage import agents
from worker.sweeper import Sweeper

log = structlog.get_logger()

POLL_S = 0.1
DUTIES = frozenset({"heartbeat", "sweeper"})
CRASHED = 70
"""The exit code of `sysexits.h` for an internal error."""
MISCONFIGURED = 78
"""The one for a configuration that cannot work."""


@setup_logging.connect
def configure(**_: Any) -> None:
    configure_logging(load_settings(), process="worker")


@celeryd_after_setup.connect
def refuse_bad_configuration(**_: Any) -> None:
    """End before anything is taken in: Celery would log what a signal raises and live on, able to do nothing."""
    try:
        get_services()
    except ConfigError as error:
        log.error("worker_refused", reason=str(error))  # noqa: TRY400  # a traceback tells an operator nothing more
        raise SystemExit(MISCONFIGURED) from error


@worker_ready.connect
def start(sender: Any = None, **_: Any) -> None:
    """Start the heartbeat and the sweeper beside the pool."""
    services = get_services()
    threading.excepthook = EndWithDuty(threading.excepthook)
    services.heartbeat.start()
    redis = Redis.from_url(services.settings.redis_url or LOCAL_REDIS, socket_timeout=2)
    Sweeper(services, redis).start()
    metrics.RUNNING_STEPS.set_function(lambda: len(services.heartbeat.running()))
    if services.settings.rca_metrics_port:
        metrics.serve(services.settings.rca_metrics_port)
    log.info("worker_started", name=sender.hostname, slots=sender.pool.limit)


class EndWithDuty:
    """Ends the process when a thread it cannot do without has died of a defect: a supervisor starts a whole one."""

    def __init__(
        self, log_crash: Callable[[threading.ExceptHookArgs], Any], *, leave: Callable[[int], Any] = os._exit
    ) -> None:
        self._log_crash = log_crash
        self._leave = leave

    def __call__(self, crash: threading.ExceptHookArgs) -> None:
        self._log_crash(crash)
        if crash.thread is not None and crash.thread.name in DUTIES:
            log.error("duty_crashed", duty=crash.thread.name)
            self._leave(CRASHED)


@worker_shutting_down.connect
def stop(**_: Any) -> None:
    """Claim nothing more from now on; end the process when its steps have ended or the grace has."""
    services = get_services()
    services.stopping.set()
    threading.Thread(target=leave, args=(services,), name="leave").start()  # no daemon: the process ends by it alone


def leave(services: Services) -> None:
    """Wait for running steps within the grace, put the rest back, and go.

    Threads cannot be ended, so a step longer than the grace would hold the process: it is put back first, and
    its own late writes find another claim token.
    """
    grace_ends = time.monotonic() + services.settings.rca_grace_s
    while not services.heartbeat.is_idle and time.monotonic() < grace_ends:
        time.sleep(POLL_S)
    tokens = services.heartbeat.running()
    try:
        with services.database.transaction() as session:
            put_back = agents.release_all(session, tokens)
    except StorageUnavailableError:
        put_back = 0  # their leases run out by themselves
    services.tracer.flush(min(max(grace_ends - time.monotonic(), 0), FLUSH_S))
    log.info("worker_stopped", put_back=put_back)
    os._exit(0)


@task_revoked.connect
def cancel_revoked(request: Any = None, **_: Any) -> None:
    """A message revoked before a worker took it in cancels its agent's investigation."""
    _cancel_agent_of(getattr(request, "args", None))


@task_prerun.connect
def cancel_revoked_in_line(task_id: str | None = None, args: Any = None, **_: Any) -> None:
    """So does one revoked while it stood in line for a thread: Celery looks only when it takes a message in."""
    if task_id in revoked:
        _cancel_agent_of(args)


def _cancel_agent_of(arguments: Any) -> None:
    if not arguments:
        return
    services = get_services()
    with services.database.transaction() as session:
        agents.cancel_agent(session, str(arguments[0]))
