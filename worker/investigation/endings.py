"""How a conversation ends: by the tool that hands in its result, a report or a finding."""

from collections.abc import Callable
from dataclasses import dataclass

from worker.domain.conversation import JsonObject, ToolDefinition
from worker.domain.states import AgentKind, AgentStatus
from worker.investigation.findings import SUBMIT_FINDING, parse_finding
from worker.investigation.submission import SUBMIT_REPORT, parse_submission


@dataclass(frozen=True)
class Ending:
    """The tool, how its arguments are read (`ToolInputError`: not taken), and where the agent goes then."""

    tool: ToolDefinition
    parse: Callable[[JsonObject], object]
    noun: str
    to: AgentStatus


REPORT = Ending(SUBMIT_REPORT, parse_submission, "report", AgentStatus.PUBLISHING)
FINDING = Ending(SUBMIT_FINDING, parse_finding, "finding", AgentStatus.DONE)


def ending_of(kind: AgentKind) -> Ending:
    return FINDING if kind is AgentKind.SUB else REPORT
