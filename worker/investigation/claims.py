"""The guardrail on what a report claims: every cause holds on to evidence that says so, or the verdict is lowered."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from worker.domain.incident import TimeWindow
from worker.domain.report import (
    CheckFailure,
    Citation,
    Confidence,
    Evidence,
    Factor,
    RootCause,
    RuledOut,
    Submission,
)
from worker.domain.states import ReportVerdict, ToolCallStatus
from worker.investigation.emptiness import is_empty
from worker.investigation.figures import FiguresRead, figures_in
from worker.investigation.quotes import QuotedText
from worker.investigation.ways import Ways, read_ways

LADDER = (ReportVerdict.CONFIRMED, ReportVerdict.LIKELY, ReportVerdict.INCONCLUSIVE)
"""Each failed claim of the leading cause goes one down."""

TOOLS_OF_THE_PAST = frozenset({"list_changes", "past_incidents"})
"""What they return may lie before the incident: a cause precedes its effects."""

TOOLS_WITHOUT_STATE = TOOLS_OF_THE_PAST | {"list_entities", "search_runbooks", "show_topology"}
"""What they return says nothing of how the system was while the incident lasted."""

_Cited = TypeVar("_Cited", Factor, RuledOut)


@dataclass(frozen=True)
class CheckedClaims:
    """What is left of a submission: citations that failed are gone from it, verdict and confidence lowered."""

    submission: Submission
    verdict: ReportVerdict
    failures: tuple[CheckFailure, ...]


@dataclass(frozen=True)
class _Citing:
    kept: Citation | None
    problem: str | None


@dataclass(frozen=True)
class _Claim:
    """One claim after the check; `holds` says that at least one of its citations does."""

    citations: tuple[Citation, ...]
    failures: tuple[CheckFailure, ...]
    holds: bool


@dataclass(frozen=True, kw_only=True)
class Grounds:
    """What claims are held against.

    `full_text` returns the whole text of the evidence with this id, beyond its excerpt. `window` is what the
    investigation looks at, `incident` what of it the incident lasted: one moment where its end is not known.
    `known_entities` keeps `cart` from being taken as named where only `cart-db` is. `alert` is what the monitors said.
    """

    evidence: Mapping[str, Evidence]
    full_text: Callable[[str], str]
    window: TimeWindow
    incident: TimeWindow
    known_entities: Collection[str] = ()
    alert: str = ""


def check_claims(submission: Submission, grounds: Grounds) -> CheckedClaims:
    """Hold every claim against the evidence it cites."""
    record = _Record(grounds)
    causes = [_check_cause(f"Root cause {n} ({c.entity})", c, record) for n, c in enumerate(submission.root_causes, 1)]
    side_submission, side_failures, side_holds = _check_sides(submission, record)
    side_failures = (*side_failures, *_unquoted(submission, causes, record), *_unread(submission, record))
    holds = side_holds or any(cause.holds for cause in causes)
    is_calm = any(record.shows_state(c, grounds.incident) for c in _sides(submission))
    contradictions = _contradictions(submission, holds=holds, is_calm=is_calm)
    verdict = _lowered(submission.verdict, causes, side_failures=len(side_failures))
    if contradictions:
        verdict = ReportVerdict.INCONCLUSIVE
    failures = (*contradictions, *(f for cause in causes for f in cause.failures), *side_failures)
    changes = {
        "verdict": verdict,
        "confidence": _confidence(submission, verdict) if failures else submission.confidence,
        "root_causes": tuple(
            cause.model_copy(update={"evidence": claim.citations})
            for cause, claim in zip(submission.root_causes, causes, strict=True)
        ),
    }
    return CheckedClaims(side_submission.model_copy(update=changes), verdict, failures)


class _Record:
    """The evidence of one investigation, its texts folded once."""

    def __init__(self, grounds: Grounds) -> None:
        self._evidence = grounds.evidence
        self._full_text = grounds.full_text
        self._window = grounds.window
        self._alert = grounds.alert
        self._entities = frozenset(grounds.known_entities)
        self._texts: dict[str, QuotedText] = {}
        self._numbers: dict[str, FiguresRead] = {}

    def weigh(self, citation: Citation) -> _Citing:
        """Say what is wrong with a citation, and what of it may stay in the report."""
        if problem := self.problem_of(citation.evidence_id):
            return _Citing(None, problem)
        found, bare = self._evidence[citation.evidence_id], Citation(evidence_id=citation.evidence_id)
        if citation.quote and (problem := self._misquote(found.id, citation.quote)):
            return _Citing(bare, problem)
        if not _fits(found, self._window):
            return _Citing(citation, f"{found.id} looks at a time outside the incident")
        return _Citing(citation, None)

    def problem_of(self, evidence_id: str) -> str | None:
        """Say why this id is no evidence; None where it is."""
        found = self._evidence.get(evidence_id)
        if found is None:
            return f"cites {evidence_id}, which is no result of this investigation"
        if found.status != ToolCallStatus.SUCCEEDED:
            return f"cites {evidence_id}, a call that did not succeed ({found.status})"
        return None

    def shows_state(self, citation: Citation, incident: TimeWindow) -> bool:
        """Say whether the citation holds, and its result shows something of the system while the incident lasted."""
        if self.weigh(citation).problem:
            return False
        found = self._evidence[citation.evidence_id]
        is_state = found.tool not in TOOLS_WITHOUT_STATE and _covers(found, incident)
        return is_state and not is_empty(self._full_text(found.id) or found.excerpt)

    def name(self, entity: str, evidence_ids: Collection[str]) -> bool:
        """Say whether one of these results names the entity."""
        return any(
            entity.casefold() in {e.casefold() for e in self._evidence[i].entities}
            or self._text(i).names(entity, other_names=self._entities)
            for i in evidence_ids
        )

    @cached_property
    def ways(self) -> Ways:
        """Who calls whom, as far as any result says."""
        return read_ways((e.tool, self._full_text(e.id) or e.excerpt) for e in self._succeeded())

    def unread(self, sentences: Iterable[str], evidence_ids: Collection[str] | None = None) -> list[str]:
        """Return the figures of these sentences that none of these results holds, nor the alert; None: of all."""
        stated = [figure for said in sentences for figure in figures_in(said, names=self._entities)]
        if not stated:
            return []
        cited = [e.id for e in self._succeeded() if evidence_ids is None or e.id in evidence_ids]
        read = [FiguresRead(self._alert), *map(self._figures, cited)]
        return list(dict.fromkeys(f.written for f in stated if not any(each.hold(f) for each in read)))

    def _succeeded(self) -> list[Evidence]:
        return [e for e in self._evidence.values() if e.status == ToolCallStatus.SUCCEEDED]

    def _misquote(self, evidence_id: str, quote: str) -> str | None:
        text = self._text(evidence_id)
        if text.holds(quote):
            return None
        if text.holds_but_for_numbers(quote):
            return f"quotes {evidence_id} with numbers that differ from the evidence"
        return f"quotes words that are not in {evidence_id}"

    def _text(self, evidence_id: str) -> QuotedText:
        if evidence_id not in self._texts:
            self._texts[evidence_id] = QuotedText(self._whole(evidence_id))
        return self._texts[evidence_id]

    def _figures(self, evidence_id: str) -> FiguresRead:
        if evidence_id not in self._numbers:
            self._numbers[evidence_id] = FiguresRead(self._whole(evidence_id))
        return self._numbers[evidence_id]

    def _whole(self, evidence_id: str) -> str:
        whole, excerpt = self._full_text(evidence_id), self._evidence[evidence_id].excerpt
        return whole if excerpt in whole else f"{whole}\n{excerpt}"


def _fits(evidence: Evidence, window: TimeWindow) -> bool:
    """Say whether what was looked at touches the incident; what carries no window always does."""
    if evidence.window is None:
        return True
    seen = evidence.window
    if evidence.tool in TOOLS_OF_THE_PAST:
        return seen.start <= window.end
    starts, ends = max(seen.start, window.start), min(seen.end, window.end)
    is_moment = seen.start == seen.end or window.start == window.end
    return starts < ends or (is_moment and starts == ends)


def _covers(evidence: Evidence, incident: TimeWindow) -> bool:
    """Say whether all of the incident was looked at; what carries no window looks at what is there."""
    seen = evidence.window
    return seen is None or (seen.contains(incident.start) and incident.end <= seen.end)


def _check_cause(claim: str, cause: RootCause, record: _Record) -> _Claim:
    checked = _check_citations(claim, cause.evidence, record)
    problems = []
    if not cause.evidence:
        problems.append("cites no evidence")
    cited = {c.evidence_id for c in checked.citations}
    is_named = record.name(cause.entity, cited)
    if cited and not is_named:
        problems.append(f"{cause.entity} is named in none of the evidence cited")
    if cause.change_id and cited and not record.name(cause.change_id, cited):
        problems.append(f"the change {cause.change_id} is in none of the evidence cited")
    if unread := record.unread((cause.statement, *cause.causal_chain), cited) if cited else []:
        problems.append(f"states {', '.join(unread)}, to be read in none of the evidence cited")
    if gap := record.ways.find_break(cause.entity, cause.causal_chain):
        problems.append(f"goes from {gap[0]} to {gap[1]}, between which no calls are known")
    failures = (*checked.failures, *(CheckFailure(claim=claim, problem=p) for p in problems))
    return _Claim(checked.citations, failures, holds=checked.holds and is_named)


def _check_citations(claim: str, citations: tuple[Citation, ...], record: _Record) -> _Claim:
    weighed = [record.weigh(c) for c in dict.fromkeys(citations)]
    problems = dict.fromkeys(w.problem for w in weighed if w.problem)
    return _Claim(
        citations=tuple(dict.fromkeys(w.kept for w in weighed if w.kept)),
        failures=tuple(CheckFailure(claim=claim, problem=p) for p in problems),
        holds=any(w.problem is None for w in weighed),
    )


def _check_sides(submission: Submission, record: _Record) -> tuple[Submission, tuple[CheckFailure, ...], bool]:
    """Check what stands beside the causes; return it cleaned, its failures, and whether any of it holds."""
    factors = [
        _check_citations(f"Contributing factor {n}", f.evidence, record)
        for n, f in enumerate(submission.contributing_factors, 1)
    ]
    ruled_out = [_check_citations(f"Ruled out {n}", r.evidence, record) for n, r in enumerate(submission.ruled_out, 1)]
    moments = [
        _check_citations(f"Timeline {t.at:%H:%M:%S}", (Citation(evidence_id=t.evidence_id),), record)
        if t.evidence_id
        else _Claim((), (), holds=False)
        for t in submission.timeline
    ]
    claims = [*factors, *ruled_out, *moments]
    kept = {
        "contributing_factors": _with_citations(submission.contributing_factors, factors),
        "ruled_out": _with_citations(submission.ruled_out, ruled_out),
        "timeline": tuple(
            t.model_copy(update={"evidence_id": t.evidence_id if m.citations else None})
            for t, m in zip(submission.timeline, moments, strict=True)
        ),
    }
    failures = tuple(f for claim in claims for f in claim.failures)
    return submission.model_copy(update=kept), failures, any(claim.holds for claim in claims)


def _unquoted(submission: Submission, causes: list[_Claim], record: _Record) -> tuple[CheckFailure, ...]:
    """Name a leading cause that calls itself confirmed, and shows no word that says so."""
    if submission.verdict is not ReportVerdict.CONFIRMED or not causes or causes[0].failures:
        return ()
    lead = submission.root_causes[0]
    if any(c.quote and record.weigh(c).problem is None for c in lead.evidence):
        return ()
    return (CheckFailure(claim=f"Root cause 1 ({lead.entity})", problem="quotes nothing of what it cites"),)


def _unread(submission: Submission, record: _Record) -> tuple[CheckFailure, ...]:
    """Name the figures of the summary that nothing says."""
    unread = record.unread((submission.summary, submission.impact))
    if not unread:
        return ()
    problem = f"states {', '.join(unread)}, to be read in no result of this investigation"
    return (CheckFailure(claim="Summary", problem=problem),)


def _sides(submission: Submission) -> list[Citation]:
    """Return the citations for what was ruled out or contributed; a timeline only says when."""
    ruled_out = [c for r in submission.ruled_out for c in r.evidence]
    return ruled_out + [c for f in submission.contributing_factors for c in f.evidence]


def _with_citations(blocks: tuple[_Cited, ...], claims: list[_Claim]) -> tuple[_Cited, ...]:
    return tuple(b.model_copy(update={"evidence": c.citations}) for b, c in zip(blocks, claims, strict=True))


def _contradictions(submission: Submission, *, holds: bool, is_calm: bool) -> tuple[CheckFailure, ...]:
    """Name what the verdict itself lacks or denies."""
    verdict, problems = submission.verdict, []
    if verdict in {ReportVerdict.CONFIRMED, ReportVerdict.LIKELY} and not submission.root_causes:
        problems.append("names no root cause")
    if verdict is ReportVerdict.NO_INCIDENT and submission.root_causes:
        problems.append("says that nothing was wrong, and names a root cause")
    if verdict is ReportVerdict.NO_INCIDENT and not is_calm:
        problems.append("cites no result that holds, covers the time of the incident and is not empty")
    if verdict is ReportVerdict.EXTERNAL and not holds:
        problems.append("rests on no evidence that holds")
    return tuple(CheckFailure(claim=f"Verdict {verdict}", problem=p) for p in problems)


def _lowered(claimed: ReportVerdict, causes: list[_Claim], *, side_failures: int) -> ReportVerdict:
    """Lower the verdict: by one for each failed claim of the leading cause, to the bottom where none holds.

    What fails beside the leading cause costs `confirmed`, and no more: the cause itself still stands.
    """
    lead, *others = causes or [_Claim((), (), holds=True)]
    down = len(lead.failures) if lead.holds else len(LADDER)
    if claimed is ReportVerdict.EXTERNAL and down:
        return ReportVerdict.INCONCLUSIVE
    if claimed not in LADDER:
        return claimed
    lowered = LADDER[min(LADDER.index(claimed) + down, len(LADDER) - 1)]
    is_flawed = side_failures or any(c.failures for c in others)
    return ReportVerdict.LIKELY if is_flawed and lowered is ReportVerdict.CONFIRMED else lowered


def _confidence(submission: Submission, verdict: ReportVerdict) -> Confidence:
    """Lower the confidence with the verdict: who was wrong in one claim is not sure of the rest."""
    if verdict is ReportVerdict.INCONCLUSIVE or submission.confidence is Confidence.LOW:
        return Confidence.LOW
    return Confidence.MEDIUM
