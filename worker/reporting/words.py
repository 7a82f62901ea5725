"""The words and number formats that every view of a report shares."""

import json
import math
from datetime import UTC, datetime
from typing import Any

from worker.domain.incident import TimeWindow
from worker.domain.report import (
    Category,
    Check,
    Confidence,
    Refutation,
    Report,
    RootCause,
    SubAgent,
    UsageLine,
    Verification,
)
from worker.domain.states import AgentStatus, ReportVerdict

VERDICT_TITLES = {
    ReportVerdict.CONFIRMED: "Root cause confirmed",
    ReportVerdict.LIKELY: "Likely root cause",
    ReportVerdict.INCONCLUSIVE: "Inconclusive",
    ReportVerdict.NO_INCIDENT: "No incident",
    ReportVerdict.EXTERNAL: "External cause",
}

VERDICT_MEANINGS = {
    ReportVerdict.CONFIRMED: "The evidence shows the cause and how it led to what users saw.",
    ReportVerdict.LIKELY: "The evidence fits this cause best, but part of the chain is not shown. Check before acting.",
    ReportVerdict.INCONCLUSIVE: "No cause is established. What was looked at, and what is missing, stands below.",
    ReportVerdict.NO_INCIDENT: "The evidence shows normal behaviour: nothing was wrong that needs a cause.",
    ReportVerdict.EXTERNAL: "The cause lies outside these systems, with somebody else's service.",
}

CONFIDENCE_WORDS = {
    Confidence.HIGH: "high confidence",
    Confidence.MEDIUM: "medium confidence",
    Confidence.LOW: "low confidence",
}

_CATEGORY_WORDS = {
    Category.RESOURCE_CPU: "CPU",
    Category.RESOURCE_MEMORY: "memory",
    Category.RESOURCE_DISK: "disk",
    Category.RESOURCE_POOL: "exhausted pool or quota",
}

_DOING: dict[str, str] = {
    AgentStatus.READY: "waits for a worker",
    AgentStatus.ASKING: "the model is asked",
    AgentStatus.AWAITING_JUDGE: "commands wait for the judge",
    AgentStatus.JUDGING: "the judge decides",
    AgentStatus.READY_TO_ACT: "tools wait for a worker",
    AgentStatus.ACTING: "tools run",
    AgentStatus.WAITING_CHILDREN: "sub-agents work",
    AgentStatus.AWAITING_VERIFY: "the report waits to be verified",
    AgentStatus.VERIFYING: "a second call tries to refute the causes",
    AgentStatus.PUBLISHING: "the report is written",
}

_MINUTE_S, _HOUR_S = 60, 3600


def category_words(cause: RootCause) -> str:
    words = _CATEGORY_WORDS.get(cause.category, cause.category.replace("_", " "))
    return f"{words}: {cause.category_detail}" if cause.category_detail else words


def doing(agent_status: str) -> str:
    """Say what an agent in this status does, or how it ended."""
    return _DOING.get(agent_status, agent_status)


def utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def clock(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%H:%M:%S}"


def span(window: TimeWindow) -> str:
    start, end = window.start.astimezone(UTC), window.end.astimezone(UTC)
    last = clock(end) if start.date() == end.date() else f"{end:%Y-%m-%d %H:%M:%S}"
    return f"{start:%Y-%m-%d %H:%M:%S} to {last} UTC"


def duration(seconds: float | None) -> str:
    if seconds is None or not math.isfinite(seconds):
        return "unknown"
    if seconds < _MINUTE_S:
        return f"{seconds:.1f} s"
    if seconds < _HOUR_S:
        return f"{int(seconds // _MINUTE_S)} min {int(seconds % _MINUTE_S)} s"
    return f"{int(seconds // _HOUR_S)} h {int(seconds % _HOUR_S // _MINUTE_S)} min"


def several(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def count(value: int | None) -> str:
    return "unknown" if value is None else f"{value:,}"


def dollars(value: float | None) -> str:
    """Format a cost; an unknown price is never shown as nothing."""
    if value is None:
        return "price unknown"
    return f"${value:,.2f}" if value >= 1 or value == 0 else f"${value:.4f}"


def amount(value: float | None, *, otherwise: str) -> str:
    """Format an amount in full; what stands where there is none is the caller's word."""
    return otherwise if value is None else f"{value:.10g}"


def total_cost(usage: tuple[UsageLine, ...]) -> str:
    known = [line.cost_usd for line in usage if line.cost_usd is not None]
    if len(known) == len(usage):
        return dollars(sum(known))
    return f"at least {dollars(sum(known))}; some prices unknown" if known else "price unknown"


def argument(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def arguments_line(arguments: dict[str, Any]) -> str:
    return ", ".join(f"{name}={argument(value)}" for name, value in arguments.items())


def spread(text: str) -> str:
    """Lay out a result that is one JSON object: a line for each field and for each row; other text stays as it is."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(found, dict):
        return text
    return "\n".join(line for name, value in found.items() for line in _field_lines(name, value))


def _field_lines(name: str, value: Any) -> list[str]:
    if isinstance(value, list) and value and isinstance(value[0], (dict, list)):
        return [f"{name}:", *(f"  {argument(row)}" for row in value)]
    return [f"{name}: {argument(value)}"]


def lowered_line(report: Report) -> str | None:
    """Say that the checks lowered the verdict; None where they did not."""
    if report.submitted_verdict is None:
        return None
    failed = len(report.check_failures)
    claims = "1 claim" if failed == 1 else f"{failed} claims"
    return (
        f"The model claimed “{report.submitted_verdict.replace('_', ' ')}”; {claims} did not hold against the evidence."
    )


def verification_title(verification: Verification) -> str:
    return f"{'Verified' if verification.problem is None else 'Not verified'} by {verification.model}"


def check_title(check: Check) -> str:
    """Name the cause by its place in the claims: where one was refuted, the others have moved up."""
    entity = f" ({check.entity})" if check.entity else ""
    return f"Claimed cause {check.cause}{entity}: {check.outcome}"


def unanswered_line(report: Report) -> str | None:
    """Name the claimed causes that the verify pass says nothing about; None where there are none."""
    if report.verification is None or report.verification.problem is not None:
        return None
    checks = report.verification.checks
    claimed = len(report.root_causes) + sum(c.outcome is Refutation.REFUTED for c in checks)
    numbers = sorted(set(range(1, claimed + 1)) - {c.cause for c in checks})
    return f"No word on claimed cause {', '.join(map(str, numbers))}" if numbers else None


def sub_agent_facts(sub_agent: SubAgent) -> str:
    return f"wave {sub_agent.wave_no}, {several(sub_agent.turns, 'turn')}"


def found_line(sub_agent: SubAgent) -> str:
    """Say what a sub-agent found and how well the evidence carries it, or why there is nothing to rely on."""
    if sub_agent.missing or sub_agent.strength is None:
        return f"No finding: {sub_agent.missing or 'none was handed in'}."
    return f"{sub_agent.strength.capitalize()} finding: {sub_agent.summary}"


def evidence_ids(report: Report) -> frozenset[str]:
    return frozenset(e.id for e in report.evidence)
