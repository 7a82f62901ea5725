"""The verify pass: a second call tries to refute each root cause; what it is asked, how it is read, what it costs."""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from worker.domain.conversation import (
    JsonObject,
    ModelAnswer,
    ModelRequest,
    Route,
    SystemMessage,
    ToolDefinition,
    UserMessage,
)
from worker.domain.incident import IncidentEvent, TimeWindow
from worker.domain.report import (
    MAX_SENTENCE_CHARS,
    Block,
    Check,
    CheckFailure,
    Citation,
    Confidence,
    Evidence,
    Refutation,
    RootCause,
    RuledOut,
    Submission,
    Verification,
)
from worker.domain.states import ReportVerdict, ToolCallStatus
from worker.investigation.budget import CHARS_PER_TOKEN
from worker.investigation.fence import fence
from worker.investigation.prompts import render_prompt
from worker.investigation.submission import strict_schema
from worker.tools.output import shorten

TOOL_NAME = "submit_verification"
PROMPT = "verifier"
MAX_CHARS = 60_000
"""Of the two messages together, where the model's window allows it."""
WINDOW_SHARE = 1 / 3
MAX_RESULTS = 40
"""Cited results that are shown with their text; the others are named like those that nobody cited."""
MAX_ARGUMENT_CHARS = 300
"""What is told of the arguments of a result that is only named."""

_VERIFIABLE = frozenset({ReportVerdict.CONFIRMED, ReportVerdict.LIKELY, ReportVerdict.EXTERNAL})
_INCIDENT_FIELDS = {"title", "service", "severity", "started_at", "ended_at", "description", "labels"}
_CLAIM_FIELDS = {"summary", "root_causes", "contributing_factors", "timeline", "ruled_out"}
_RESULT_FIELDS = {"tool", "arguments", "window", "status"}
_MAX_RULED_OUT, _MAX_CITATIONS = 30, 10  # as the schema holds
_TEXT_LIMITS = {"reason": MAX_SENTENCE_CHARS, "entity": 300}


class _Answer(Block):
    checks: tuple[Check, ...]


SUBMIT_VERIFICATION = ToolDefinition(
    name=TOOL_NAME,
    description="Hand in one check for every root cause. A refutation has to cite the result that it rests on.",
    parameters=strict_schema(_Answer.model_json_schema()),
)


@dataclass(frozen=True)
class Grounds:
    """What the claims rest on; `full_text` returns the whole text of the evidence with this id."""

    event: IncidentEvent
    window: TimeWindow
    evidence: Mapping[str, Evidence]
    full_text: Callable[[str], str]


def is_worth_verifying(submission: Submission) -> bool:
    """Say whether there is a cause to refute, under a verdict that stands on it."""
    return bool(submission.root_causes) and submission.verdict in _VERIFIABLE


def build_verification_request(submission: Submission, grounds: Grounds, *, nonce: str, route: Route) -> ModelRequest:
    """Return the one call that tries to refute every root cause; long texts are shortened to fit the route."""
    system = render_prompt(PROMPT)
    room = MAX_CHARS
    if route.context_window is not None:
        room = min(room, int(route.context_window * CHARS_PER_TOKEN * WINDOW_SHARE))
    said = _tell(submission, grounds, nonce=nonce, room=room - len(system))
    return ModelRequest(
        messages=(SystemMessage(text=system), UserMessage(text=said)),
        tools=(SUBMIT_VERIFICATION,),
        forced_tool=TOOL_NAME,
        max_output_tokens=route.max_output_tokens,
        temperature=0.0,
        stable_messages=1,
    )


def _tell(submission: Submission, grounds: Grounds, *, nonce: str, room: int) -> str:
    """Lay out incident, claims and evidence; the results share what the rest leaves of the room."""
    shown = [i for i in _cited_ids(submission) if i in grounds.evidence][:MAX_RESULTS]
    named = [_name(e) for i, e in grounds.evidence.items() if i not in shown]
    scene = {"The incident:": _incident(grounds), "The claims:": _claims(submission)}
    scene |= {"Other results of the investigation, by name only:": "\n".join(named)} if named else {}
    results = {f"evidence_id: {i}": _result(grounds.evidence[i], grounds.full_text(i)) for i in shown}
    room -= len(_lay_out(dict.fromkeys((*scene, *results), ""), nonce))
    scene = _fit(scene, room // 2)
    return _lay_out(scene | _fit(results, room - sum(map(len, scene.values()))), nonce)


def _lay_out(payloads: Mapping[str, str], nonce: str) -> str:
    return "\n\n".join(f"{heading}\n{fence(payload, nonce)}" for heading, payload in payloads.items())


def _fit(payloads: Mapping[str, str], room: int) -> dict[str, str]:
    """Shorten the longest to one length, so that all fit: what short ones do not need is left to the long ones."""
    limit = _fair_limit(map(len, payloads.values()), room)
    return {heading: shorten(payload, limit) or payload for heading, payload in payloads.items()}


def _fair_limit(sizes: Iterable[int], room: int) -> int:
    ascending = sorted(sizes)
    for i, size in enumerate(ascending):
        share = max(room, 0) // (len(ascending) - i)
        if size > share:
            return share
        room -= size
    return max(ascending, default=0)


def _cited_ids(submission: Submission) -> list[str]:
    """Return every id that some claim cites, those of the root causes first."""
    causes, ruled_out, factors = submission.root_causes, submission.ruled_out, submission.contributing_factors
    citations = [*(c.evidence for c in causes), *(r.evidence for r in ruled_out), *(f.evidence for f in factors)]
    cited = [citation.evidence_id for claim in citations for citation in claim]
    return list(dict.fromkeys((*cited, *(t.evidence_id for t in submission.timeline if t.evidence_id))))


def _incident(grounds: Grounds) -> str:
    event = grounds.event.model_dump(mode="json", include=_INCIDENT_FIELDS, exclude_none=True)
    return _json({"event": event, "window": grounds.window.model_dump(mode="json")})


def _claims(submission: Submission) -> str:
    claims = submission.model_dump(mode="json", include=_CLAIM_FIELDS, exclude_defaults=True)
    claims["root_causes"] = [{"cause": n, **cause} for n, cause in enumerate(claims.get("root_causes", []), 1)]
    return _json(claims)


def _result(evidence: Evidence, text: str) -> str:
    asked = evidence.model_dump(mode="json", include=_RESULT_FIELDS, exclude_none=True)
    return f"{json.dumps(asked, ensure_ascii=False)}\n{text or evidence.excerpt}"


def _name(evidence: Evidence) -> str:
    outcome = "" if evidence.status == ToolCallStatus.SUCCEEDED else f" ({evidence.status})"
    arguments = json.dumps(evidence.arguments, ensure_ascii=False, default=str)
    return f"{evidence.id} {evidence.tool}{outcome} {arguments[:MAX_ARGUMENT_CHARS]}"


def _json(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False)


def parse_verification(answer: ModelAnswer, *, model: str, causes: int, known_ids: Collection[str]) -> Verification:
    """Read the answer: at most one check for each of so many causes, or the problem if there is none to read.

    `known_ids` are those that a refutation may rest on; one that rests on none of them only weakens.
    """
    handed_in = _handed_in(answer)
    if handed_in is None:
        return Verification(model=model, problem=f"the model did not call {TOOL_NAME} as it should")
    checks: dict[int, Check] = {}
    for item in handed_in:
        check = _read(item, known_ids)
        if check is not None and check.cause <= causes:
            checks.setdefault(check.cause, check)
    if not checks:
        return Verification(model=model, problem="the model's answer says nothing readable about any root cause")
    return Verification(model=model, checks=tuple(checks[n] for n in sorted(checks)))


def _handed_in(answer: ModelAnswer) -> list[Any] | None:
    """Return the list inside the one forced call; None where there is none."""
    requests = answer.message.tool_requests
    if len(requests) != 1 or requests[0].name != TOOL_NAME or requests[0].arguments is None:
        return None
    checks = requests[0].arguments.get("checks")
    return checks if isinstance(checks, list) else None


def _read(item: object, known_ids: Collection[str]) -> Check | None:
    """Read one check; None for one that says nothing clear."""
    if not isinstance(item, dict):
        return None
    try:
        check = Check.model_validate({**_tidied(item), "evidence": _known(item.get("evidence"), known_ids)})
    except ValidationError:
        return None
    if check.outcome is Refutation.REFUTED and not check.evidence:
        return check.model_copy(update={"outcome": Refutation.WEAKENED})
    return check


def _tidied(item: JsonObject) -> JsonObject:
    """Shorten what is too long and leave out what a check does not hold."""
    told = {name: value for name, value in item.items() if name in Check.model_fields and value is not None}
    texts = {name: value for name, value in told.items() if isinstance(value, str)}
    if "outcome" in texts:
        told["outcome"] = texts["outcome"].strip().lower()
    for name in texts.keys() & _TEXT_LIMITS.keys():
        told[name] = texts[name][: _TEXT_LIMITS[name]]
    return told


def _known(citations: object, known_ids: Collection[str]) -> tuple[Citation, ...]:
    """Return the citations of results there are, without quotes: nobody has held these against the results."""
    told = citations if isinstance(citations, list) else []
    ids = [c.get("evidence_id") if isinstance(c, dict) else c for c in told]
    known = dict.fromkeys(i for i in ids if isinstance(i, str) and i in known_ids)
    return tuple(Citation(evidence_id=i) for i in known)[:_MAX_CITATIONS]


def apply_verification(
    submission: Submission, verification: Verification
) -> tuple[Submission, tuple[CheckFailure, ...]]:
    """Take refuted causes out of the submission, lower its verdict and confidence, and say what that cost.

    Nothing is raised. A cause that was not answered for stands as it did, and so does everything where the
    verification has a problem.
    """
    if verification.problem is not None or not is_worth_verifying(submission):
        return submission, ()
    answered = {check.cause: check for check in reversed(verification.checks)}  # of two on one cause the first stands
    checked = [(cause, answered.get(n) or _unanswered(n)) for n, cause in enumerate(submission.root_causes, 1)]
    refuted = [(cause, check) for cause, check in checked if check.outcome is Refutation.REFUTED]
    kept = [(cause, check) for cause, check in checked if check.outcome is not Refutation.REFUTED]
    weakened = [(cause, check) for cause, check in kept[:1] if check.outcome is Refutation.WEAKENED]
    left = submission.model_copy(
        update={
            "root_causes": tuple(cause for cause, _ in kept),
            "ruled_out": (*(_rule_out(*found) for found in refuted), *submission.ruled_out)[:_MAX_RULED_OUT],
        }
    )
    lowered = _lower(left, is_refuted=bool(refuted), is_lead_weakened=bool(weakened))
    cost = _cost(submission, lowered)
    return lowered, tuple(_failure(cause, check, cost) for cause, check in (*refuted, *weakened))


def _unanswered(number: int) -> Check:
    return Check(cause=number, outcome=Refutation.HOLDS, reason="not answered for")


def _rule_out(cause: RootCause, check: Check) -> RuledOut:
    reason = f"Refuted in the verify pass: {check.reason}"[:MAX_SENTENCE_CHARS]
    return RuledOut(hypothesis=cause.statement, reason=reason, evidence=check.evidence)


def _lower(left: Submission, *, is_refuted: bool, is_lead_weakened: bool) -> Submission:
    """Lower verdict and confidence to what is left; an external cause has no step between itself and inconclusive."""
    if not left.root_causes:
        return left.model_copy(update={"verdict": ReportVerdict.INCONCLUSIVE, "confidence": Confidence.LOW})
    if not is_refuted and not is_lead_weakened:
        return left
    was_confirmed = left.verdict is ReportVerdict.CONFIRMED
    is_low = left.confidence is Confidence.LOW or (is_lead_weakened and (is_refuted or not was_confirmed))
    return left.model_copy(
        update={
            "verdict": ReportVerdict.LIKELY if was_confirmed else left.verdict,
            "confidence": Confidence.LOW if is_low else Confidence.MEDIUM,
        }
    )


def _cost(before: Submission, after: Submission) -> str:
    pairs = (("verdict", before.verdict, after.verdict), ("confidence", before.confidence, after.confidence))
    changes = [f"{name} from {old} to {new}" for name, old, new in pairs if old is not new]
    return f" ({', '.join(changes)})" if changes else ""


def _failure(cause: RootCause, check: Check, cost: str) -> CheckFailure:
    claim = f"Root cause {check.cause} ({cause.entity})"
    return CheckFailure(claim=claim, problem=f"{check.outcome} in the verify pass{cost}: {check.reason}")
