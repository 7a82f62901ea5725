"""From rows to the report: what the model handed in, checked, or what code can say without it."""

import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from worker.domain.incident import IncidentEvent, TimeWindow
from worker.domain.orchestration import Contribution
from worker.domain.report import (
    CheckFailure,
    Confidence,
    Denial,
    Evidence,
    Gap,
    Report,
    SubAgent,
    Submission,
    UsageLine,
    Verification,
)
from worker.domain.states import ReportVerdict, ToolCallStatus
from worker.investigation.claims import CheckedClaims, Grounds, check_claims
from worker.investigation.submission import SUBMIT_REPORT as SUBMIT_REPORT
from worker.investigation.submission import parse_submission as parse_submission
from worker.investigation.submission import salvage as salvage
from worker.investigation.verification import apply_verification

MAX_GAPS = 50
"""As many as the report's schema holds."""

MAX_FACTS = 12
"""Results listed in a summary written by code; the rest is in the evidence."""

_SAID = {"title", "description", "labels", "raw"}
"""What an event says in words and figures of its own."""
_MAX_TEXT_CHARS = 300
_MAX_NAMES = 5
_MAX_SUMMARY_CHARS = 4000


@dataclass(frozen=True, kw_only=True)
class Material:
    """Everything a report is made of, read from the rows of one investigation.

    `partial` says why there is no whole report, as a clause ("the budget of 20 turns is spent"). `full_texts` holds
    the whole text of each evidence by its id; the excerpt stands in for one that is missing.
    """

    investigation_id: str
    incident_id: str
    event: IncidentEvent
    window: TimeWindow
    created_at: datetime
    submission: Submission | None = None
    partial: str | None = None
    evidence: tuple[Evidence, ...] = ()
    full_texts: Mapping[str, str] = field(default_factory=dict)
    known_entities: Collection[str] = ()
    denials: tuple[Denial, ...] = ()
    contributions: tuple[Contribution, ...] = ()
    verification: Verification | None = None
    notes: tuple[str, ...] = ()
    usage: tuple[UsageLine, ...] = ()
    models: Mapping[str, str] = field(default_factory=dict)
    prompt_versions: Mapping[str, str] = field(default_factory=dict)
    config_generation: int = 0
    turns: int = 0
    duration_s: float | None = None

    def text_of(self, evidence_id: str) -> str:
        """Return the whole text of a result; empty for one that is not there."""
        return self.full_texts.get(evidence_id, "")

    def checked(self) -> CheckedClaims | None:
        """Return what was handed in after the claim check; None where nothing was."""
        if self.submission is None:
            return None
        grounds = Grounds(
            evidence={e.id: e for e in self.evidence},
            full_text=self.text_of,
            window=self.window,
            incident=_time_of(self.event, self.window),
            known_entities=self.known_entities,
            alert=json.dumps(self.event.model_dump(mode="json", include=_SAID), ensure_ascii=False),
        )
        return check_claims(self.submission, grounds)


def conclude(material: Material) -> Report:
    """Make the report: from the submission after claim check and verify pass, or by code where there is none."""
    checked = material.checked()
    if checked is None or material.submission is None:
        partial = _shortened((material.partial or "").strip(" .") or "the model handed in no report")
        return _report(material, write_without_model(material, partial), partial=partial)
    submission, lowered = checked.submission, checked.failures
    if material.verification is not None:
        submission, refuted = apply_verification(submission, material.verification)
        lowered = (*lowered, *refuted)
    report = _report(material, submission, partial=material.partial, failures=lowered)
    if submission.verdict is material.submission.verdict:
        return report
    return report.model_copy(update={"submitted_verdict": material.submission.verdict})


def _time_of(event: IncidentEvent, window: TimeWindow) -> TimeWindow:
    """Return what of the window the incident lasted, as far as its event says."""
    start, end = (min(max(t or window.start, window.start), window.end) for t in (event.started_at, event.ended_at))
    return TimeWindow(start=start, end=max(start, end))


def _report(
    material: Material, submission: Submission, *, partial: str | None, failures: tuple[CheckFailure, ...] = ()
) -> Report:
    blocks = {name: getattr(submission, name) for name in Submission.model_fields if name != "gaps"}
    return Report(
        **blocks,
        gaps=_all_gaps(submission, material),
        investigation_id=material.investigation_id,
        incident_id=material.incident_id,
        title=material.event.title,
        service=material.event.service,
        severity=material.event.severity,
        started_at=material.event.started_at,
        created_at=material.created_at,
        partial=partial,
        check_failures=failures,
        evidence=material.evidence,
        denied=material.denials,
        sub_agents=tuple(_sub_agent(c) for c in material.contributions),
        verification=material.verification,
        notes=material.notes,
        usage=material.usage,
        models=dict(material.models),
        prompt_versions=dict(material.prompt_versions),
        config_generation=material.config_generation,
        turns=material.turns,
        duration_s=material.duration_s,
    )


def _all_gaps(submission: Submission, material: Material) -> tuple[Gap, ...]:
    """Put what the model said it lacks before what the rows show was refused or failed."""
    shown = (
        *_unfound_gaps(material.contributions),
        *_denied_gaps(material.denials),
        *_failed_gaps(material.evidence),
    )
    gaps = list(dict.fromkeys((*submission.gaps, *shown)))
    if len(gaps) <= MAX_GAPS:
        return tuple(gaps)
    rest = Gap(wanted=f"{len(gaps) - MAX_GAPS + 1} more", reason="not listed here; see the evidence")
    return (*gaps[: MAX_GAPS - 1], rest)


def _unfound_gaps(contributions: tuple[Contribution, ...]) -> list[Gap]:
    """Name what a sub-agent was to find and did not hand in."""
    return [
        Gap(wanted=f"{c.assignment.role}: {_shortened(c.assignment.purpose)}", reason=_shortened(c.missing))
        for c in contributions
        if c.missing
    ]


def _sub_agent(contribution: Contribution) -> SubAgent:
    finding, assignment = contribution.finding, contribution.assignment
    return SubAgent(
        agent_no=contribution.agent_no,
        role=assignment.role,
        model=contribution.model,
        wave_no=contribution.wave_no,
        status=contribution.status,
        turns=contribution.turns,
        purpose=assignment.purpose,
        strength=finding.strength if finding else None,
        summary=finding.summary if finding else None,
        missing=contribution.missing,
    )


def _denied_gaps(denials: tuple[Denial, ...]) -> list[Gap]:
    return [
        Gap(wanted=f"{d.tool}: {_shortened(d.command)}", reason=f"denied by {d.layer}: {_shortened(d.reason)}")
        for d in denials
    ]


def _failed_gaps(evidence: tuple[Evidence, ...]) -> list[Gap]:
    """One gap for each tool and reason: forty calls to a source that is down are one thing not known."""
    counts = Counter((e.tool, _first_line(e)) for e in evidence if e.status == ToolCallStatus.FAILED)
    return [
        Gap(wanted=tool if count == 1 else f"{tool} ({count} calls)", reason=f"failed: {reason}")
        for (tool, reason), count in counts.items()
    ]


def _first_line(evidence: Evidence) -> str:
    lines = [line.strip() for line in evidence.excerpt.splitlines() if line.strip()]
    return _shortened(lines[0]) if lines else "the tool gave no reason"


def _shortened(text: str) -> str:
    plain = " ".join(text.split()) or "(nothing)"
    return plain if len(plain) <= _MAX_TEXT_CHARS else f"{plain[: _MAX_TEXT_CHARS - 1]}…"


def write_without_model(material: Material, partial: str) -> Submission:
    """Say what was looked at and what came back, and leave the cause open: code does not guess one."""
    succeeded = [e for e in material.evidence if e.status == ToolCallStatus.SUCCEEDED]
    sentences = [
        f"No cause is named, because {partial}.",
        _looked_at(material),
        *_facts(succeeded, material.full_texts),
        *_named_most(succeeded),
    ]
    return Submission(
        verdict=ReportVerdict.INCONCLUSIVE,
        confidence=Confidence.LOW,
        summary=" ".join(sentences)[:_MAX_SUMMARY_CHARS],
        gaps=(Gap(wanted="the cause of this incident", reason=partial),),
    )


def _looked_at(material: Material) -> str:
    if not material.evidence:
        return "No tool was called, so nothing is known beyond the alert itself."
    statuses = Counter(e.status for e in material.evidence)
    outcomes = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items()))
    start, end = (f"{t:%Y-%m-%d %H:%M}" for t in (material.window.start, material.window.end))
    return f"{len(material.evidence)} tool calls were made for {start} to {end} UTC: {outcomes}."


def _facts(succeeded: list[Evidence], full_texts: Mapping[str, str]) -> list[str]:
    """List the results by tool and size: the reader opens them; what they mean is not said here."""
    if not succeeded:
        return []
    listed = [f"{e.tool} ({_size(full_texts.get(e.id) or e.excerpt)}, {e.id})" for e in succeeded[:MAX_FACTS]]
    more = [f"and {len(succeeded) - MAX_FACTS} more"] if len(succeeded) > MAX_FACTS else []
    return [f"What came back: {', '.join((*listed, *more))}."]


def _size(text: str) -> str:
    """Say how many rows a result has, in its own count where it carries one."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    rows = found.get("row_count") if isinstance(found, dict) else None
    if not isinstance(rows, int):
        rows = sum(1 for line in text.splitlines() if line.strip())
        return f"{rows} {'line' if rows == 1 else 'lines'}"
    return f"{rows} {'row' if rows == 1 else 'rows'}"


def _named_most(succeeded: list[Evidence]) -> list[str]:
    counts = Counter(name for e in succeeded for name in dict.fromkeys(e.entities))
    most = [f"{name} ({count})" for name, count in counts.most_common(_MAX_NAMES) if count > 1]
    return [f"Named in most results, which is not a cause: {', '.join(most)}."] if most else []
