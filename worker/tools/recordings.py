"""Tools that exist only in a recording: each answers the calls that were recorded, and no other."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.domain.conversation import ToolDefinition
from worker.domain.tooling import ToolContext, ToolOutput
from worker.errors import ToolFailedError
from worker.tools.sources.ports import RecordedCall

MAX_LISTED_CALLS = 20


@dataclass(frozen=True)
class RecordedTool:
    """One recorded tool with its calls; the order of arguments does not matter."""

    definition: ToolDefinition
    calls: Sequence[RecordedCall]

    def run(self, arguments: dict[str, Any], context: ToolContext) -> ToolOutput:
        """Return the recorded output. Raises `ToolFailedError` that lists what is recorded for another call."""
        wanted = _canonical(arguments)
        for call in self.calls:
            if _canonical(call.arguments) == wanted:
                return ToolOutput(text=call.output, window=context.window)
        recorded = "; ".join(_canonical(c.arguments) for c in self.calls[:MAX_LISTED_CALLS]) or "none"
        raise ToolFailedError(
            f"{self.definition.name}: this call was not recorded; recorded are calls with arguments {recorded}"
        )


def _canonical(arguments: Mapping[str, Any]) -> str:
    return json.dumps(arguments, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
