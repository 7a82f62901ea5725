"""A generated case on disk, in the format recorded incidents have."""

import csv
import json
import tempfile
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path

import duckdb

from worker.evaluation.generator_changes import Change
from worker.evaluation.generator_logs import Line
from worker.evaluation.generator_shop import Shop
from worker.evaluation.generator_signals import Sample
from worker.evaluation.generator_traces import Span

_COLUMNS = {
    "metrics": {"ts": "TIMESTAMPTZ", "entity": "VARCHAR", "metric": "VARCHAR", "value": "DOUBLE"},
    "logs": {
        "ts": "TIMESTAMPTZ",
        "entity": "VARCHAR",
        "level": "VARCHAR",
        "message": "VARCHAR",
        "trace_id": "VARCHAR",
        "span_id": "VARCHAR",
    },
    "traces": {
        "trace_id": "VARCHAR",
        "span_id": "VARCHAR",
        "parent_span_id": "VARCHAR",
        "entity": "VARCHAR",
        "operation": "VARCHAR",
        "start_ts": "TIMESTAMPTZ",
        "duration_us": "BIGINT",
        "status": "VARCHAR",
    },
}

Row = tuple[object, ...]


class CaseWriter:
    """Writes the files of one case; seconds of the simulation become times after `origin`."""

    def __init__(self, folder: Path, origin: datetime) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._origin = folder, origin

    def time(self, at_s: float) -> str:
        moment = self._origin + timedelta(seconds=at_s)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def write_json(self, name: str, content: object) -> None:
        (self._folder / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    def write_changes(self, changes: Iterable[Change]) -> None:
        rows = [asdict(c) | {"ts": self.time(c.at_s)} for c in changes]
        keys = ("id", "ts", "entity", "kind", "author", "title", "diff")
        self.write_json("changes.json", [{k: row[k] for k in keys} for row in rows])

    def write_topology(self, shop: Shop) -> None:
        edges = [[e.caller, e.callee] for e in shop.edges]
        self.write_json("topology.json", {"nodes": list(shop.nodes), "edges": edges})

    def write_metrics(self, samples: Iterable[Sample]) -> None:
        self._write_table("metrics", ((self.time(s.at_s), s.entity, s.metric, f"{s.value:.5g}") for s in samples))

    def write_logs(self, lines: Iterable[Line]) -> None:
        self._write_table("logs", ((self.time(x.at_s), x.entity, x.level, x.message, None, None) for x in lines))

    def write_traces(self, spans: Iterable[Span]) -> None:
        self._write_table("traces", (self._span_row(s) for s in spans))

    def _span_row(self, span: Span) -> Row:
        return (
            span.trace_id, span.span_id, span.parent_span_id, span.entity,
            span.operation, self.time(span.start_s), span.duration_us, span.status,
        )  # fmt: skip

    def _write_table(self, name: str, rows: Iterable[Row]) -> None:
        """Go through a CSV file: DuckDB reads it at once, where single inserts take seconds."""
        with tempfile.TemporaryDirectory() as place, duckdb.cursor() as connection:
            raw = Path(place) / f"{name}.csv"
            with raw.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows(rows)
            columns = ", ".join(f"{_quoted(c)}: {_quoted(kind)}" for c, kind in _COLUMNS[name].items())
            source = f"read_csv({_quoted(raw)}, header = false, columns = {{{columns}}})"
            connection.execute("SET TimeZone = 'UTC'")
            target = _quoted(self._folder / f"{name}.parquet")
            connection.execute(f"COPY (FROM {source}) TO {target} (FORMAT parquet, COMPRESSION zstd)")


def _quoted(value: object) -> str:
    """Write a text of ours as an SQL literal: COPY takes no parameters for its paths."""
    return "'" + str(value).replace("'", "''") + "'"
