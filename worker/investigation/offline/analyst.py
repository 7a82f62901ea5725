"""`offline/analyst`: a deterministic model behind the model port, for investigations without any provider."""

import json

from worker.domain.conversation import (
    AssistantMessage,
    ModelAnswer,
    ModelRequest,
    Route,
    StopReason,
    ToolRequest,
    Usage,
)
from worker.domain.report import Confidence, Gap, Submission
from worker.domain.states import ReportVerdict
from worker.investigation.offline.observations import observe
from worker.investigation.offline.plan import Call, next_calls
from worker.investigation.offline.ranking import rank
from worker.investigation.offline.reading import read_conversation
from worker.investigation.offline.writing import write_submission

_REPORT_TOOL = "submit_report"
_WIRE = "offline"
_NO_TOKENS = Usage(input_tokens=0, cached_input_tokens=0, output_tokens=0, reasoning_tokens=0)
"""An explicit zero: nothing was sent anywhere, which is not the same as not knowing."""


class OfflineAnalyst:
    """Answers as a model would: with tool calls, at last with `submit_report`.

    It keeps nothing between calls and never looks at a clock: the same conversation gets the same answer.
    """

    def ask(self, request: ModelRequest, *, route: Route, timeout_s: float) -> ModelAnswer:  # noqa: ARG002 - the port's
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
        return [_report(_unreadable(str(error)))], "There is no incident to investigate."
    seen = observe(record)
    ranking = rank(seen, record.incident)
    calls = next_calls(record, seen, ranking)
    is_last = request.forced_tool == _REPORT_TOOL or set(record.offered) <= {_REPORT_TOOL}
    if calls and not is_last:
        suspects = ", ".join(h.entity for h in ranking.hypotheses[:3])
        return calls, f"Suspects so far: {suspects}." if suspects else "A broad look at every source first."
    return [_report(write_submission(record, seen, ranking))], ""


def _report(submission: Submission) -> Call:
    return _REPORT_TOOL, json.loads(submission.model_dump_json())


def _unreadable(reason: str) -> Submission:
    return Submission(
        verdict=ReportVerdict.INCONCLUSIVE,
        confidence=Confidence.LOW,
        summary="The incident could not be read, so nothing was investigated.",
        gaps=(Gap(wanted="The incident", reason=reason),),
    )
