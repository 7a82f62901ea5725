"""The model calls as OpenTelemetry's metrics of generative AI clients, made of their spans. Needs the extra `otel`.

Names, units and buckets are those of the semantic conventions: `gen_ai.client.operation.duration` and
`gen_ai.client.token.usage`. They are sent every OTEL_METRIC_EXPORT_INTERVAL, a minute as a rule.
"""

from collections.abc import Iterator
from importlib.metadata import version

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader
from opentelemetry.sdk.resources import Resource

from worker.ops.tracing import Span, Value

DURATION_S = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
TOKENS = tuple(4**power for power in range(14))
FLUSH_MS = 2000
_SAME = ("gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "gen_ai.response.model")
_KINDS = ("input", "output")


class Meter:
    """Records what a span of a model call tells; others tell nothing."""

    def __init__(self, reader: MetricReader, resource: Resource, *, service: str, scope: str) -> None:
        self._provider = MeterProvider([reader], resource, shutdown_on_exit=False)
        meter = self._provider.get_meter(scope, version(service))
        self._duration = meter.create_histogram(
            "gen_ai.client.operation.duration",
            "s",
            "GenAI operation duration.",
            explicit_bucket_boundaries_advisory=DURATION_S,
        )
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            "{token}",
            "Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=TOKENS,
        )

    def record(self, span: Span) -> None:
        if not span.is_client or span.attributes.get("gen_ai.operation.name") != "chat":
            return
        same = dict(_known(span))
        ended = same | {"error.type": span.error} if span.error else same
        self._duration.record((span.ended_at - span.started_at).total_seconds(), ended)
        for kind in _KINDS:
            count = span.attributes.get(f"gen_ai.usage.{kind}_tokens")
            if isinstance(count, int):
                self._tokens.record(count, same | {"gen_ai.token.type": kind})

    def flush(self) -> None:
        """Send what is known, for a process that ends."""
        self._provider.force_flush(FLUSH_MS)


def _known(span: Span) -> Iterator[tuple[str, Value]]:
    for name in _SAME:
        value = span.attributes.get(name)
        if value is not None:
            yield name, value
