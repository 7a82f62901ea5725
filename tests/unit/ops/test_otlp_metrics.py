"""A model call's span makes the metrics that OpenTelemetry's conventions name, and no word of anybody."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource

from tests.receiver import Receiver
from worker.ops.otlp import SCOPE, SERVICE, open_sender
from worker.ops.otlp_metrics import DURATION_S, TOKENS, Meter
from worker.ops.tracing import Span

BEGAN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CALL = Span(
    "inv_1", "token/model", "token", "chat m",
    started_at=BEGAN, ended_at=BEGAN + timedelta(seconds=1.5), is_client=True,
    attributes={
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-haiku-4-5",
        "gen_ai.usage.input_tokens": 900,
        "gen_ai.usage.output_tokens": 50,
        "gen_ai.agent.id": "agt_1",
    },
)  # fmt: skip
NAMED = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "anthropic",
    "gen_ai.request.model": "claude-haiku-4-5",
}


def measured(*spans: Span) -> dict[str, list[Any]]:
    """Return the points of each metric after these spans."""
    reader = InMemoryMetricReader()
    meter = Meter(reader, Resource({}), service=SERVICE, scope=SCOPE)
    for span in spans:
        meter.record(span)
    data = reader.get_metrics_data()
    found = [metric for r in (data.resource_metrics if data else []) for s in r.scope_metrics for metric in s.metrics]
    return {f"{metric.name} {metric.unit}": list(metric.data.data_points) for metric in found}


def test_a_call_is_measured_by_provider_and_model() -> None:
    points = measured(CALL, CALL)

    (duration,) = points["gen_ai.client.operation.duration s"]
    assert (duration.count, duration.sum, dict(duration.attributes)) == (2, 3.0, NAMED)
    assert tuple(duration.explicit_bounds) == DURATION_S
    tokens = {point.attributes["gen_ai.token.type"]: point for point in points["gen_ai.client.token.usage {token}"]}
    assert {kind: point.sum for kind, point in tokens.items()} == {"input": 1800, "output": 100}
    assert dict(tokens["input"].attributes) == NAMED | {"gen_ai.token.type": "input"}
    assert tuple(tokens["input"].explicit_bounds) == TOKENS


def test_tokens_that_nobody_said_are_not_measured_and_a_failure_is_told() -> None:
    unsaid = {"gen_ai.usage.input_tokens": None, "gen_ai.usage.output_tokens": None}
    points = measured(replace(CALL, attributes={**CALL.attributes, **unsaid}, error="provider_unavailable"))

    (duration,) = points["gen_ai.client.operation.duration s"]
    assert dict(duration.attributes) == NAMED | {"error.type": "provider_unavailable"}
    assert "gen_ai.client.token.usage {token}" not in points


@pytest.mark.parametrize("other", [{"is_client": False}, {"attributes": {"gen_ai.operation.name": "execute_tool"}}])
def test_other_spans_are_not_measured(other: dict[str, Any]) -> None:
    assert measured(replace(CALL, **other)) == {}


def test_metrics_go_to_the_endpoint_of_the_traces() -> None:
    with Receiver() as receiver:
        sender = open_sender(receiver.url.removesuffix("/hook") + "/")

        assert sender([CALL])
        sender.flush()

        posts = {post.path: post.body for post in receiver.posts}
    assert set(posts) == {"/v1/traces", "/v1/metrics"}
    sent = ExportMetricsServiceRequest.FromString(posts["/v1/metrics"])
    names = {metric.name for r in sent.resource_metrics for s in r.scope_metrics for metric in s.metrics}
    assert names == {"gen_ai.client.operation.duration", "gen_ai.client.token.usage"}
    assert b"agt_1" not in posts["/v1/metrics"]
