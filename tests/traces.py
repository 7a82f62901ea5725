"""What a receiver of traces would see: every span that was emitted, as OpenTelemetry exports it."""

from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from worker.ops.otlp import Sender, span_id, trace_id
from worker.ops.tracing import QueuedTracer
from worker.services import Services
from worker.storage.tables import AgentRow, InvestigationRow

FLUSH_S = 10.0


class CollectingTracer(QueuedTracer):
    """Exports into memory."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        super().__init__(lambda: Sender(self._exporter))

    def spans(self) -> tuple[ReadableSpan, ...]:
        self.flush(FLUSH_S)
        return self._exporter.get_finished_spans()


def parent_of(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


def named(spans: Sequence[ReadableSpan], name: str) -> list[ReadableSpan]:
    """Return the spans whose name begins so, in the order in which they began."""
    return sorted((s for s in spans if s.name.startswith(name)), key=lambda s: s.start_time or 0)


def steps_of(spans: Sequence[ReadableSpan], agent_id: str) -> list[str]:
    """Return the names of an agent's steps in the order in which they began."""
    return [s.name for s in named(spans, "") if parent_of(s) == span_id(agent_id)]


def require_whole(services: Services, spans: Sequence[ReadableSpan]) -> None:
    """Fail unless whatever has ended has one span in its place, and no span is without its whole."""
    seen = {s.context.span_id: s for s in spans if s.context}
    assert len(seen) == len(spans), "a span was sent twice"
    assert [s.name for s in spans if parent_of(s) not in {None, *seen}] == []
    with services.database.transaction() as session:
        ended = [a for a in session.query(AgentRow) if a.finished_at]
        over = [i for i in session.query(InvestigationRow) if i.finished_at]
    for agent in ended:
        span = seen[span_id(agent.id)]
        assert span.context.trace_id == trace_id(agent.investigation_id)
        assert parent_of(span) == span_id(agent.parent_id or agent.investigation_id)
        assert span.attributes["rca.status"] == agent.status
    roots = {s.context.trace_id: s for s in spans if s.parent is None}
    assert set(roots) == {trace_id(i.id) for i in over}
    assert len(roots) == len([s for s in spans if s.parent is None])
