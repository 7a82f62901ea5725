"""A lead's answer: the rows behind all findings ranked together, and findings that show no rows taken at their word."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from worker.domain.orchestration import Strength, Suspect
from worker.domain.report import Category, Gap, RootCause, Submission
from worker.investigation.offline.alarms import Alarm
from worker.investigation.offline.natures import nature_of
from worker.investigation.offline.observations import Observations, observe
from worker.investigation.offline.plan import EXPECTED_TOOLS, KINDS, find_places
from worker.investigation.offline.ranking import Ranking, rank
from worker.investigation.offline.reading import Record
from worker.investigation.offline.rereading import as_if_asked
from worker.investigation.offline.told import Told
from worker.investigation.offline.writing import write_submission

_WEIGHTS = {Strength.STRONG: 0.9, Strength.MODERATE: 0.6, Strength.WEAK: 0.3, Strength.INCONCLUSIVE: 0.0}
"""How much a finding of each strength weighs by its word alone; several of one entity add up."""


@dataclass(frozen=True)
class Synthesis:
    """All that the findings show; `believed` are suspects of findings of which no row can be seen, by entity."""

    told: tuple[Told, ...]
    record: Record
    seen: Observations
    ranking: Ranking
    believed: dict[str, Suspect]

    def find_unmeasured(self) -> list[str]:
        """Return who is blamed, or called by who is, and was not looked at closer: before that nobody is to blame."""
        measured = {r.arguments.get("entity") for r in self.record.of("rank_metric_changes")}
        return [entity for entity in find_places(self.record, self.seen, self.ranking) if entity not in measured]


def synthesize(record: Record, told: tuple[Told, ...]) -> Synthesis:
    """Rank what all findings show together."""
    known = as_if_asked(record, told)
    visible = {r.evidence_id for r in known.results}
    words = [t for t in told if not any(c.evidence_id in visible for c in t.citations)]
    alarms = tuple(_alarms(words))
    seen = observe(known)
    names = seen.entities | {a.entity for a in alarms if a.entity}
    seen = replace(seen, alarms=(*seen.alarms, *alarms), entities=names)
    believed = {s.entity: s for t in reversed(words) if t.finding for s in reversed(t.finding.suspects)}
    return Synthesis(told, known, seen, rank(seen, known.incident), believed)


def _alarms(words: Iterable[Told]) -> Iterable[Alarm]:
    for finding in (t.finding for t in words if t.finding):
        for suspect in finding.suspects:
            source = next(iter((*suspect.evidence, *finding.evidence)), None)
            if source is not None:
                yield Alarm(
                    entity=suspect.entity,
                    words=suspect.statement,
                    nature=nature_of(f"{suspect.category} {suspect.statement}"),
                    weight=_WEIGHTS[finding.strength],
                    is_external=suspect.category is Category.EXTERNAL_PROVIDER,
                    evidence_id=source.evidence_id,
                    quote=source.quote or "",
                )


def write_report(synthesis: Synthesis) -> Submission:
    """Write the report by the rules of the single analyst."""
    submission = write_submission(synthesis.record, synthesis.seen, synthesis.ranking)
    causes = tuple(_as_told(cause, synthesis.believed.get(cause.entity)) for cause in submission.root_causes)
    return submission.model_copy(update={"root_causes": causes, "gaps": _gaps(synthesis)})


def _as_told(cause: RootCause, suspect: Suspect | None) -> RootCause:
    """Keep of a suspect that is believed what ranking does not know: what kind of cause, and which change."""
    if suspect is None:
        return cause
    evidence = tuple(dict.fromkeys((*cause.evidence, *suspect.evidence)))
    change_id = cause.change_id or suspect.change_id
    return cause.model_copy(update={"category": suspect.category, "change_id": change_id, "evidence": evidence})


def _gaps(synthesis: Synthesis) -> tuple[Gap, ...]:
    """Name who handed in nothing of its own, and what there is no source for."""
    absent = [tool for tool in EXPECTED_TOOLS if KINDS[tool] not in synthesis.record.sources]
    return (
        *(Gap(wanted=f"{t.role}: {t.purpose}", reason=t.not_done) for t in synthesis.told if t.not_done),
        *(Gap(wanted=f"What {t} would show", reason="There is no such source for this incident.") for t in absent),
    )
