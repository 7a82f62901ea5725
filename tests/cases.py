"""Writes small recorded cases from plain rows, in the format that captured incidents have."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

METRIC_COLUMNS = "ts TIMESTAMPTZ, entity VARCHAR, metric VARCHAR, value DOUBLE"
LOG_COLUMNS = "ts TIMESTAMPTZ, entity VARCHAR, level VARCHAR, message VARCHAR, trace_id VARCHAR, span_id VARCHAR"
TRACE_COLUMNS = (
    "trace_id VARCHAR, span_id VARCHAR, parent_span_id VARCHAR, entity VARCHAR, operation VARCHAR, "
    "start_ts TIMESTAMPTZ, duration_us BIGINT, status VARCHAR"
)

Row = Sequence[Any]


@dataclass(frozen=True)
class CaseRows:
    """The rows of one case; an empty kind gets no file. Times are ISO texts with a zone."""

    metrics: Iterable[Row] = ()
    logs: Iterable[Row] = ()
    traces: Iterable[Row] = ()
    changes: Sequence[dict[str, Any]] = ()
    topology: dict[str, Any] | None = None
    recordings: dict[str, Any] | None = None
    incident: dict[str, Any] = field(default_factory=lambda: {"title": "something is slow"})


def write_case(folder: Path, rows: CaseRows) -> Path:
    """Write the case and return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = {
        "metrics": (METRIC_COLUMNS, rows.metrics),
        "logs": (LOG_COLUMNS, rows.logs),
        "traces": (TRACE_COLUMNS, rows.traces),
    }
    for name, (columns, values) in tables.items():
        if found := list(values):
            write_parquet(folder / f"{name}.parquet", columns, found)
    documents = {"incident": rows.incident, "changes": list(rows.changes) or None}
    documents |= {"topology": rows.topology, "recordings": rows.recordings}
    for name, document in documents.items():
        if document is not None:
            (folder / f"{name}.json").write_text(json.dumps(document))
    return folder


def write_parquet(path: Path, columns: str, rows: Sequence[Row]) -> None:
    """Write rows as parquet; the values travel as one JSON text, which is quicker than one statement a row."""
    names = [c.strip().split(" ")[0] for c in columns.split(",")]
    text = json.dumps([dict(zip(names, row, strict=True)) for row in rows])
    with duckdb.cursor() as database:  # of the one database in memory: to open another takes longer than all the rest
        database.execute(f"CREATE TEMP TABLE rows ({columns})")
        shape = json.dumps([dict.fromkeys(names, "VARCHAR")])
        picked = ", ".join(f"r.{n}" for n in names)
        database.execute(
            f"INSERT INTO rows SELECT {picked} FROM (SELECT unnest(from_json($1::JSON, '{shape}')) AS r)",  # noqa: S608 - names are the constants above
            [text],
        )
        place = str(path).replace("'", "''")
        database.execute(f"COPY rows TO '{place}' (FORMAT parquet)")
