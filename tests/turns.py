"""What was said so far, made up: an agent, its turns, and what a model answers next."""

from datetime import UTC, datetime
from typing import Any

from tests.builders import STARTED_AT, incident
from worker.domain.conversation import AssistantMessage, ModelAnswer, Route, StopReason, ToolRequest
from worker.domain.ids import AgentId, InvestigationId
from worker.domain.states import AgentKind, AgentStatus, ToolCallStatus
from worker.domain.transcript import Agent, ToolCall, Transcript, Turn

AGENT = Agent(
    id=AgentId("agt_1"),
    investigation_id=InvestigationId("inv_1"),
    agent_no=0,
    kind=AgentKind.SINGLE,
    role="single",
    status=AgentStatus.ASKING,
    turn_no=3,
    nonce="n0nce",
    route=Route(provider="test", model="m", wire="openai_chat"),
    judge_route=None,
    deadline_at=datetime(2026, 3, 1, 13, tzinfo=UTC),
    attempts=0,
    losses=0,
    outage_since=None,
    partial=None,
)

Request = tuple[str, dict[str, Any] | None]


def answer_of(*requests: Request, text: str = "") -> ModelAnswer:
    asked = tuple(
        ToolRequest(id=f"call_{i}", name=name, arguments=arguments, raw_arguments='{"cut' if arguments is None else "")
        for i, (name, arguments) in enumerate(requests, 1)
    )
    message = AssistantMessage(text=text, tool_requests=asked)
    return ModelAnswer(message=message, stop_reason=StopReason.TOOL_USE if asked else StopReason.END)


def transcript_of(*turns: Turn) -> Transcript:
    return Transcript(incident_id="inc_1", event=incident(), started_at=STARTED_AT, turns=turns)


def earlier(turn_no: int, *calls: ToolCall) -> Turn:
    return Turn(turn_no=turn_no, message=AssistantMessage(), calls=calls)


def made(tool: str, arguments: dict[str, Any] | None, status: ToolCallStatus, **fields: Any) -> ToolCall:
    known = {"seq": 1, "evidence_id": "e1.1", "request_id": "call_1"}
    return ToolCall(tool=tool, arguments=arguments, status=status, **{**known, **fields})
