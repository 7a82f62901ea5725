"""What metrics, logs and traces of a recorded case share: rows with a time and an entity."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, ClassVar

from worker.domain.incident import TimeWindow
from worker.errors import ToolFailedError
from worker.tools.sources.tables import CaseTables, spans

_OPENING_S = 30.0
"""How long it may take to find out from when to when a table has rows."""


_EXTENT = "SELECT min(ts), max(ts) FROM {table}"

_COUNTS = "SELECT entity, count(*) FROM {table} WHERE entity IS NOT NULL AND {where} GROUP BY 1 ORDER BY 1"


class RecordedTimes:
    """One table of a case; the adapters say which and add their questions."""

    table: ClassVar[str]

    def __init__(self, tables: CaseTables) -> None:
        self._tables = tables
        self._totals: Mapping[str, int] | None = None

    def extent(self) -> TimeWindow | None:
        return self._extent

    @cached_property
    def _extent(self) -> TimeWindow | None:
        sql = _EXTENT.format(table=self.table)
        try:
            ((first, last),) = self._tables.rows(self.table, sql, deadline=time.monotonic() + _OPENING_S)
        except ToolFailedError:
            return None  # whoever asks for rows is told why
        if first is None:
            return None
        # The end of a window is excluded, the last row is not.
        return TimeWindow(
            start=datetime.fromtimestamp(first, UTC), end=datetime.fromtimestamp(last, UTC) + timedelta(seconds=1)
        )

    def counts(self, window: TimeWindow | None, *, deadline: float) -> Mapping[str, int]:
        if window is None:
            if self._totals is None:  # two threads may both count: the answer is the same
                sql = _COUNTS.format(table=self.table, where="true")
                self._totals = dict(self._tables.rows(self.table, sql, deadline=deadline))
            return self._totals
        sql = _COUNTS.format(table=self.table, where=spans("ts", ["w"]))
        return dict(self._tables.rows(self.table, sql, bounds("w", window), deadline=deadline))


def bounds(name: str, window: TimeWindow) -> dict[str, Any]:
    """Return the parameters that `spans` names."""
    return {f"{name}_start": window.start.timestamp(), f"{name}_end": window.end.timestamp()}
