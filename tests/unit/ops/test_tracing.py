"""Spans wait in a bounded queue for a thread that sends them, and no failure of it reaches whoever emits them."""

import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError

import pytest
from structlog.testing import capture_logs

from worker.errors import ConfigError
from worker.ops import metrics, tracing
from worker.ops.tracing import NullTracer, QueuedTracer, Span, open_tracer

BEGAN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def span(key: str = "agt_1") -> Span:
    ended_at = BEGAN + timedelta(seconds=1)
    return Span("inv_1", key, "inv_1", "turn", started_at=BEGAN, ended_at=ended_at, attributes={})


def dropped(reason: str) -> float:
    return metrics.REGISTRY.get_sample_value("rca_spans_dropped_total", {"reason": reason}) or 0.0


class Receiver:
    """Takes spans while it is `up`, and only while its gate is open."""

    def __init__(self) -> None:
        self.up = True
        self.gate = threading.Event()
        self.gate.set()
        self.asked = threading.Event()
        self.got: list[str] = []
        self.flushed = 0

    def __call__(self, spans: Sequence[Span]) -> bool:
        self.asked.set()
        self.gate.wait(10)
        self.got += [one.key for one in spans] if self.up else []
        return self.up

    def flush(self) -> None:
        self.flushed += 1


def test_spans_are_sent_in_their_order_and_at_the_end_what_else_is_known() -> None:
    receiver = Receiver()
    tracer = QueuedTracer(lambda: receiver)

    for i in range(1200):
        tracer.emit(span(f"span {i}"))
    tracer.flush(10)

    assert receiver.got == [f"span {i}" for i in range(1200)]
    assert receiver.flushed == 1


def test_nothing_is_opened_before_the_first_span() -> None:
    opened: list[str] = []

    def open_sender() -> Receiver:
        opened.append("once")
        return Receiver()

    tracer = QueuedTracer(open_sender)
    tracer.flush(1)
    before = list(opened)
    tracer.emit(span())
    tracer.emit(span())
    tracer.flush(10)

    assert (before, opened) == ([], ["once"])


def test_what_the_queue_cannot_hold_is_dropped_and_counted_at_once() -> None:
    receiver, before = Receiver(), dropped("queue_full")
    receiver.gate.clear()
    tracer = QueuedTracer(lambda: receiver, capacity=3)
    tracer.emit(span("in flight"))
    tracer.flush(0)
    assert receiver.asked.wait(10)

    for i in range(5):
        tracer.emit(span(f"span {i}"))
    receiver.gate.set()
    tracer.flush(10)

    assert dropped("queue_full") - before == 2
    assert receiver.got == ["in flight", "span 0", "span 1", "span 2"]


def test_what_does_not_arrive_is_counted_and_said_once_until_it_does_again() -> None:
    receiver, before = Receiver(), dropped("not_sent")
    tracer = QueuedTracer(lambda: receiver)

    with capture_logs() as lines:
        for up in (False, False, True, True):
            receiver.up = up
            tracer.emit(span(f"up {up}"))
            tracer.flush(10)

    assert dropped("not_sent") - before == 2
    assert receiver.got == ["up True", "up True"]
    assert [line["event"] for line in lines] == ["tracing_interrupted", "tracing_resumed"]


def test_a_flush_waits_no_longer_than_it_may() -> None:
    receiver = Receiver()
    receiver.gate.clear()
    tracer = QueuedTracer(lambda: receiver)
    tracer.emit(span())

    tracer.flush(0.05)
    left = list(receiver.got)
    receiver.gate.set()
    tracer.flush(10)

    assert (left, receiver.got) == ([], ["agt_1"])


def test_without_an_endpoint_nothing_is_traced() -> None:
    assert isinstance(open_tracer(None), NullTracer)


def test_an_endpoint_opens_nothing_until_there_is_a_span(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "worker.ops.otlp", None)

    assert isinstance(open_tracer("http://127.0.0.1:4318"), QueuedTracer)


@pytest.mark.parametrize("endpoint", ["collector:4318", "grpc://me:secret@collector"])
def test_an_endpoint_that_is_no_http_address_is_refused_without_showing_it(endpoint: str) -> None:
    with pytest.raises(ConfigError, match=r"OTEL_EXPORTER_OTLP_ENDPOINT.*http://") as caught:
        open_tracer(endpoint)

    assert endpoint not in str(caught.value)


def test_an_endpoint_without_the_extra_is_refused_and_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(distribution: str) -> str:
        raise PackageNotFoundError(distribution)

    monkeypatch.setattr(tracing, "version", missing)

    with pytest.raises(ConfigError, match=r"pip install 'rca-worker\[otel\]'"):
        open_tracer("http://127.0.0.1:4318")
