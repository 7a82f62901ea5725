"""What to ask next: everything broad at once, then the suspects, then no more."""

import re
from collections.abc import Iterator

from worker.domain.conversation import JsonObject
from worker.investigation.offline.alarms import is_built_in
from worker.investigation.offline.observations import Observations
from worker.investigation.offline.ranking import Ranking
from worker.investigation.offline.reading import Record

Call = tuple[str, JsonObject]

_BROAD: tuple[Call, ...] = (
    ("rank_metric_changes", {"limit": 40}),
    ("rank_edge_latency", {"limit": 40}),
    ("rank_log_patterns", {"limit": 25}),
    ("list_changes", {}),
    ("show_topology", {}),
)
EXPECTED_TOOLS = tuple(name for name, _ in _BROAD)
KINDS = {
    "rank_metric_changes": "metrics",
    "query_metrics": "metrics",
    "rank_edge_latency": "traces",
    "find_traces": "traces",
    "rank_log_patterns": "logs",
    "search_logs": "logs",
    "list_changes": "changes",
    "show_topology": "topology",
}
"""The kind of source a tool asks."""
_MEASURE = "rank_metric_changes"
_SUSPECTS = 3
_MOST_PLACES = 12
_MOST_DRILLS = 2
"""After so many rounds beyond the first a closer look changes little."""
_MAX_ARTIFACTS = 2
_PIECES, _PIECE_LINES = 4, 25
"""A piece is about as much as is shown of one output."""
_ARTIFACT_HINT = re.compile(r'read_artifact with id "(?P<id>[^"]+)"')


def next_calls(record: Record, seen: Observations, ranking: Ranking) -> list[Call]:
    """Return the calls of the next turn; none means that it is time for the report."""
    wanted = list(_opening(record)) if not record.results else list(_drilling(record, seen, ranking))
    return [(name, arguments) for name, arguments in wanted if not record.was_asked(name, arguments)]


def _opening(record: Record) -> Iterator[Call]:
    yield from ((name, arguments) for name, arguments in _BROAD if name in record.offered)
    if _MEASURE in record.offered:
        yield from (_measure(entity) for entity in record.focus)
    for name, schema in record.offered.items():
        if not is_built_in(name) and not schema.get("required"):
            yield name, {}


def _drilling(record: Record, seen: Observations, ranking: Ranking) -> Iterator[Call]:
    """Ask for all that was measured at the suspects and at what they call, and for words and requests there."""
    rounds = len({r.evidence_id.partition(".")[0] for r in record.results})
    if rounds > _MOST_DRILLS:
        return
    suspects = _suspects(ranking)
    calls = [_measure(entity) for entity in find_places(record, seen, ranking)]
    calls += _earlier_reference(record) if not ranking.symptoms else []
    calls += [("query_metrics", {"entity": e}) for e in suspects[:1]]
    calls += [("search_logs", {"entity": e, "level": "error", "limit": 20}) for e in suspects[:2]]
    calls += [("find_traces", {"entity": e, "limit": 5}) for e in suspects[:1]]
    calls += _hidden_parts(record)
    yield from ((name, arguments) for name, arguments in calls if name in record.offered)


def _suspects(ranking: Ranking) -> list[str]:
    return [h.entity for h in ranking.hypotheses[:_SUSPECTS]]


def _measure(entity: str) -> Call:
    return _MEASURE, {"entity": entity, "limit": 25}


def find_places(record: Record, seen: Observations, ranking: Ranking) -> list[str]:
    """Return where to measure closer: before an entity is blamed, everything it calls must have been looked at."""
    alerting = record.incident.event.service
    blamed = [*([alerting] if alerting else []), *_suspects(ranking)]
    callees = [c for entity in blamed for a, c in sorted(seen.edges) if a == entity]
    return list(dict.fromkeys([*blamed, *callees]))[:_MOST_PLACES]


def _earlier_reference(record: Record) -> list[Call]:
    """Compare once more with the first half of the time before: a late alert has spoiled its own reference."""
    incident = record.incident
    if incident.started_at <= incident.window.start:
        return []
    half = incident.window.start + (incident.started_at - incident.window.start) / 2
    period = {"reference_start": incident.window.start.isoformat(), "reference_end": half.isoformat()}
    return [("rank_metric_changes", {**period, "limit": 40})]


def _hidden_parts(record: Record) -> list[Call]:
    """Ask for the middle of recorded outputs that were too long to be shown whole."""
    shortened = [r for r in record.results if not r.is_error and not is_built_in(r.tool) and r.content is None]
    found = [hint for r in shortened if (hint := _ARTIFACT_HINT.search(r.text))]
    pieces = [(1 + i * _PIECE_LINES, (i + 1) * _PIECE_LINES) for i in range(_PIECES)]
    places = [(hint["id"], first, last) for hint in found[:_MAX_ARTIFACTS] for first, last in pieces]
    return [("read_artifact", {"id": i, "start_line": first, "end_line": last}) for i, first, last in places]
