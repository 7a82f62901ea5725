"""The JSON files of a recorded case: changes, topology, and tool calls that were recorded with their answers."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, TypeAdapter, ValidationError

from worker.domain.conversation import ToolDefinition
from worker.domain.incident import TimeWindow
from worker.errors import ToolFailedError
from worker.tools.sources.ports import Change, RecordedCall, Topology
from worker.tools.sources.recorded_traces import RecordedTraces

T = TypeVar("T")


class _Block(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Change(_Block):
    id: str
    ts: AwareDatetime
    kind: str
    title: str
    entity: str | None = None
    author: str | None = None
    diff: str | None = None


class _Topology(_Block):
    nodes: tuple[str, ...] = ()
    edges: tuple[tuple[str, str], ...] = ()


class _RecordedTool(_Block):
    name: str
    description: str = ""
    parameters: dict[str, Any] = {"type": "object", "properties": {}}


class _Call(_Block):
    tool: str
    arguments: dict[str, Any] = {}
    output: str


class Recordings(_Block):
    """Tools that exist only in the recording, and every call of them that has an answer."""

    tools: tuple[_RecordedTool, ...] = ()
    calls: tuple[_Call, ...] = ()

    def definitions(self) -> tuple[ToolDefinition, ...]:
        return tuple(
            ToolDefinition(name=t.name, description=t.description, parameters=t.parameters) for t in self.tools
        )

    def calls_of(self, tool: str) -> tuple[RecordedCall, ...]:
        return tuple(RecordedCall(c.tool, c.arguments, c.output) for c in self.calls if c.tool == tool)


class RecordedChanges:
    """What changed, from `changes.json`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @cached_property
    def _changes(self) -> tuple[Change, ...]:
        parsed = _parsed(self._path, TypeAdapter(tuple[_Change, ...]).validate_json)
        changes = (Change(c.id, c.ts.timestamp(), c.entity, c.kind, c.author, c.title, c.diff) for c in parsed)
        return tuple(sorted(changes, key=lambda c: (-c.ts, c.id)))

    def extent(self) -> TimeWindow | None:
        """From the first change to the last; raises `ToolFailedError` when the file cannot be read."""
        times = [datetime.fromtimestamp(c.ts, UTC) for c in self._changes]
        return TimeWindow(start=min(times), end=max(times) + timedelta(seconds=1)) if times else None

    def changes(self, window: TimeWindow, *, deadline: float) -> tuple[Change, ...]:  # noqa: ARG002 - read at once
        start, end = window.start.timestamp(), window.end.timestamp()
        return tuple(c for c in self._changes if start <= c.ts < end)


class RecordedTopology:
    """Who calls whom, from `topology.json`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @cached_property
    def _topology(self) -> Topology:
        parsed = _parsed(self._path, _Topology.model_validate_json)
        named = {n for edge in parsed.edges for n in edge}
        return Topology(tuple(sorted({*parsed.nodes, *named})), tuple(sorted(set(parsed.edges))))

    def topology(self, *, deadline: float) -> Topology:  # noqa: ARG002 - a file is read at once
        return self._topology


class TopologyOfTraces:
    """Who calls whom, as far as traces show it; for cases without `topology.json`."""

    def __init__(self, traces: RecordedTraces) -> None:
        self._traces = traces

    def topology(self, *, deadline: float) -> Topology:
        return self._traces.edges(deadline=deadline)


def read_recordings(path: Path | None) -> tuple[Recordings, str | None]:
    """Return what was recorded, and why it cannot be read if it cannot."""
    try:
        return (_parsed(path, Recordings.model_validate_json) if path else Recordings()), None
    except ToolFailedError as error:
        return Recordings(), str(error)


def _parsed(path: Path, parse: Callable[[bytes], T]) -> T:
    try:
        return parse(path.read_bytes())
    except (OSError, ValidationError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error.strerror
        raise ToolFailedError(f"{path.name} of the recorded case cannot be read: {reason}") from error
