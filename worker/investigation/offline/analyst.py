"""`offline/analyst`: a deterministic model behind the model port, for investigations without any provider."""

import json

from pydantic import BaseModel

from worker.domain.conversation import (
    AssistantMessage,
    Confirm,
    ModelAnswer,
    ModelRequest,
    Route,
    StopReason,
    ToolRequest,
    Usage,
)
from worker.domain.orchestration import Finding, Strength
from worker.domain.report import Confidence, Gap, Submission
from worker.domain.states import ReportVerdict
from worker.investigation.findings import FINDING_TOOL
from worker.investigation.offline.finding import within_task, write_finding
from worker.investigation.offline.observations import observe
from worker.investigation.offline.plan import Call, next_calls
from worker.investigation.offline.ranking import rank
from worker.investigation.offline.reading import Record, read_conversation
from worker.investigation.offline.rereading import openings
from worker.investigation.offline.synthesis import synthesize, write_report
from worker.investigation.offline.told import is_led, read_told
from worker.investigation.offline.triage import write_closer_look, write_plan
from worker.investigation.offline.writing import write_submission
from worker.investigation.planning import DISPATCH_TOOL, TRIAGE_TOOL
from worker.investigation.submission import TOOL_NAME as REPORT_TOOL

_ENDINGS = frozenset({REPORT_TOOL, FINDING_TOOL})
_WIRE = "offline"
_NO_TOKENS = Usage(input_tokens=0, cached_input_tokens=0, output_tokens=0, reasoning_tokens=0)
"""An explicit zero: nothing was sent anywhere, which is not the same as not knowing."""


class OfflineAnalyst:
    """Answers as a model would: with tool calls, at last with `submit_report`.

    It keeps nothing between calls and never looks at a clock: the same conversation gets the same answer.
    """

    def ask(
        self,
        request: ModelRequest,
        *,
        route: Route,
        timeout_s: float,  # noqa: ARG002 - the port's
        confirm: Confirm | None = None,  # noqa: ARG002 - the port's
    ) -> ModelAnswer:
        """Return the next turn. It answers at once, so the timeout never comes into play."""
        calls, text = _decide(request)
        turn_no = sum(isinstance(m, AssistantMessage) for m in request.messages) + 1
        requests = tuple(
            ToolRequest(id=f"offline_{turn_no}_{seq}", name=name, arguments=arguments)
            for seq, (name, arguments) in enumerate(calls, 1)
        )
        message = AssistantMessage(text=text, tool_requests=requests, wire=_WIRE)
        stop = StopReason.TOOL_USE if requests else StopReason.END
        return ModelAnswer(message=message, stop_reason=stop, usage=_NO_TOKENS, model=route.model)


def _decide(request: ModelRequest) -> tuple[list[Call], str]:
    try:
        record = read_conversation(request)
    except ValueError as error:
        return [_unreadable(request, str(error))], "There is no incident to investigate."
    if request.forced_tool == TRIAGE_TOOL:
        return [_hand_in(TRIAGE_TOOL, write_plan(record, TRIAGE_TOOL))], ""
    is_last = request.forced_tool in _ENDINGS or set(record.offered) <= _ENDINGS
    if is_led(record):
        return _lead(record, is_last=is_last)
    return _investigate(within_task(record, request), is_last=is_last)


def _investigate(record: Record, *, is_last: bool) -> tuple[list[Call], str]:
    """Ask on, or end with what is asked for: a sub-agent's finding or a report."""
    seen = observe(record)
    ranking = rank(seen, record.incident)
    calls = next_calls(record, seen, ranking)
    if calls and not is_last:
        suspects = ", ".join(h.entity for h in ranking.hypotheses[:3])
        return calls, f"Suspects so far: {suspects}." if suspects else "A broad look at every source first."
    if FINDING_TOOL in record.offered:
        return [_hand_in(FINDING_TOOL, write_finding(record, seen, ranking))], ""
    return [_hand_in(REPORT_TOOL, write_submission(record, seen, ranking))], ""


def _lead(record: Record, *, is_last: bool) -> tuple[list[Call], str]:
    """Open what the findings rest on, send once more who measures closer, then report."""
    told = read_told(record)
    calls = [] if is_last else openings(record, told)
    if calls:
        return calls, "What do the findings rest on?"
    synthesis = synthesize(record, told)
    is_first_wave = not any(r.tool == DISPATCH_TOOL for r in record.results)
    plan = write_closer_look(record, DISPATCH_TOOL, synthesis.find_unmeasured()) if is_first_wave else None
    if plan and not is_last:
        return [(DISPATCH_TOOL, plan.model_dump(mode="json", exclude={"approach"}))], "Not everybody was measured."
    return [_hand_in(REPORT_TOOL, write_report(synthesis))], ""


def _hand_in(tool: str, arguments: BaseModel) -> Call:
    return tool, json.loads(arguments.model_dump_json())


def _unreadable(request: ModelRequest, reason: str) -> Call:
    summary = "The incident could not be read, so nothing was investigated."
    if any(tool.name == FINDING_TOOL for tool in request.tools):
        return _hand_in(FINDING_TOOL, Finding(summary=summary, strength=Strength.INCONCLUSIVE))
    submission = Submission(
        verdict=ReportVerdict.INCONCLUSIVE,
        confidence=Confidence.LOW,
        summary=summary,
        gaps=(Gap(wanted="The incident", reason=reason),),
    )
    return _hand_in(REPORT_TOOL, submission)
