"""The Celery app: it carries wake-ups, nothing else. What is true stands in SQL."""

import logging
from collections.abc import Iterable
from typing import Any

import structlog
from celery import Celery
from celery.app.amqp import AMQP
from kombu.connection import Connection
from kombu.entity import Queue as KombuQueue
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from worker.domain.states import Queue
from worker.services import Message
from worker.settings import Settings, load_settings

log = structlog.get_logger()

LOCAL_REDIS = "redis://127.0.0.1:6379/0"
"""Where the queue is when no setting says otherwise."""
CONNECT_S = 2.0
"""Longer than this no step waits for the queue: the outbox sends again."""

RECONNECT_S = {"interval_start": 1.0, "interval_step": 1.0, "interval_max": 3.0}
"""Waits between attempts to reach the queue again. Celery's own grow to 32 s, in which a worker is deaf."""


class Broker(Connection):
    """A connection that is soon tried again: Celery has no setting for it."""

    def ensure_connection(self, *args: Any, **kwargs: Any) -> Any:
        return super().ensure_connection(*args, **{**RECONNECT_S, **kwargs})


class Wiring(AMQP):  # type: ignore[misc]  # Celery is untyped
    """Makes Celery connect by ours, and name a message as people see it from the moment it is sent.

    Celery itself does so only once a worker has it: one that stands in the queue would not say whose it is.
    """

    Connection = Broker

    def as_task_v2(self, *args: Any, **kwargs: Any) -> Any:
        message = super().as_task_v2(*args, **kwargs)
        if message.sent_event and message.headers["shadow"]:
            message.sent_event["name"] = message.headers["shadow"]
        return message


def create_app(settings: Settings) -> Celery:
    """Return the app: early acknowledgement, no results, JSON, events for Flower."""
    broker = settings.redis_url or LOCAL_REDIS
    app = Celery("rca", broker=broker, include=["worker.tasks", "worker.lifecycle"], amqp=Wiring)
    app.conf.update(
        task_acks_late=False,
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_serializer="json",
        accept_content=["json"],
        task_queues=[KombuQueue(q.value, routing_key=q.value) for q in Queue],
        task_default_queue=Queue.RCA.value,
        task_send_sent_event=True,
        worker_send_task_events=True,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        task_publish_retry=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "socket_connect_timeout": CONNECT_S,
            "socket_timeout": CONNECT_S * 5,
            "socket_keepalive": True,
            "retry_on_timeout": False,
            "max_retries": 0,
        },
    )
    return app


app = create_app(load_settings())


class Sender:
    """Puts wake-ups on the queue. It never raises: what could not be sent stays in the outbox."""

    def __init__(self, celery_app: Celery) -> None:
        self._app = celery_app
        self._is_down = False

    def __call__(self, messages: Iterable[Message]) -> None:
        for message in messages:
            if not self._send(message):
                return

    def _send(self, message: Message) -> bool:
        try:
            self._app.send_task(
                message.task,
                args=message.arguments,
                queue=message.queue,
                shadow=message.shown_as,
                ignore_result=True,
            )
        except (OperationalError, RedisError, OSError) as error:
            if not self._is_down:
                log.warning("queue_unreachable", error=type(error).__name__)
            self._is_down = True
            return False
        if self._is_down:
            log.info("queue_reached")
        self._is_down = False
        return True


logging.getLogger("celery.worker.strategy").setLevel(logging.WARNING)  # two lines a message tell nothing ours do not
logging.getLogger("celery.app.trace").setLevel(logging.WARNING)
