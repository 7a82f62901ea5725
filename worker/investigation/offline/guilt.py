"""Which change may have caused it: near in time, at the suspect, and in words that meet those of the trouble."""

import math
import re
from collections import Counter
from datetime import datetime, timedelta

from worker.investigation.offline.observations import ChangeSeen, Observations
from worker.investigation.offline.ranking import Hypothesis
from worker.investigation.offline.reading import Incident
from worker.investigation.offline.signals import strength_of

_SLACK = timedelta(minutes=2)
_HALF_LIFE = timedelta(hours=6)
"""A change of this morning may bite at noon; yesterday's rarely does."""
_WORD = re.compile(r"[a-z][a-z0-9]{2,}")
_LEAST_GUILT = 0.8
_WORDY = 0.6
"""How much of the guilt words can make up: alone, they never reach the least."""


def guilty_change(hypothesis: Hypothesis, seen: Observations, incident: Incident) -> ChangeSeen | None:
    """Return the change that fits the suspect best; None where none fits well enough."""
    latest = (hypothesis.onset or incident.started_at) + _SLACK
    possible = [c for c in seen.changes if c.at and c.at <= max(latest, incident.started_at)]
    if not possible:
        return None
    weights = _word_weights(possible)
    trouble = _trouble_words(hypothesis, seen, incident)
    guilt = {c: _guilt(c, hypothesis, trouble=trouble, weights=weights, onset=latest) for c in possible}
    best = max(possible, key=lambda c: guilt[c])
    return best if guilt[best] >= _LEAST_GUILT else None


def _guilt(
    change: ChangeSeen, hypothesis: Hypothesis, *, trouble: frozenset[str], weights: dict[str, float], onset: datetime
) -> float:
    age = max(timedelta(0), onset - change.at) if change.at else timedelta(days=1)
    recency = math.exp2(-(age / _HALF_LIFE))
    place = 1.0 if change.entity == hypothesis.entity else 0.5 if _mentions(change, hypothesis.entity) else 0.0
    met = sum(weights[w] for w in _words(f"{change.title} {change.diff}") & trouble)
    said = _WORDY * (1 - math.exp(-met / 4))
    # A commit says what changed; its deploy only carried it.
    specific = 0.05 if change.kind == "commit" else 0.0
    return 0.5 * recency + 0.5 * place + said + specific


def _mentions(change: ChangeSeen, entity: str) -> bool:
    return entity.lower() in f"{change.title} {change.diff}".lower()


def _trouble_words(hypothesis: Hypothesis, seen: Observations, incident: Incident) -> frozenset[str]:
    """Return the words of what went wrong: the alert's, the anomalous metrics', the new log lines'."""
    metrics = [m.metric for m in seen.metrics if strength_of(m)]
    logs = [m.pattern for m in seen.logs if m.score > 0]
    alarms = [s.why for s in hypothesis.signals if s.family == "alarm"]
    return _words(" ".join([incident.words, *metrics, *logs, *alarms]))


def _word_weights(changes: list[ChangeSeen]) -> dict[str, float]:
    """Weigh a word by how few of the changes use it."""
    counts: Counter[str] = Counter()
    for change in changes:
        counts.update(_words(f"{change.title} {change.diff}"))
    return {w: math.log((1 + len(changes)) / n) for w, n in counts.items()}


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).lower().replace("_", " ")))
