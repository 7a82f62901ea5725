"""What a sub-agent looks at and hands in: the same plan and ranking, with its own tools alone."""

import re
from dataclasses import replace

from worker.domain.conversation import ModelRequest, UserMessage
from worker.domain.orchestration import MAX_CITED, Finding, Strength, Suspect
from worker.domain.report import Citation, RootCause
from worker.domain.states import ReportVerdict
from worker.investigation.emptiness import is_empty
from worker.investigation.offline.alarms import is_built_in
from worker.investigation.offline.observations import Observations
from worker.investigation.offline.plan import EXPECTED_TOOLS, KINDS
from worker.investigation.offline.ranking import Ranking
from worker.investigation.offline.reading import Record
from worker.investigation.offline.verdicts import decide
from worker.investigation.offline.writing import name_causes, rule_out

_MAX_SUSPECTS = 3
_CLEAR = 0.25
"""What a warning or a passing extreme weighs that is twice as far from usual as counts at all."""
_FOCUS = re.compile(r"^Look first at: (?P<names>.+)$", re.MULTILINE)
_BOUNDARY = re.compile(r"^Leave to others: (?P<names>.+)$", re.MULTILINE)
_STRENGTHS = {
    ReportVerdict.CONFIRMED: Strength.STRONG,
    ReportVerdict.LIKELY: Strength.MODERATE,
    ReportVerdict.EXTERNAL: Strength.MODERATE,
    ReportVerdict.NO_INCIDENT: Strength.MODERATE,
}


def within_task(record: Record, request: ModelRequest) -> Record:
    """Look where the task says, and leave out the tools of kinds of source that it leaves to others."""
    said = "\n".join(m.text for m in request.messages if isinstance(m, UserMessage))
    left = _listed(_BOUNDARY, said)
    offered = {name: schema for name, schema in record.offered.items() if KINDS.get(name) not in left}
    return replace(record, offered=offered, focus=_listed(_FOCUS, said))


def _listed(line: re.Pattern[str], text: str) -> tuple[str, ...]:
    """Return the names a line lists; of what is no list of names nothing."""
    found = line.search(text)
    return tuple(name for name in found["names"].split(", ") if " " not in name) if found else ()


def write_finding(record: Record, seen: Observations, ranking: Ranking) -> Finding:
    """Write down what the results of this agent carry by themselves."""
    verdict = _verdict(record, seen, ranking)
    causes = name_causes(record, seen, ranking, verdict=verdict)[:_MAX_SUSPECTS]
    weakest = Strength.WEAK if causes else Strength.INCONCLUSIVE
    return Finding(
        summary=_summary(causes, verdict),
        strength=_STRENGTHS.get(verdict, weakest),
        evidence=_cited(record),
        suspects=tuple(_suspect(cause) for cause in causes),
        ruled_out=rule_out(record, seen, ranking, verdict=verdict),
        follow_ups=tuple(f"What do other kinds of signal show at {cause.entity}?" for cause in causes),
    )


def _verdict(record: Record, seen: Observations, ranking: Ranking) -> ReportVerdict:
    """Judge as for a report, but keep what is clear by itself: alone it is no incident, beside others' it may be."""
    verdict = decide(ranking, seen, record.incident)
    is_clear = any(s.strength >= _CLEAR for h in ranking.hypotheses for s in h.signals if not s.change)
    return ReportVerdict.INCONCLUSIVE if is_clear and verdict is ReportVerdict.NO_INCIDENT else verdict


def _summary(causes: tuple[RootCause, ...], verdict: ReportVerdict) -> str:
    if causes:
        return causes[0].statement
    if verdict is ReportVerdict.NO_INCIDENT:
        return "Nothing that was looked at left its usual range."
    return "What could be looked at points to nobody."


def _suspect(cause: RootCause) -> Suspect:
    kept = {name: getattr(cause, name) for name in ("entity", "category", "statement", "change_id", "evidence")}
    return Suspect(**kept)


def _cited(record: Record) -> tuple[Citation, ...]:
    """Name what was ranked or told as a state: the lead may look at it again."""
    telling = (r for r in record.results if r.tool in EXPECTED_TOOLS or not is_built_in(r.tool))
    ids = dict.fromkeys(r.evidence_id for r in telling if not r.is_error and not is_empty(r.text))
    return tuple(Citation(evidence_id=i) for i in list(ids)[:MAX_CITED])
