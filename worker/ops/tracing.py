"""Traces: what was done from when to when, kept until a thread has sent it to where the operator wants to look.

The work of one trace is spread over processes that may be killed, so no context travels: a span is named by our own
ids, and what is sent are their hashes. Whoever knows an id knows the span. Nothing here may disturb a step.
"""

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol

import structlog

from worker.errors import ConfigError
from worker.ops import metrics

log = structlog.get_logger()

VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"
EXPORTER = "opentelemetry-exporter-otlp-proto-http"
CAPACITY = 4096
"""Spans that wait to be sent; one more is dropped."""
BATCH = 512
GATHER_S = 1.0
"""How long others may join the first span of a batch."""
FLUSH_S = 3.0
"""The longest an ending process waits for what it has not sent."""

Value = str | bool | int | float | Sequence[str]


@dataclass(frozen=True)
class Span:
    """One piece of work. `key` names it in the trace of its investigation, `parent` what it is a part of.

    `error` is the class of the error it ended with. `follows` is an earlier investigation that it goes on from.
    An attribute that is None is not sent. Nothing that a model, a tool or a monitor said belongs in here.
    """

    investigation_id: str
    key: str
    parent: str | None
    name: str
    started_at: datetime
    ended_at: datetime
    attributes: Mapping[str, Value | None]
    error: str | None = None
    is_client: bool = False
    follows: str | None = None


class Tracer(Protocol):
    """Takes spans. Neither method raises."""

    def emit(self, span: Span) -> None: ...

    def flush(self, within_s: float) -> None:
        """Wait until all is sent, but no longer."""


class NullTracer:
    """Traces nothing: nobody has asked for it."""

    def emit(self, span: Span) -> None:
        pass

    def flush(self, within_s: float) -> None:
        pass


class Sender(Protocol):
    """Sends spans, and says whether they arrived."""

    def __call__(self, spans: Sequence[Span]) -> bool: ...

    def flush(self) -> None:
        """Send what else is known: the process ends."""


class QueuedTracer:
    """Sends spans from a thread of its own, which the first one starts. What it cannot hold or send is counted."""

    def __init__(self, open_sender: Callable[[], Sender], *, capacity: int = CAPACITY) -> None:
        self._open_sender = open_sender
        self._waiting: queue.Queue[Span] = queue.Queue(capacity)
        self._mutex = threading.Lock()
        self._thread: threading.Thread | None = None
        self._sender: Sender | None = None
        self._hurry = threading.Event()
        self._is_interrupted = False

    def emit(self, span: Span) -> None:
        try:
            self._waiting.put_nowait(span)
        except queue.Full:
            metrics.SPANS_DROPPED.labels(reason="queue_full").inc()
        with self._mutex:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="tracer", daemon=True)
                self._thread.start()

    def flush(self, within_s: float) -> None:
        self._hurry.set()
        with self._waiting.all_tasks_done:
            is_sent = self._waiting.all_tasks_done.wait_for(lambda: not self._waiting.unfinished_tasks, within_s)
        if self._sender is not None and is_sent and not self._is_interrupted:
            last = threading.Thread(target=self._sender.flush, name="tracer-end", daemon=True)
            last.start()
            last.join(within_s)

    def _run(self) -> None:
        send = self._sender = self._open_sender()
        while True:
            batch = self._gather()
            self._note(is_sent=send(batch), count=len(batch))
            for _ in batch:
                self._waiting.task_done()

    def _gather(self) -> list[Span]:
        batch = [self._waiting.get()]
        if self._waiting.qsize() < BATCH:
            self._hurry.wait(GATHER_S)
        with suppress(queue.Empty):
            while len(batch) < BATCH:
                batch.append(self._waiting.get_nowait())
        return batch

    def _note(self, *, is_sent: bool, count: int) -> None:
        if not is_sent:
            metrics.SPANS_DROPPED.labels(reason="not_sent").inc(count)
        if is_sent and self._is_interrupted:
            log.info("tracing_resumed")
        if not is_sent and not self._is_interrupted:
            log.warning("tracing_interrupted", dropped=count)
        self._is_interrupted = not is_sent


def open_tracer(endpoint: str | None) -> Tracer:
    """Return what sends spans to this OTLP endpoint, or nowhere without one. Nothing is connected or imported yet.

    Raises `ConfigError` where the endpoint is no HTTP address, or what sends there is not installed.
    """
    if endpoint is None:
        return NullTracer()
    if not endpoint.startswith(("http://", "https://")):
        raise ConfigError(f"{VARIABLE}: traces go to an address that begins with http:// or https://")
    try:
        version(EXPORTER)
    except PackageNotFoundError:
        extra = "`pip install 'rca-worker[otel]'`, or unset it"
        raise ConfigError(f"{VARIABLE} is set and what sends traces is not installed: {extra}") from None
    return QueuedTracer(lambda: _open_sender(endpoint))


def _open_sender(endpoint: str) -> Sender:
    from worker.ops.otlp import open_sender  # noqa: PLC0415  # an extra, and heavy: only where something is sent

    return open_sender(endpoint)
