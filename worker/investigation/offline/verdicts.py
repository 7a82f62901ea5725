"""What may be claimed: a cause, an origin outside, nothing wrong, or that it cannot be told."""

from collections import defaultdict
from datetime import timedelta
from itertools import pairwise

from worker.domain.states import ReportVerdict
from worker.investigation.offline.calm import find_calm
from worker.investigation.offline.guilt import guilty_change
from worker.investigation.offline.observations import MetricMove, Observations
from worker.investigation.offline.ranking import STANDS_OUT, Hypothesis, Ranking
from worker.investigation.offline.reading import Incident
from worker.investigation.offline.signals import beyond_noise

_LEAD = 1.3
"""How far ahead of the next a clear cause is."""
_AGREEING = 3
"""Independent kinds of observation that must agree before a cause is called confirmed."""
_SURGE = 0.7
_TOGETHER = timedelta(minutes=2)
"""Two samples of common scrape intervals: what one trouble does in two places shows within that."""
_ALARMING = 0.6
"""One severe state says that something is wrong, or two mild ones at the same place."""


def decide(ranking: Ranking, seen: Observations, incident: Incident) -> ReportVerdict:
    """Return the verdict that the observations carry."""
    if not _deviates(ranking, seen):
        return ReportVerdict.NO_INCIDENT if find_calm(seen, ranking) else ReportVerdict.INCONCLUSIVE
    outside = find_outside(ranking, seen)
    if outside and (_is_surge(outside) or not _has_guilty_change(ranking, seen, incident)):
        return ReportVerdict.EXTERNAL
    if not ranking.hypotheses or ranking.hypotheses[0].score < STANDS_OUT:
        return ReportVerdict.INCONCLUSIVE
    best, *others = ranking.hypotheses
    leads = not others or best.score >= _LEAD * others[0].score
    return ReportVerdict.CONFIRMED if leads and len(best.families) >= _AGREEING else ReportVerdict.LIKELY


def find_outside(ranking: Ranking, seen: Observations) -> Hypothesis | None:
    """Return a suspect whose trouble comes from outside: a provider by its own status, or the door of a surge.

    What no caller of ours passes on to the first entity of a chain, its users do.
    """
    strong = [h for h in ranking.hypotheses if h.score >= STANDS_OUT]
    called = {callee for _, callee in seen.edges}
    doors = [h for h in strong[:1] if h.entity not in called and seen.edges and _is_surge(h)]
    return next((h for h in strong if "external" in h.families), None) or next(iter(doors), None)


def _is_surge(hypothesis: Hypothesis) -> bool:
    """Say whether load at least doubled there (the signal's strength is capped by its growth)."""
    return any(s.family == "load" and s.strength >= _SURGE for s in hypothesis.signals)


def _has_guilty_change(ranking: Ranking, seen: Observations, incident: Incident) -> bool:
    inside = [h for h in ranking.hypotheses if "external" not in h.families]
    return bool(inside) and guilty_change(inside[0], seen, incident) is not None


def _deviates(ranking: Ranking, seen: Observations) -> bool:
    """Say whether something is wrong at all: symptoms that last or coincide, a rush of errors, or alarming states."""
    has_symptoms = any(m.is_lasting for m in ranking.symptoms) or _coincide(ranking.symptoms)
    has_errors = any(m.is_severe and beyond_noise(m.score) for m in seen.logs)
    return has_symptoms or has_errors or _is_alarming(seen)


def _coincide(symptoms: tuple[MetricMove, ...]) -> bool:
    """Say whether two passing extremes came together; one alone is to be expected among so many series."""
    moments = sorted(m.onset for m in symptoms if m.onset)
    return any(later - earlier <= _TOGETHER for earlier, later in pairwise(moments))


def _is_alarming(seen: Observations) -> bool:
    calm: dict[str, float] = defaultdict(lambda: 1.0)
    for entity, _, weight in sorted({(a.entity or "", a.words, a.weight) for a in seen.alarms}):
        calm[entity] *= 1 - weight
    return any(1 - c >= _ALARMING for c in calm.values())
