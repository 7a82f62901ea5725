"""The generated shop's traces: sampled requests, each call of them one span or two."""

import math
from dataclasses import dataclass
from random import Random

from worker.evaluation.generator_flow import Moment, NodeState
from worker.evaluation.generator_shop import Edge, Shop

_ROUTES = ("GET /home", "GET /list", "POST /order")


@dataclass(frozen=True)
class Span:
    trace_id: str
    span_id: str
    parent_span_id: str | None
    entity: str
    operation: str
    start_s: float
    duration_us: int
    status: str


def sample_traces(shop: Shop, moments: list[Moment], *, per_moment: int, rng: Random) -> list[Span]:
    """Return the spans of a few requests of every moment."""
    spans: list[Span] = []
    step_s = moments[1].at_s - moments[0].at_s
    for moment in moments:
        for _ in range(per_moment):
            request = _Request(shop, moment, rng)
            request.serve(shop.entry, None, at_s=moment.at_s + rng.uniform(0, step_s), operation=rng.choice(_ROUTES))
            spans += request.spans
    return spans


class _Request:
    """One user's request on its way through the shop."""

    def __init__(self, shop: Shop, moment: Moment, rng: Random) -> None:
        self.shop, self.states, self.rng = shop, moment.states, rng
        self.trace_id = f"{rng.getrandbits(128):032x}"
        self.spans: list[Span] = []

    def serve(self, name: str, parent: str | None, *, at_s: float, operation: str) -> tuple[float, bool]:
        """Serve one call; return its duration in milliseconds and whether it failed."""
        state, span_id = self.states[name], self._new_span_id()
        has_failed = self.rng.random() < state.own_error_share
        elapsed_ms = state.self_ms * math.exp(self.rng.gauss(0, 0.35))
        for edge in self.shop.calls_of(name):
            for _ in range(self._draw_calls(edge.calls)):
                waited_ms, call_failed = self._call(edge, span_id, at_s=at_s + elapsed_ms / 1000)
                elapsed_ms += waited_ms
                has_failed |= call_failed and self.rng.random() >= edge.absorbed
        self._add(span_id, parent, name=(name, operation), seen=(at_s, elapsed_ms, has_failed))
        return elapsed_ms, has_failed

    def _call(self, edge: Edge, parent: str, *, at_s: float) -> tuple[float, bool]:
        waited_ms, has_failed = self._call_once(edge, parent, at_s=at_s)
        if has_failed and edge.retries:
            again_ms, has_failed = self._call_once(edge, parent, at_s=at_s + waited_ms / 1000)
            waited_ms += again_ms
        return waited_ms, has_failed

    def _call_once(self, edge: Edge, parent: str, *, at_s: float) -> tuple[float, bool]:
        way_ms = self._way_ms(edge, self.states[edge.callee])
        client_id = self._new_span_id() if self.shop.has_client_spans else parent
        operation = f"{edge.callee}.handle"
        served_ms, has_failed = self.serve(edge.callee, client_id, at_s=at_s + 0.3 * way_ms / 1000, operation=operation)
        if self.shop.has_client_spans:
            calling = (edge.caller, f"call {operation}")
            self._add(client_id, parent, name=calling, seen=(at_s, served_ms + way_ms, has_failed))
        return served_ms + way_ms, has_failed

    def _way_ms(self, edge: Edge, callee: NodeState) -> float:
        delayed = callee.effect.egress_ms + self.states[edge.caller].effect.egress_ms
        return (edge.net_ms + delayed) * math.exp(self.rng.gauss(0, 0.2))

    def _draw_calls(self, mean: float) -> int:
        whole = int(mean)
        return whole + (self.rng.random() < mean - whole)

    def _new_span_id(self) -> str:
        return f"{self.rng.getrandbits(64):016x}"

    def _add(self, span_id: str, parent: str | None, *, name: tuple[str, str], seen: tuple[float, float, bool]) -> None:
        (entity, operation), (at_s, elapsed_ms, has_failed) = name, seen
        status = "error" if has_failed else "ok"
        self.spans.append(
            Span(self.trace_id, span_id, parent, entity, operation, at_s, round(elapsed_ms * 1000), status)
        )
