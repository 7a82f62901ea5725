"""A worker sends its spans before it leaves, and works as well where nobody takes them."""

import time
from collections import Counter
from collections.abc import Callable

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.acceptance.system import System, reports, runs
from tests.receiver import Receiver
from tests.servers import free_port
from worker.ops.otlp import trace_id

Install = Callable[..., System]
MARKER = "what a trace must not say"


def names_of(receiver: Receiver, investigation: str) -> Counter[str]:
    """Count the spans of an investigation's trace by their names."""
    requests = [ExportTraceServiceRequest.FromString(p.body) for p in receiver.posts if p.path == "/v1/traces"]
    spans = [s for r in requests for each in r.resource_spans for scope in each.scope_spans for s in scope.spans]
    wanted = trace_id(investigation).to_bytes(16)
    return Counter(s.name for s in spans if s.trace_id == wanted)


def test_a_worker_told_to_end_has_sent_the_whole_trace(install: Install) -> None:
    with Receiver() as receiver:
        system = install(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url.removesuffix("/hook"))
        system.provider.play(MARKER, [runs("uptime"), reports()])
        worker = system.start_worker()
        investigation = system.open(MARKER)
        system.wait_until_completed(investigation)

        exit_code = worker.terminate(within_s=10)

    assert exit_code == 0
    assert names_of(receiver, investigation) == {
        "invoke_workflow investigation": 1,
        "invoke_agent single": 1,
        "turn": 2,
        "chat gpt-4.1-mini": 2,
        "act": 1,
        "execute_tool run_command": 1,
        "publish": 1,
    }
    assert any(post.path == "/v1/metrics" and b"gen_ai.client.token.usage" in post.body for post in receiver.posts)
    assert not any(MARKER.encode() in post.body or b"uptime" in post.body for post in receiver.posts)


def test_where_nobody_takes_spans_the_work_goes_on_and_the_worker_leaves_soon(install: Install) -> None:
    system = install(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{free_port()}")
    system.provider.play(MARKER, [runs("uptime"), reports()])
    worker = system.start_worker()

    system.wait_until_completed(system.open(MARKER))
    asked_at = time.monotonic()
    exit_code = worker.terminate(within_s=15)

    assert exit_code == 0
    assert time.monotonic() - asked_at < 6
    assert "Traceback" not in worker.log()
