"""The results behind the findings, opened again: a lead that sees the rows ranks them as if it had asked by itself."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain, zip_longest

from worker.domain.conversation import JsonObject
from worker.domain.orchestration import Strength
from worker.domain.report import Category, Citation
from worker.investigation.offline.plan import Call
from worker.investigation.offline.reading import Record, Result
from worker.investigation.offline.told import Told

_READER = "read_artifact"
_MOST_OPENED = 24
_MOST_PIECES = 4
_PIECE_CHARS = 7000
"""So much of a result is shown whole when it is read in lines."""
_LINE_COUNT = re.compile(r'"lines":(?P<count>\d+)')
_SHAPES: tuple[tuple[str, frozenset[str]], ...] = (
    ("rank_metric_changes", frozenset({"entity", "metric", "score"})),
    ("rank_edge_latency", frozenset({"callee", "operation", "caller", "calls"})),
    ("rank_log_patterns", frozenset({"pattern", "entity", "level"})),
    ("list_changes", frozenset({"id", "ts", "kind"})),
    ("show_topology", frozenset({"entity", "caller_count"})),
)
"""A result that is opened does not say of which tool it is; the keys of its rows do."""
_OWN = '{"query":'
"""How every answer of a built-in tool begins; it repeats what was asked."""
_ASKED_ENTITY = re.compile(r'\{"query":\{[^{}]*?"entity":"(?P<entity>[^"]+)"')
_FOREIGN, _OUTSIDE = "foreign tool", "external provider"


def openings(record: Record, told: Iterable[Told]) -> list[Call]:
    """Return the results to open, of each finding the first cited first; then what was not shown of long ones."""
    if _READER not in record.offered:
        return []
    cited = [dict.fromkeys(c.evidence_id for c in t.citations) for t in _strongest_first(told)]
    ids = list(dict.fromkeys(i for i in chain.from_iterable(zip_longest(*cited)) if i))[:_MOST_OPENED]
    opened = _opened(record)
    unread: list[Call] = [(_READER, {"id": i}) for i in ids if i not in opened]
    return unread or [(_READER, {"id": i, **piece}) for i, o in opened.items() if (piece := o.next_piece())]


def _strongest_first(told: Iterable[Told]) -> list[Told]:
    order = list(Strength)
    return sorted(told, key=lambda t: order.index(t.finding.strength) if t.finding else len(order))


@dataclass(frozen=True)
class _Opened:
    """The lines of one result that were shown, by number, of `count`, in so many pieces."""

    lines: dict[int, str]
    count: int
    pieces: int

    def text(self) -> str:
        """Return the result as it was, with a mark where lines are missing."""
        if not self.lines:
            return ""
        shown = [self.lines.get(no) for no in range(1, max(self.lines) + 1)]
        mark = f"\n[… {self.count - len(self.lines)} of {self.count} lines left out …]\n"
        return "".join(mark if line is None else line for line in shown)

    def next_piece(self) -> JsonObject | None:
        """Return where to go on reading; None where all is read, or enough."""
        gap = next((no for no in range(1, self.count + 1) if no not in self.lines), None)
        if gap is None or self.pieces >= _MOST_PIECES:
            return None
        line_chars = 1 + sum(map(len, self.lines.values())) // max(len(self.lines), 1)
        return {"start_line": gap, "end_line": min(gap + _PIECE_CHARS // line_chars, self.count)}


def _opened(record: Record) -> dict[str, _Opened]:
    """Return what was read of each result; one that could not be read has no lines and none to come."""
    found: dict[str, _Opened] = {}
    for result in record.results:
        if result.tool != _READER:
            continue
        known = found.setdefault(str(result.arguments.get("id")), _Opened({}, 0, 0))
        lines = {int(r.values["line"]): str(r.values["text"]) for r in result.rows("line", "text")}
        counted = _LINE_COUNT.search(result.text)
        count = int(counted["count"]) if counted and not result.is_error else known.count
        found[str(result.arguments.get("id"))] = _Opened(known.lines | lines, count, known.pieces + 1)
    return found


def as_if_asked(record: Record, told: Iterable[Told]) -> Record:
    """Return the record with nothing but what was opened, and the rows that findings quote."""
    told = tuple(told)
    suspects = [s for t in told if t.finding for s in t.finding.suspects]
    outside = {c.evidence_id for s in suspects if s.category is Category.EXTERNAL_PROVIDER for c in s.evidence}
    opened = [_result(i, o.text(), is_outside=i in outside) for i, o in _opened(record).items()]
    quoted = [_quoted(c) for t in told for c in t.citations]
    return replace(record, results=tuple(r for r in (*opened, *quoted) if r), offered={})


def _result(evidence_id: str, text: str, *, is_outside: bool) -> Result | None:
    """Return the result with its tool, as far as its rows tell it; None where nothing in it can be ranked."""
    bare = Result(evidence_id, _OUTSIDE if is_outside else _FOREIGN, {}, text, is_error=False)
    if not text.startswith(_OWN):
        return None if bare.content is None else bare
    asked = _ASKED_ENTITY.match(text)
    tool = _tool_of(bare)
    return replace(bare, tool=tool, arguments=asked.groupdict() if asked else {}) if tool else None


def _quoted(citation: Citation) -> Result | None:
    """Return a quote that is a whole row as a result of its own."""
    bare = Result(citation.evidence_id, "", {}, f'{{"rows":[{citation.quote}]}}', is_error=False)
    tool = _tool_of(bare)
    return replace(bare, tool=tool) if tool else None


def _tool_of(result: Result) -> str | None:
    return next((tool for tool, keys in _SHAPES if result.rows(*keys)), None)
