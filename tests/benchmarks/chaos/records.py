"""What a run writes down: lines of JSON, and the tables as they are at its end."""

import json
import threading
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

TABLES = (
    "incidents", "alerts", "investigations", "agents", "turns", "tool_calls", "reports", "llm_usage", "outbox",
)  # fmt: skip


class JsonLines:
    """A file that gets one line for each entry, at once and from any thread."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("a", encoding="utf-8")
        self._mutex = threading.Lock()

    def write(self, entry: dict[str, Any]) -> None:
        with self._mutex:
            self._file.write(json.dumps(entry) + "\n")
            self._file.flush()

    def close(self) -> None:
        self._file.close()


def dump_tables(dsn: str, folder: Path) -> None:
    """Write each table to a file of its own, a JSON object for each row."""
    folder.mkdir(exist_ok=True)
    with psycopg.connect(dsn) as connection:
        for table in TABLES:
            query = sql.SQL("SELECT row_to_json(t)::text FROM {} t").format(sql.Identifier(table))
            rows = [row[0] for row in connection.execute(query)]
            (folder / f"{table}.jsonl").write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
