"""What a tool is to the rest of the worker: a definition, a context to run in, an output."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from worker.domain.conversation import ToolDefinition
from worker.domain.incident import TimeWindow
from worker.domain.report import Series


@dataclass(frozen=True)
class ToolOutput:
    """What a tool found.

    `text` is what the model reads: for the built-in tools one JSON object (`query`, `window`, `rows`,
    `row_count`, `total_rows` …). `entities` are the names of services and the like that the text is about;
    `row_count` is None where it is not made of rows.
    """

    text: str
    window: TimeWindow | None = None
    entities: tuple[str, ...] = ()
    series: tuple[Series, ...] = ()
    row_count: int | None = None


@dataclass(frozen=True)
class ToolContext:
    """What a running tool may know.

    `deadline` is a `time.monotonic()` value in seconds; `is_cancelled` is asked now and then.
    `read_artifact` returns a stored output whole; it raises `ToolInputError` for an unknown id.
    """

    window: TimeWindow
    deadline: float
    is_cancelled: Callable[[], bool] = field(default=lambda: False)
    read_artifact: Callable[[str], str] | None = None


class Tool(Protocol):
    """Something a model may ask. It raises `ToolError` for what the model should be told."""

    @property
    def definition(self) -> ToolDefinition: ...

    def run(self, arguments: dict[str, Any], context: ToolContext) -> ToolOutput: ...
