"""How calls between entities are ranked."""

import pytest

from worker.tools.analysis.edge_latency import rank_edges, rank_entities
from worker.tools.sources.ports import EdgeComparison, Latency, LatencyComparison


def latency(self_ms: float, *, calls: int = 100, errors: float = 0.0) -> Latency:
    return Latency(calls, self_ms * 2, self_ms * 4, self_ms, self_ms * 2, errors)


def edge(callee: str, incident: Latency | None, reference: Latency | None, operation: str = "op") -> EdgeComparison:
    return EdgeComparison("caller", callee, operation, incident, reference)


def ranked(*edges: EdgeComparison, root_ms: float = 100.0) -> list[tuple[str, float]]:
    return [(c.edge.callee, c.score) for c in rank_edges(LatencyComparison(edges, root_ms))]


def test_the_one_that_grew_most_by_itself_comes_first() -> None:
    names = ranked(edge("same", latency(50), latency(50)), edge("slow", latency(500), latency(50)))

    assert [n for n, _ in names] == ["slow", "same"]
    assert names[1][1] == 0


def test_growth_far_below_a_whole_request_does_not_matter() -> None:
    ((_, small),) = ranked(edge("a", latency(0.1), latency(0.01)), root_ms=1000)
    ((_, large),) = ranked(edge("a", latency(100), latency(10)), root_ms=1000)

    assert small < 0.05 < large


def test_failing_counts_without_slowness() -> None:
    ((_, failing),) = ranked(edge("a", latency(10, errors=1.0), latency(10)))

    assert failing > 2


def test_few_calls_are_believed_less() -> None:
    ((_, few),) = ranked(edge("a", latency(100, calls=1), latency(10)))
    ((_, many),) = ranked(edge("a", latency(100), latency(10)))

    assert few < many / 2


def test_an_edge_without_a_reference_is_scored_by_errors_alone() -> None:
    assert ranked(edge("a", latency(1000), None)) == [("a", 0)]
    assert ranked(edge("a", latency(1000, errors=0.5), None))[0][1] > 1


def test_an_edge_that_is_no_longer_called_scores_nothing() -> None:
    assert ranked(edge("a", None, latency(10))) == [("a", 0)]


def test_an_entity_is_as_bad_as_its_worst_operation() -> None:
    changes = rank_edges(
        LatencyComparison(
            (
                edge("a", latency(10), latency(10), "calm"),
                edge("a", latency(500, calls=10), latency(50), "broken"),
                edge("b", latency(60), latency(50)),
            ),
            100.0,
        )
    )

    first, second = rank_entities(changes)

    assert (first.entity, first.worst_operation, first.calls) == ("a", "broken", 110)
    assert first.self_p50_ms == pytest.approx((10 * 100 + 500 * 10) / 110)
    assert second.entity == "b"
