"""The report in words: what was found, where it stands written, what is still open."""

from collections.abc import Iterator
from itertools import pairwise

from worker.domain.report import (
    Category,
    Citation,
    Confidence,
    Gap,
    RootCause,
    RuledOut,
    Submission,
    TimelineEntry,
)
from worker.domain.states import ReportVerdict
from worker.investigation.offline.alarms import is_built_in
from worker.investigation.offline.calm import find_calm
from worker.investigation.offline.chains import path_up
from worker.investigation.offline.guilt import guilty_change
from worker.investigation.offline.natures import Nature
from worker.investigation.offline.observations import ChangeSeen, Observations, Source
from worker.investigation.offline.plan import EXPECTED_TOOLS
from worker.investigation.offline.ranking import Hypothesis, Ranking, category_nature
from worker.investigation.offline.reading import Record
from worker.investigation.offline.signals import Signal, strength_of
from worker.investigation.offline.suggesting import suggest
from worker.investigation.offline.verdicts import decide, find_outside

_MAX_CAUSES = 5
_MAX_CITATIONS = 6
_MAX_REASONS = 3
_MAX_TIMELINE = 20
_MAX_RULED_OUT = 6
_LEAST_SHARE = 0.1
"""Of the leading cause's score: what lies below is not worth a line."""
_CATEGORIES = {
    Nature.CPU: Category.RESOURCE_CPU,
    Nature.MEMORY: Category.RESOURCE_MEMORY,
    Nature.RESTARTS: Category.RESOURCE_MEMORY,
    Nature.DISK: Category.RESOURCE_DISK,
    Nature.POOL: Category.RESOURCE_POOL,
    Nature.NETWORK: Category.NETWORK,
    Nature.LATENCY: Category.LATENCY,
    Nature.ERRORS: Category.ERRORS,
    Nature.TRAFFIC: Category.TRAFFIC,
    Nature.OTHER: Category.ERRORS,
}
_CHANGE_CATEGORIES = {
    "commit": Category.CODE_CHANGE,
    "deploy": Category.DEPLOYMENT,
    "flag": Category.CONFIG_CHANGE,
    "config": Category.CONFIG_CHANGE,
}
_CONFIDENCE = {
    ReportVerdict.CONFIRMED: Confidence.HIGH,
    ReportVerdict.LIKELY: Confidence.MEDIUM,
    ReportVerdict.EXTERNAL: Confidence.MEDIUM,
    ReportVerdict.NO_INCIDENT: Confidence.MEDIUM,
    ReportVerdict.INCONCLUSIVE: Confidence.LOW,
}


def write_submission(record: Record, seen: Observations, ranking: Ranking) -> Submission:
    """Write the report from what is known."""
    verdict = decide(ranking, seen, record.incident)
    causes = name_causes(record, seen, ranking, verdict=verdict)
    return Submission(
        verdict=verdict,
        confidence=_CONFIDENCE[verdict],
        summary=_summary(record, verdict, causes),
        root_causes=causes,
        timeline=_timeline(record, seen, ranking),
        impact=_impact(ranking),
        ruled_out=rule_out(record, seen, ranking, verdict=verdict),
        gaps=_gaps(record),
        suggestions=suggest(causes[0]) if causes else (),
    )


def name_causes(
    record: Record, seen: Observations, ranking: Ranking, *, verdict: ReportVerdict
) -> tuple[RootCause, ...]:
    """Return the suspects worth a line; what lies outside leads where the verdict says so."""
    outside = find_outside(ranking, seen) if verdict is ReportVerdict.EXTERNAL else None
    ordered = [*([outside] if outside else []), *(h for h in ranking.hypotheses if h is not outside)]
    if verdict is ReportVerdict.NO_INCIDENT or not ordered:
        return ()
    worth = [h for h in ordered if h.score >= _LEAST_SHARE * ordered[0].score][:_MAX_CAUSES]
    return tuple(_cause(h, record, seen, is_external=outside is not None) for h in worth)


def _cause(hypothesis: Hypothesis, record: Record, seen: Observations, *, is_external: bool) -> RootCause:
    change = None if is_external else guilty_change(hypothesis, seen, record.incident)
    stated = [*_stated(hypothesis), *hypothesis.signals]
    sources = [s.source for s in stated] + ([change.source] if change else [])
    return RootCause(
        entity=hypothesis.entity[:300],
        category=Category.EXTERNAL_PROVIDER if "external" in hypothesis.families else _category(hypothesis, change),
        statement=_statement(hypothesis, change),
        causal_chain=_chain(hypothesis, record, seen),
        change_id=change.id if change else None,
        evidence=_citations(sources, last=change.source if change else None),
    )


def _category(hypothesis: Hypothesis, change: ChangeSeen | None) -> Category:
    nature = category_nature(hypothesis)
    if change and not nature.is_resource:
        return _CHANGE_CATEGORIES.get(change.kind.lower(), Category.OTHER)
    return _CATEGORIES[nature]


def _statement(hypothesis: Hypothesis, change: ChangeSeen | None) -> str:
    reasons = [s.why for s in _stated(hypothesis)]
    blame = f" A {change.kind} came shortly before or fits in its words: {change.title!r}." if change else ""
    return f"{hypothesis.entity}: {'; '.join(reasons) or hypothesis.signals[0].why}.{blame}"[:4000]


def _stated(hypothesis: Hypothesis) -> list[Signal]:
    """Return the signals that the statement tells of: what is stated is cited."""
    first: dict[str, Signal] = {}
    for signal in hypothesis.signals:
        if not signal.change:
            first.setdefault(signal.why, signal)
    return list(first.values())[:_MAX_REASONS]


def _chain(hypothesis: Hypothesis, record: Record, seen: Observations) -> tuple[str, ...]:
    """Tell how it reached the alert, caller by caller."""
    path = path_up(hypothesis.entity, record.incident.event.service, seen.edges)
    hops = [f"{caller} calls {callee} and waits or fails with it" for callee, caller in pairwise(path)]
    origin = f"It begins at {hypothesis.entity}: {hypothesis.signals[0].why}"[:1000]
    return (origin, *hops[:18])


def _citations(sources: list[Source], *, last: Source | None) -> tuple[Citation, ...]:
    """Cite the strongest sources; the change is always among them."""
    chosen = list(dict.fromkeys(sources))[:_MAX_CITATIONS]
    if last and last not in chosen:
        chosen = [*chosen[: _MAX_CITATIONS - 1], last]
    return tuple(s.cite() for s in chosen)


def _summary(record: Record, verdict: ReportVerdict, causes: tuple[RootCause, ...]) -> str:
    alerting = record.incident.event.service or "the alerting entity"
    if verdict is ReportVerdict.NO_INCIDENT:
        return f"Nothing that users of {alerting} feel left its normal range; the alert does not point to an incident."
    if not causes:
        return f"There is too little to go by: no observation around {alerting} points to a cause."
    best = causes[0]
    origin = "The origin lies outside this system" if verdict is ReportVerdict.EXTERNAL else "The likeliest cause"
    if verdict is ReportVerdict.INCONCLUSIVE:
        return f"Nothing stands out as the cause. First candidate: {best.statement}"[:4000]
    return f"{origin}: {best.statement} It was felt at {alerting}."[:4000]


def _impact(ranking: Ranking) -> str:
    felt = [
        f"{m.entity} {m.metric}: {m.usual:.4g} to {m.now:.4g}" for m in ranking.symptoms if _has_figures(m.usual, m.now)
    ]
    return "; ".join(felt[:5])


def _has_figures(*values: float | None) -> bool:
    return all(v is not None for v in values)


def _timeline(record: Record, seen: Observations, ranking: Ranking) -> tuple[TimelineEntry, ...]:
    suspects = [h.entity for h in ranking.hypotheses[:_MAX_CAUSES]]
    alert = TimelineEntry(at=record.incident.started_at, text=f"The alert fired: {record.incident.event.title}")
    entries = [alert, *_change_entries(seen, suspects), *_onset_entries(seen, suspects)]
    return tuple(sorted(entries, key=lambda e: e.at)[-_MAX_TIMELINE:])


def _change_entries(seen: Observations, suspects: list[str]) -> Iterator[TimelineEntry]:
    for change in seen.changes:
        if change.at and (change.entity is None or change.entity in suspects):
            text = f"{change.kind} of {change.entity or 'no named entity'}: {change.title}"[:4000]
            yield TimelineEntry(at=change.at, text=text, evidence_id=change.source.evidence_id)


def _onset_entries(seen: Observations, suspects: list[str]) -> Iterator[TimelineEntry]:
    """Tell since when each suspect's most telling series is not what it was."""
    told = set()
    for move in sorted(seen.metrics, key=lambda m: -m.score):
        if move.onset and strength_of(move) and move.entity in suspects and move.entity not in told:
            told.add(move.entity)
            text = f"{move.metric} of {move.entity} departs from its usual range"
            yield TimelineEntry(at=move.onset, text=text, evidence_id=move.source.evidence_id)


def rule_out(record: Record, seen: Observations, ranking: Ranking, *, verdict: ReportVerdict) -> tuple[RuledOut, ...]:
    """Name what shows that nothing is wrong where that is the verdict, and changes near the onset without effect."""
    is_calm = verdict is ReportVerdict.NO_INCIDENT
    blamed = set() if is_calm else {h.entity for h in ranking.hypotheses[:1]}
    started_at = record.incident.started_at
    innocent = [(abs(c.at - started_at), c) for c in seen.changes if c.entity and c.entity not in blamed and c.at]
    nearest = [c for _, c in sorted(innocent, key=lambda pair: pair[0])][:_MAX_RULED_OUT]
    calm = find_calm(seen, ranking) if is_calm else ()
    return (*calm, *(_innocent(c, is_calm=is_calm) for c in nearest))


def _innocent(change: ChangeSeen, *, is_calm: bool) -> RuledOut:
    elsewhere = f"Nothing measured at {change.entity} explains the alert as well as what was found elsewhere."
    return RuledOut(
        hypothesis=f"The {change.kind} {change.title!r} of {change.entity} caused it",
        reason="There is nothing wrong that it could have caused." if is_calm else elsewhere,
        evidence=(change.source.cite(),),
    )


def _gaps(record: Record) -> tuple[Gap, ...]:
    """Name what could not be asked, and what was asked and failed."""
    asked = {r.tool for r in record.results}
    missing = [t for t in EXPECTED_TOOLS if t not in asked and t not in record.offered]
    gaps = [Gap(wanted=f"What {t} would show", reason="There is no such source for this incident.") for t in missing]
    for result in record.results:
        if result.is_error:
            reason = result.text.strip()[:500] or "The call failed."
            gaps.append(Gap(wanted=f"The answer of {result.tool} to {result.arguments}"[:500], reason=reason))
    half_read = dict.fromkeys(r.tool for r in record.results if r.is_shortened and not is_built_in(r.tool))
    gaps += [Gap(wanted=f"All of the answer of {t}", reason="It was too long to be read whole.") for t in half_read]
    not_asked = [t for t in record.offered if not is_built_in(t) and t not in asked]
    gaps += [
        Gap(wanted=f"The answer of {t}", reason="It needs arguments this analyst cannot choose.") for t in not_asked
    ]
    return tuple(gaps[:50])
