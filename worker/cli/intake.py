"""`rca intake`: the bridge from the Redis stream to the database, as a process of its own."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import click
import structlog

from worker import arriving, pipeline
from worker.bootstrap import build_services
from worker.celery import Sender, create_app
from worker.cli.stored import open_database
from worker.cli.system import connect_redis, find_settings, redis_address
from worker.cli.upfile import find_redis_url
from worker.intake.bridge import Bridge, Names
from worker.ops.logging import configure_logging
from worker.ops.tracing import FLUSH_S
from worker.reloading import Hangups, hangups
from worker.settings import Settings

log = structlog.get_logger()


@click.command()
def intake() -> None:
    """Take events from the Redis stream into the database until SIGTERM or Ctrl-C.

    As many may run as one likes. Redis or the database being away is waited out; nothing is lost meanwhile.

    Example: REDIS_URL=redis://queue:6379/0 rca intake
    """
    settings = find_settings()
    with open_database(settings):
        pass  # said here, a missing table is one line; later it would look like an outage
    configure_logging(settings, process="intake")
    with stop_event() as stopping, hangups() as found:
        run_intake(settings, stopping, found)


def run_intake(settings: Settings, stopping: threading.Event, found: Hangups | None = None) -> None:
    """Run the bridge. Raises `UserError` if no Redis is named."""
    found = found or Hangups()
    url = find_redis_url(settings)
    services = replace(build_services(settings), send=Sender(create_app(settings)))
    redis = connect_redis(url)
    bridge = Bridge(
        redis,
        Names(settings.rca_stream, settings.rca_list),
        accept=lambda offers: arriving.take(services, offers),
        admit=lambda: pipeline.admit_waiting(services),
        scrub=services.redactor.scrub,
    )
    log.info("intake_started", redis=redis_address(url), stream=settings.rca_stream)
    try:
        with found.reload(services, process="intake"):
            bridge.run(stopping)
    finally:
        redis.close()
        services.database.close()
        services.tracer.flush(FLUSH_S)
    log.info("intake_stopped")


@contextmanager
def stop_event() -> Iterator[threading.Event]:
    """Turn SIGTERM and SIGINT into an event; ours again afterwards."""
    stopping = threading.Event()
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, lambda *_: stopping.set()) for number in numbers]
    try:
        yield stopping
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
