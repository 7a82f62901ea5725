"""The parquet files of one recorded case as tables that can be asked in SQL, and nothing else on the disk.

DuckDB computes in its own code without holding Python's lock, so many threads can ask at once. Each call has a
cursor of its own; the database may open exactly the case's files, and its settings are locked.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from worker.errors import ToolFailedError

MEMORY_LIMIT = "512MB"
"""Of one case; many may be open in one process."""

TABLES: Mapping[str, str] = {
    "metrics": "epoch(ts) AS ts, entity::VARCHAR AS entity, metric::VARCHAR AS metric, value::DOUBLE AS value",
    "logs": "epoch(ts) AS ts, entity::VARCHAR AS entity, level::VARCHAR AS level, message::VARCHAR AS message, "
    "trace_id::VARCHAR AS trace_id",
    "traces": "trace_id::VARCHAR AS trace_id, span_id::VARCHAR AS span_id, "
    "nullif(parent_span_id::VARCHAR, '') AS parent_span_id, entity::VARCHAR AS entity, "
    "operation::VARCHAR AS operation, epoch(start_ts) AS ts, duration_us / 1000.0 AS duration_ms, "
    "status::VARCHAR AS status",
}
"""Times as seconds, as everywhere behind the ports."""

_FILTERS = {
    "metrics": "ts IS NOT NULL AND isfinite(value) AND entity IS NOT NULL AND metric IS NOT NULL",
    "logs": "ts IS NOT NULL AND message IS NOT NULL",
    "traces": "ts IS NOT NULL AND trace_id IS NOT NULL AND span_id IS NOT NULL AND duration_ms >= 0",
}
"""Rows without these say nothing."""


_VIEW = "CREATE VIEW {table} AS SELECT * FROM (SELECT {columns} FROM read_parquet({file})) WHERE {filter}"


class CaseTables:
    """Tables over the parquet files that are given; safe to use from many threads."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = dict(files)
        self._problems: dict[str, str] = {}
        self._lock = threading.Lock()
        self._database = duckdb.connect(":memory:", config={"threads": 1, "memory_limit": MEMORY_LIMIT})
        self._database.execute("SET temp_directory = ''")
        self._database.execute(f"SET allowed_paths = [{', '.join(_quoted(p) for p in files.values())}]")
        self._database.execute("SET enable_external_access = false")
        self._database.execute("SET lock_configuration = true")
        for table, path in files.items():
            self._add(table, path)

    def _add(self, table: str, path: Path) -> None:
        view = _VIEW.format(table=table, columns=TABLES[table], file=_quoted(path), filter=_FILTERS[table])
        try:
            self._database.execute(view)
        except duckdb.Error as error:
            self._problems[table] = f"the recorded {table} cannot be read: {self._without_places(error)}"

    def problem(self, table: str) -> str | None:
        """Return why a table cannot be asked; None when it can."""
        return self._problems.get(table)

    def rows(
        self, table: str, sql: str, parameters: Mapping[str, Any] | None = None, *, deadline: float
    ) -> list[tuple[Any, ...]]:
        """Run one query over `table`. Raises `ToolFailedError` when it fails or the deadline passes."""
        if problem := self._problems.get(table):
            raise ToolFailedError(problem)
        remaining_s = deadline - time.monotonic()
        if remaining_s <= 0:
            raise ToolFailedError("no time left for this call")
        with self._lock:
            cursor = self._database.cursor()
        alarm = threading.Timer(remaining_s, cursor.interrupt)
        alarm.daemon = True
        alarm.start()
        try:
            return list(cursor.execute(sql, parameters or {}).fetchall())
        except duckdb.InterruptException as error:
            raise ToolFailedError(f"the query over the recorded {table} took longer than it may") from error
        except duckdb.Error as error:
            raise ToolFailedError(
                f"the query over the recorded {table} failed: {self._without_places(error)}"
            ) from error
        finally:
            alarm.cancel()
            cursor.close()

    def _without_places(self, error: duckdb.Error) -> str:
        """Return what DuckDB says in its first line, without where the files are on this machine."""
        line = str(error).partition("\n")[0]
        for path in self._files.values():
            line = line.replace(str(path), path.name)
        return line


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def spans(column: str, names: Sequence[str], *, margin_s: float = 0) -> str:
    """Return SQL that is true where `column` lies in one of the windows named, e.g. `$incident_start`."""
    inside = (
        f"({column} >= ${name}_start - {margin_s} AND {column} < ${name}_end + {margin_s})"
        if margin_s
        else f"({column} >= ${name}_start AND {column} < ${name}_end)"
        for name in names
    )
    return f"({' OR '.join(inside)})"
