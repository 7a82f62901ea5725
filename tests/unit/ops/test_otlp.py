"""Our spans as OpenTelemetry's: ids that any process can work out, and what a receiver gets."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from tests.receiver import Receiver, Say
from worker.ops.otlp import Sender, open_sender, span_id, trace_id
from worker.ops.tracing import Span

BEGAN = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
ROOT = Span(
    "inv_2", "inv_2", None, "invoke_workflow investigation",
    started_at=BEGAN, ended_at=BEGAN + timedelta(seconds=9),
    attributes={"rca.attempt_no": 2, "rca.verdict": None}, follows="inv_1",
)  # fmt: skip
STEP = replace(ROOT, key="token", parent="agt_1", name="turn", follows=None, error="provider_auth")
CALL = replace(STEP, key="token/model", parent="token", name="chat m", error=None, is_client=True)


def made(*spans: Span) -> tuple[ReadableSpan, ...]:
    exporter = InMemorySpanExporter()
    assert Sender(exporter)(spans)
    return exporter.get_finished_spans()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


def test_two_processes_give_the_same_span_the_same_ids() -> None:
    first, second = made(STEP)[0].context, made(ROOT, STEP)[1].context

    assert (first.trace_id, first.span_id) == (second.trace_id, second.span_id)
    assert (first.trace_id, first.span_id) == (trace_id("inv_2"), span_id("token"))


def test_ids_of_a_release_are_those_of_the_next() -> None:
    assert f"{trace_id('inv_2'):032x}/{span_id('token'):016x}" == "8d1eb83c8fd1d0473a8845c71df2540b/3f01c29a866b9b74"


def test_a_part_names_its_whole_in_the_same_trace_whatever_else_is_traced_in_the_thread() -> None:
    root, step, call = made(ROOT, STEP, CALL)

    assert root.parent is None
    assert step.parent.span_id == span_id("agt_1")
    assert call.parent.span_id == step.context.span_id
    assert {s.context.trace_id for s in (root, step, call)} == {step.parent.trace_id}


def test_a_root_is_linked_to_the_root_of_what_it_goes_on_from() -> None:
    root, step = made(ROOT, STEP)

    (link,) = root.links
    assert (link.context.trace_id, link.context.span_id) == (trace_id("inv_1"), span_id("inv_1"))
    assert step.links == ()


def test_times_and_attributes_are_ours_and_what_is_unknown_is_left_out() -> None:
    (root,) = made(ROOT)

    assert root.start_time == 1_772_366_400_123_456_000
    assert root.end_time - root.start_time == 9_000_000_000
    assert dict(root.attributes) == {"rca.attempt_no": 2}
    assert root.resource.attributes["service.name"] == "rca-worker"


def test_an_error_is_a_class_and_a_status_without_words() -> None:
    step, call = made(STEP, CALL)

    assert (step.status.status_code, step.status.description) == (StatusCode.ERROR, None)
    assert step.attributes["error.type"] == "provider_auth"
    assert call.status.status_code is StatusCode.UNSET
    assert (step.kind, call.kind) == (SpanKind.INTERNAL, SpanKind.CLIENT)


def test_the_operators_name_of_the_service_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "rca-of-the-shop")

    assert made(ROOT)[0].resource.attributes["service.name"] == "rca-of-the-shop"


def test_a_disabled_sdk_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")

    assert made(ROOT) == ()


def test_a_receiver_gets_them_by_otlp_with_the_operators_headers(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=shop")

    is_sent = open_sender(receiver.url.removesuffix("/hook"))([ROOT, CALL])

    assert is_sent
    (post,) = receiver.posts
    assert (post.path, post.headers["x-tenant"]) == ("/v1/traces", "shop")
    (resource,) = ExportTraceServiceRequest.FromString(post.body).resource_spans
    assert [s.name for s in resource.scope_spans[0].spans] == ["invoke_workflow investigation", "chat m"]


def test_a_receiver_that_refuses_them_has_not_got_them(receiver: Receiver) -> None:
    receiver.says = [Say(status=400)]

    assert not open_sender(receiver.url.removesuffix("/hook"))([ROOT])
