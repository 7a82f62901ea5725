"""One recorded case: a folder of files that answers like the live sources it was taken from.

Format: `incident.json` (the event; not needed here), `metrics.parquet`, `logs.parquet`, `traces.parquet`,
`changes.json`, `topology.json`, `recordings.json`, all optional. Nothing else in the folder is opened.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from worker.errors import MissingInputError
from worker.tools.sources.ports import TopologySource
from worker.tools.sources.recorded_files import (
    RecordedChanges,
    RecordedTopology,
    Recordings,
    TopologyOfTraces,
    read_recordings,
)
from worker.tools.sources.recorded_logs import RecordedLogs
from worker.tools.sources.recorded_metrics import RecordedMetrics
from worker.tools.sources.recorded_traces import RecordedTraces
from worker.tools.sources.tables import TABLES, CaseTables

MAX_OPEN_CASES = 32
"""Per process; an open case holds a database of some megabytes."""

_FILES = (*(f"{t}.parquet" for t in TABLES), "changes.json", "topology.json", "recordings.json")


@dataclass(frozen=True)
class RecordedCase:
    """The sources of one case; None where the case has no such file.

    `problems` maps the name of a source to why it cannot be read; asking it raises `ToolFailedError`.
    """

    name: str
    metrics: RecordedMetrics | None
    logs: RecordedLogs | None
    traces: RecordedTraces | None
    changes: RecordedChanges | None
    topology: TopologySource | None
    recordings: Recordings
    problems: dict[str, str]


def open_case(root: Path, name: str) -> RecordedCase:
    """Open the case `name` below `root`. Raises `MissingInputError` when there is none to be found there."""
    folder = _folder(root, name)
    files = {n: f for n in _FILES if (f := _inside(folder, n))}
    return _open_cases.get(name, folder, files)


def _folder(root: Path, name: str) -> Path:
    """Return the folder of a case, which is neither outside the root nor a link to another place."""
    parts = name.split("/")
    if not name.strip() or "\\" in name or "\0" in name or any(p in {"", ".", ".."} for p in parts):
        raise MissingInputError(f"recorded case {name!r}: a name such as 'case-1' or 'set/case-1' is needed")
    base = root.resolve()
    folder = base.joinpath(*parts)
    if not folder.is_dir() or folder.resolve() != folder:
        raise MissingInputError(f"recorded case {name!r}: no such folder below RCA_RECORDED_ROOT")
    return folder


def _inside(folder: Path, name: str) -> Path | None:
    """Return the file if it exists; a link must end in the same folder, at a file of the same name."""
    path = (folder / name).resolve()
    if not path.is_file():
        return None
    if path.name != name or not path.is_relative_to(folder):
        raise MissingInputError(f"recorded case {folder.name!r}: {name} leads out of its folder")
    return path


def _open(name: str, files: dict[str, Path]) -> RecordedCase:
    tables = CaseTables({t: path for t in TABLES if (path := files.get(f"{t}.parquet"))})
    traces = RecordedTraces(tables) if "traces.parquet" in files else None
    topology: TopologySource | None = TopologyOfTraces(traces) if traces else None
    if "topology.json" in files:
        topology = RecordedTopology(files["topology.json"])
    recordings, problem = read_recordings(files.get("recordings.json"))
    problems = {t: p for t in TABLES if (p := tables.problem(t))}
    return RecordedCase(
        name=name,
        metrics=RecordedMetrics(tables) if "metrics.parquet" in files else None,
        logs=RecordedLogs(tables) if "logs.parquet" in files else None,
        traces=traces,
        changes=RecordedChanges(files["changes.json"]) if "changes.json" in files else None,
        topology=topology,
        recordings=recordings,
        problems=problems | ({"recordings": problem} if problem else {}),
    )


class _OpenCases:
    """The cases used last; a file that changed on disk makes its case be opened anew."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._cases: OrderedDict[object, RecordedCase] = OrderedDict()

    def get(self, name: str, folder: Path, files: dict[str, Path]) -> RecordedCase:
        key = (folder, tuple((n, str(p), (s := p.stat()).st_mtime_ns, s.st_size) for n, p in files.items()))
        with self._lock:
            if case := self._cases.get(key):
                self._cases.move_to_end(key)
                return case
        case = _open(name, files)  # outside the lock: two threads may both open it, one of the two stays
        with self._lock:
            case = self._cases.setdefault(key, case)
            self._cases.move_to_end(key)
            while len(self._cases) > self._size:
                self._cases.popitem(last=False)  # closed when its last user lets it go
        return case


_open_cases = _OpenCases(MAX_OPEN_CASES)
