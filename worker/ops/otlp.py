"""Spans as OpenTelemetry has them, sent by OTLP over HTTP. Needs the extra `otel`.

The exporter reads the standard variables besides the endpoint itself: headers, certificates, compression, timeout.
"""

import logging
import os
import platform
from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b
from importlib.metadata import version

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, TraceFlags, set_span_in_context
from opentelemetry.trace.status import Status, StatusCode

from worker.ops.otlp_metrics import Meter
from worker.ops.tracing import Span

SERVICE = "rca-worker"
SCOPE = "worker.ops.tracing"


def open_sender(endpoint: str) -> "Sender":
    """Return what sends to the endpoint, whose path is that of all signals: `/v1/traces` and the like is added."""
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # we say it once, it says it for each attempt
    root = endpoint.rstrip("/")
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=f"{root}/v1/metrics"))
    meter = Meter(reader, _resource(), service=SERVICE, scope=SCOPE)
    return Sender(OTLPSpanExporter(endpoint=f"{root}/v1/traces"), meter)


def trace_id(investigation_id: str) -> int:
    return int.from_bytes(blake2b(investigation_id.encode(), digest_size=16).digest())


def span_id(key: str) -> int:
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest())


class Sender:
    """Makes OpenTelemetry's spans of ours and exports them, and measures by them. For one thread."""

    def __init__(self, exporter: SpanExporter, meter: Meter | None = None) -> None:
        self._exporter, self._meter = exporter, meter
        self._ids = _GivenIds()
        provider = TracerProvider(
            sampler=ALWAYS_ON, resource=_resource(), id_generator=self._ids, shutdown_on_exit=False
        )
        self._tracer = provider.get_tracer(SCOPE, version(SERVICE))

    def __call__(self, spans: Sequence[Span]) -> bool:
        if self._meter:
            for span in spans:
                self._meter.record(span)
        made = [found for span in spans if (found := self._make(span))]
        return self._exporter.export(made) is SpanExportResult.SUCCESS

    def flush(self) -> None:
        """Send what was measured, for a process that ends."""
        if self._meter:
            self._meter.flush()

    def _make(self, span: Span) -> ReadableSpan | None:
        """Return None where OTEL_SDK_DISABLED makes OpenTelemetry record nothing."""
        self._ids.span = span
        made = self._tracer.start_span(
            span.name,
            context=_parent_of(span),
            kind=SpanKind.CLIENT if span.is_client else SpanKind.INTERNAL,
            attributes={name: value for name, value in span.attributes.items() if value is not None},
            links=[Link(_context(span.follows, span.follows))] if span.follows else [],
            start_time=_nanoseconds(span.started_at),
        )
        if span.error is not None:
            made.set_attribute("error.type", span.error)
            made.set_status(Status(StatusCode.ERROR))
        made.end(_nanoseconds(span.ended_at))
        return made if isinstance(made, ReadableSpan) else None


class _GivenIds(IdGenerator):
    """Gives the ids of the span that is being made, instead of random ones."""

    span: Span

    def generate_trace_id(self) -> int:
        return trace_id(self.span.investigation_id)

    def generate_span_id(self) -> int:
        return span_id(self.span.key)


def _parent_of(span: Span) -> Context:
    """Return a context of its own even for a root: whatever else is traced in this thread is no parent of ours."""
    if span.parent is None:
        return Context()
    return set_span_in_context(NonRecordingSpan(_context(span.investigation_id, span.parent)), Context())


def _context(investigation_id: str, key: str) -> SpanContext:
    sampled = TraceFlags(TraceFlags.SAMPLED)
    return SpanContext(trace_id(investigation_id), span_id(key), is_remote=True, trace_flags=sampled)


def _nanoseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000) * 1000


def _resource() -> Resource:
    """Say which process this is; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES have the last word."""
    own = {
        "service.name": SERVICE,
        "service.version": version(SERVICE),
        "service.instance.id": f"{platform.node()}-{os.getpid()}",
    }
    return Resource.create(own).merge(OTELResourceDetector().detect())
