"""Which entity explains the incident: its lines of evidence added up, suspects compared, a verdict drawn."""

from dataclasses import dataclass
from datetime import datetime

from worker.investigation.offline.chains import UNCONNECTED, felt_shares, reachable
from worker.investigation.offline.natures import Nature
from worker.investigation.offline.observations import EDGE_ARROW, MetricMove, Observations
from worker.investigation.offline.reading import Incident
from worker.investigation.offline.signals import Signal, collect_signals, strength_of

WEIGHTS = {
    "latency": 1.0,
    "wire": 1.0,
    "errors": 1.0,
    "spans": 1.0,
    "alarm": 0.9,
    "external": 0.9,
    "resource": 0.7,
    "logs": 0.6,
    "change": 0.4,
    "load": 0.3,
}
"""What is measured where users wait counts in full; a resource, a word or a coincidence in time only supports it."""

_UNFELT = 0.3
"""Of the weight of support where nothing at the entity itself makes anybody wait or fail."""
_FELT = frozenset({"latency", "wire", "errors", "spans", "alarm", "external"})
STANDS_OUT = 0.35
"""The least sum of evidence to name a cause: one strong line, or two that agree."""
COUNTS = 0.1
"""A line of evidence weaker than this is not worth a word."""


@dataclass(frozen=True)
class Hypothesis:
    entity: str
    score: float
    signals: tuple[Signal, ...]
    """The strongest first."""

    @property
    def families(self) -> frozenset[str]:
        return frozenset(s.family for s in self.signals if s.strength >= COUNTS)

    @property
    def onset(self) -> datetime | None:
        return min((s.onset for s in self.signals if s.onset and s.strength >= COUNTS and not s.change), default=None)


@dataclass(frozen=True)
class Ranking:
    hypotheses: tuple[Hypothesis, ...]
    symptoms: tuple[MetricMove, ...]
    """What users feel, the worst first; empty where everything lies within its normal range."""
    felt: tuple[MetricMove, ...]
    """All of what users would feel, whether it moved or not."""


def rank(seen: Observations, incident: Incident) -> Ranking:
    """Weigh everything observed so far."""
    alerting = incident.event.service
    signals = collect_signals(seen, alerting=alerting, started_at=incident.started_at)
    hypotheses = _weigh(signals, _shares(seen, alerting))
    reached = reachable(seen.edges, alerting) if alerting else seen.entities
    felt = _felt(seen, reached=reached, incident=incident)
    return Ranking(hypotheses, _symptoms(felt), felt)


def _shares(seen: Observations, alerting: str | None) -> dict[str, float]:
    """Return how much of each entity's trouble can have reached the alert; without a topology all of it."""
    if alerting is None or not any(caller == alerting for caller, _ in seen.edges):
        return dict.fromkeys(seen.entities, 1.0)
    felt = [m for m in seen.metrics if m.nature.is_symptom]
    moved = {m.entity for m in felt if strength_of(m) and (m.worsening > 0 or not m.is_lasting)}
    return felt_shares(seen.edges, alerting, unmoved={m.entity for m in felt} - moved)


def _weigh(signals: list[Signal], shares: dict[str, float]) -> tuple[Hypothesis, ...]:
    by_entity: dict[str, list[Signal]] = {}
    for signal in signals:
        if signal.strength > 0 and EDGE_ARROW not in signal.entity:
            by_entity.setdefault(signal.entity, []).append(signal)
    found = [_hypothesis(e, own, share=_share(e, own, shares)) for e, own in by_entity.items()]
    return tuple(sorted(found, key=lambda h: (-h.score, h.entity)))


def _share(entity: str, signals: list[Signal], shares: dict[str, float]) -> float:
    """Return how far the entity's evidence counts; no topology of ours can know what lies outside."""
    is_outside = any(s.family == "external" for s in signals)
    return 1.0 if is_outside else shares.get(entity, UNCONNECTED)


def _hypothesis(entity: str, signals: list[Signal], *, share: float) -> Hypothesis:
    """Add up the families of evidence; within one family several observations say the same more surely."""
    families: dict[str, float] = {}
    for signal in signals:
        doubt = 1 - families.get(signal.family, 0.0)
        families[signal.family] = 1 - doubt * (1 - signal.strength)
    felt = sum(WEIGHTS[f] * s for f, s in families.items() if f in _FELT)
    support = sum(WEIGHTS[f] * s for f, s in families.items() if f not in _FELT)
    score = felt + support * (_UNFELT + (1 - _UNFELT) * min(1.0, felt / STANDS_OUT))
    ordered = tuple(sorted(signals, key=lambda s: (-WEIGHTS[s.family] * s.strength, s.why)))
    return Hypothesis(entity, share * score, ordered)


def _felt(seen: Observations, *, reached: frozenset[str], incident: Incident) -> tuple[MetricMove, ...]:
    """Return what users would feel: latency and errors on the alert's way, and whatever the alert itself names."""
    return tuple(
        m
        for m in seen.metrics
        if (m.nature.is_symptom or m.metric.lower() in incident.words) and (m.entity in reached or len(reached) <= 1)
    )


def _symptoms(felt: tuple[MetricMove, ...]) -> tuple[MetricMove, ...]:
    """Return what got worse of it."""
    moves = [m for m in felt if (m.worsening > 0 or not m.is_lasting) and strength_of(m) > 0]
    return tuple(sorted(moves, key=lambda m: -m.score))


def category_nature(hypothesis: Hypothesis) -> Nature:
    """Return the nature of its resource if one ran hot, else of its strongest line of evidence."""
    hot = [s for s in hypothesis.signals if s.nature.is_resource and s.strength >= COUNTS]
    return (hot or list(hypothesis.signals))[0].nature
