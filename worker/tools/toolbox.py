"""What one investigation may ask: the tools whose data exists, by name."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from worker.domain.conversation import ToolDefinition
from worker.domain.incident import IncidentEvent
from worker.domain.tooling import Tool, ToolContext, ToolOutput
from worker.errors import MissingInputError, ToolFailedError, ToolInputError
from worker.settings import Settings
from worker.tools.artifacts import read_artifact
from worker.tools.changes import list_changes
from worker.tools.entities import Sources, list_entities
from worker.tools.logs import rank_log_patterns, search_logs
from worker.tools.metrics import query_metrics, rank_metric_changes
from worker.tools.recordings import RecordedTool
from worker.tools.sources.described import describe_sources
from worker.tools.sources.recorded import RecordedCase, open_case
from worker.tools.topology import show_topology
from worker.tools.traces import find_traces, rank_edge_latency
from worker.tools.window import IncidentTimes, incident_times

CASE_LABEL = "recorded_case"


@runtime_checkable
class CommandTool(Protocol):
    """A tool that runs commands, which guardrails must see first."""

    def command_of(self, arguments: Mapping[str, Any]) -> str | None: ...


class Toolbox:
    """The tools of one investigation. A later tool of a name already taken is left out."""

    def __init__(self, tools: Sequence[Tool], describe: Callable[[], dict[str, str]] = dict) -> None:
        self._tools: dict[str, Tool] = {}
        for tool in tools:
            self._tools.setdefault(tool.definition.name, tool)
        self._describe = describe

    def only(self, allows: Callable[[str], bool]) -> "Toolbox":
        """Return the same with nothing but the tools of allowed names."""
        return Toolbox([tool for name, tool in self._tools.items() if allows(name)], self._describe)

    def definitions(self) -> tuple[ToolDefinition, ...]:
        """Return what a model is offered, always in the same order."""
        return tuple(t.definition for t in self._tools.values())

    def sources(self) -> dict[str, str]:
        """Return a line for people and prompts about each source: what there is, and from when to when."""
        return self._describe()

    def command_of(self, name: str, arguments: Mapping[str, Any]) -> str | None:
        """Return the command a call would run; None for tools that run none."""
        tool = self._tools.get(name)
        return tool.command_of(arguments) if isinstance(tool, CommandTool) else None

    def run(self, name: str, arguments: dict[str, Any], context: ToolContext) -> ToolOutput:
        """Run one call. Raises `ToolError` for what the model should be told."""
        tool = self._tools.get(name)
        if tool is None:
            raise ToolInputError(f"no tool {name!r}; there are: {', '.join(self._tools)}")
        if context.is_cancelled():
            raise ToolFailedError("cancelled before it ran")
        return tool.run(arguments, context)


def build_toolbox(event: IncidentEvent, *, settings: Settings, extra: Sequence[Tool] = ()) -> Toolbox:
    """Return the tools for an incident. Raises `MissingInputError` for a recorded case that is not there."""
    name = event.labels.get(CASE_LABEL)
    if name is None:
        return Toolbox([read_artifact(), *extra])
    if settings.rca_recorded_root is None:
        raise MissingInputError(f"recorded case {name!r}: RCA_RECORDED_ROOT is not set")
    case = open_case(settings.rca_recorded_root, name)
    tools = [*_case_tools(case, incident_times(event, settings)), read_artifact(), *_recorded_tools(case), *extra]
    return Toolbox(tools, lambda: describe_sources(case))


def _case_tools(case: RecordedCase, times: IncidentTimes) -> list[Tool]:
    tools: list[Tool] = []
    if case.metrics or case.logs or case.traces or case.changes:
        readable = {n: getattr(case, n) for n in ("metrics", "logs", "traces") if n not in case.problems}
        tools.append(list_entities(Sources(changes=case.changes, **readable), times))
    if case.metrics:
        tools += [query_metrics(case.metrics), rank_metric_changes(case.metrics, times)]
    if case.logs:
        tools += [search_logs(case.logs), rank_log_patterns(case.logs, times)]
    if case.traces:
        tools += [find_traces(case.traces), rank_edge_latency(case.traces, times)]
    if case.changes:
        tools.append(list_changes(case.changes, times))
    if case.topology:
        tools.append(show_topology(case.topology))
    return tools


def _recorded_tools(case: RecordedCase) -> list[Tool]:
    return [RecordedTool(d, case.recordings.calls_of(d.name)) for d in case.recordings.definitions()]
