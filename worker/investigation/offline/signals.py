"""Lines of evidence against an entity: each weighs one kind of observation after taking off what others explain.

Three rules of propagation do the explaining: waiting and errors travel from callees up to callers, load travels from
callers down to callees, and resources stay where they are. What remains at an entity after its neighbours' share is
its own. A deviation counts from 3.5 robust standard deviations on (Iglewicz and Hoaglin, 1993).
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from worker.investigation.offline.natures import Nature, statistic_rank, to_ms
from worker.investigation.offline.observations import (
    EDGE_ARROW,
    ChangeSeen,
    MetricMove,
    Observations,
    Source,
    SpanMove,
)

THRESHOLD = 3.5
_PEAK_SHARE = 0.5
"""A passing extreme counts half of a level that moved."""
_NETWORK_TROUBLE = 0.3
"""From this strength on an interface's own metrics speak for trouble on its wire."""
_CHANGE_HALF_LIFE = timedelta(minutes=30)
_CHANGE_SLACK = timedelta(minutes=2)
"""Clocks differ and onsets are read from samples: so much later a change may still be the cause."""
_ERROR_LEVELS = frozenset({"error", "err", "fatal", "critical", "crit", "panic", "warn", "warning"})
_WARNING_SHARE = 0.5
_MOSTLY, _PARTLY = 0.6, 0.3


@dataclass(frozen=True)
class Signal:
    """One line of evidence, from 0 to 1. `family` tells independent kinds of observation apart."""

    family: str
    entity: str
    nature: Nature
    strength: float
    why: str
    source: Source
    onset: datetime | None = None
    change: ChangeSeen | None = None


def beyond_noise(score: float) -> float:
    """Return the part of a deviation that lies beyond the threshold: 0 at 3.5, a half at 7."""
    return max(0.0, 1 - THRESHOLD / score) if score > 0 else 0.0


def strength_of(move: MetricMove) -> float:
    return beyond_noise(move.score) * (1.0 if move.is_lasting else _PEAK_SHARE)


def collect_signals(seen: Observations, *, alerting: str | None, started_at: datetime) -> list[Signal]:
    """Return every line of evidence against every entity."""
    return [
        *_handed_to_network([*_lost_time(seen, alerting), *_own_spans(seen)], seen),
        *_wire_time(seen, alerting),
        *_own_errors(seen, alerting),
        *_resources(seen),
        *_load(seen),
        *_span_errors(seen),
        *_log_words(seen),
        *_alarms(seen),
        *_near_changes(seen, started_at),
    ]


def _middle(moves: Iterable[MetricMove]) -> dict[str, MetricMove]:
    """Return one series per entity: the one nearest the middle of its distribution among those that deviate."""
    chosen: dict[str, MetricMove] = {}
    for move in sorted(moves, key=lambda m: (statistic_rank(m.metric), -m.score)):
        chosen.setdefault(move.entity, move)
    return chosen


def _lost_time(seen: Observations, alerting: str | None) -> Iterator[Signal]:
    """Find where the milliseconds are lost that the alert's users wait: what callees cost is theirs."""
    moves = [m for m in seen.metrics if m.nature is Nature.LATENCY and m.worsening > 0]
    own, calls = _middle(m for m in moves if not m.is_edge), _calls_per_request(seen, alerting)
    lost = {e: _ms(m) * calls.get(e, 1.0) for e, m in own.items()}
    total = lost.get(alerting or "", 0.0) or max(lost.values(), default=0.0)
    edges = {
        e: _ms(m) * calls.get(e.partition(EDGE_ARROW)[2], 1.0)
        for e, m in _middle(m for m in moves if m.is_edge).items()
    }
    for entity, move in own.items():
        waited = sum(_waited(entity, c, lost, edges) for a, c in seen.edges if a == entity)
        share = min(1.0, max(0.0, lost[entity] - waited) / total) if total > 0 else 0.0
        why = f"{move.metric} rose from {_figure(move.usual)} to {_figure(move.now)}, {_own(share)}"
        yield Signal("latency", entity, Nature.LATENCY, strength_of(move) * share, why, move.source, move.onset)


def _handed_to_network(signals: Iterable[Signal], seen: Observations) -> Iterator[Signal]:
    """Hand a caller's own waiting to a callee whose network is in trouble: servers do not see the time on the wire."""
    hot = [s for s in _resources(seen) if s.nature is Nature.NETWORK]
    trouble = {s.entity: s.strength for s in sorted(hot, key=lambda s: s.strength)}
    for signal in signals:
        callees = [c for a, c in seen.edges if a == signal.entity and trouble.get(c, 0.0) >= _NETWORK_TROUBLE]
        if not callees or trouble.get(signal.entity, 0.0) >= _NETWORK_TROUBLE:
            yield signal
            continue
        blamed = max(sorted(callees), key=lambda c: trouble[c])
        why = f"{signal.entity} waits longer than its callees work, and the network of {blamed} is in trouble"
        passed = signal.strength * trouble[blamed]
        yield replace(signal, strength=signal.strength - passed)
        yield Signal("wire", blamed, Nature.NETWORK, passed, why, signal.source, signal.onset)


def _calls_per_request(seen: Observations, alerting: str | None) -> dict[str, float]:
    """Return how often each entity works for one request of the alerting one, by metrics of the same name.

    What is rarely called can cost users little, however slow it is. An entity that calls do not reach more than
    once or whose load was not measured counts as called once.
    """
    rates = {(m.entity, m.metric): m.now for m in seen.metrics if m.nature is Nature.TRAFFIC and not m.is_edge}
    of_alert = {metric: now for (entity, metric), now in rates.items() if entity == alerting and now}
    return {
        entity: min(1.0, (now or 0.0) / of_alert[metric])
        for (entity, metric), now in rates.items()
        if metric in of_alert
    }


def _waited(caller: str, callee: str, lost: dict[str, float], edges: dict[str, float]) -> float:
    return max(lost.get(callee, 0.0), edges.get(f"{caller}{EDGE_ARROW}{callee}", 0.0))


def _ms(move: MetricMove) -> float:
    return max(0.0, move.worsening) * to_ms(move.metric)


def _wire_time(seen: Observations, alerting: str | None) -> Iterator[Signal]:
    """Find the entity whose calls are slow on their way, at whichever end: the one most of whose edges are."""
    moves = [m for m in seen.metrics if m.nature is Nature.LATENCY]
    own = {e: _ms(m) for e, m in _middle(m for m in moves if not m.is_edge).items()}
    slow = {e: m for e, m in _middle(m for m in moves if m.is_edge).items() if strength_of(m) and m.worsening > 0}
    wire = {e: max(0.0, _ms(m) - own.get(e.partition(EDGE_ARROW)[2], 0.0)) for e, m in slow.items()}
    total = own.get(alerting or "", 0.0) or max(wire.values(), default=0.0)
    for entity in {end for e in slow for end in e.split(EDGE_ARROW)}:
        around = [f"{a}{EDGE_ARROW}{b}" for a, b in seen.edges if entity in {a, b}]
        losses = {e: wire.get(e, 0.0) for e in around}
        worst = max(losses, key=lambda e: losses[e], default=None)
        if worst is None or losses[worst] <= 0 or total <= 0:
            continue
        is_lossy = [loss > losses[worst] / 3 for loss in losses.values()]
        share = sum(is_lossy) / len(is_lossy) * min(1.0, sum(losses.values()) / total)
        move = slow[worst]
        why = f"{sum(is_lossy)} of {len(is_lossy)} of its calls lose time on their way, most {worst}"
        yield Signal("wire", entity, Nature.NETWORK, strength_of(move) * share, why, move.source, move.onset)


def _own_errors(seen: Observations, alerting: str | None) -> Iterator[Signal]:
    """Find where errors begin: those of a callee that bubble up are not the caller's."""
    moves = _middle(m for m in seen.metrics if m.nature is Nature.ERRORS and m.worsening > 0 and not m.is_edge)
    calls = _calls_per_request(seen, alerting)
    rates = {e: _size(m) * calls.get(e, 1.0) for e, m in moves.items()}
    total = rates.get(alerting or "", 0.0) or max(rates.values(), default=0.0)
    for entity, move in moves.items():
        bubbled = sum(rates.get(c, 0.0) for a, c in seen.edges if a == entity)
        share = min(1.0, max(0.0, rates[entity] - bubbled) / total) if total > 0 else 0.0
        why = f"{move.metric} went from {_figure(move.usual)} to {_figure(move.now)}, {_own(share)}"
        yield Signal("errors", entity, Nature.ERRORS, strength_of(move) * share, why, move.source, move.onset)


def _size(move: MetricMove) -> float:
    """Return how much worse it became; of a passing extreme, the extreme."""
    if move.is_lasting or move.peak is None:
        return max(0.0, move.worsening)
    return abs(move.peak - (move.usual or 0.0))


def _resources(seen: Observations) -> Iterator[Signal]:
    """Weigh resources that ran hot, as far as more load does not explain it."""
    growth = {m.entity: _ratio(m) for m in seen.metrics if m.nature is Nature.TRAFFIC}
    for move in seen.metrics:
        grew = _ratio(move)
        if not move.nature.is_resource or (move.worsening <= 0 and move.is_lasting):
            continue
        by_load = min(1.0, max(0.0, growth.get(move.entity, 1.0) - 1) / (grew - 1)) if grew > 1 else 0.0
        why = f"{move.metric} went from {_figure(move.usual)} to {_figure(move.now)} (peak {_figure(move.peak)})"
        strength = strength_of(move) * (1 - by_load) * min(1.0, max(0.0, grew - 1) if move.usual else 1.0)
        yield Signal("resource", move.entity, move.nature, strength, why, move.source, move.onset)


def _ratio(move: MetricMove) -> float:
    """Return now over usual, by the peak where only that stands out."""
    now = move.now if move.is_lasting else move.peak
    return (now or 0.0) / move.usual if move.usual else 1.0


def _load(seen: Observations) -> Iterator[Signal]:
    """Find where more load begins: what a caller passes on is not the callee's."""
    moves = _middle(m for m in seen.metrics if m.nature is Nature.TRAFFIC and not m.is_edge)
    extra = {e: max(0.0, _ratio(m) - 1) for e, m in moves.items()}
    for entity, move in moves.items():
        passed_on = max((extra.get(a, 0.0) for a, c in seen.edges if c == entity), default=0.0)
        own = max(0.0, extra[entity] - passed_on)
        why = f"{move.metric} grew from {_figure(move.usual)} to {_figure(move.now)}"
        yield Signal("load", entity, Nature.TRAFFIC, strength_of(move) * min(1.0, own), why, move.source, move.onset)


def _own_spans(seen: Observations) -> Iterator[Signal]:
    """Find where requests spend more time by themselves than they used to."""
    lost = {s: max(0.0, s.self_ms - s.usual_self_ms) * s.calls for s in seen.spans}
    total = sum(lost.values())
    by_entity: dict[str, list[SpanMove]] = {}
    for span in seen.spans:
        by_entity.setdefault(span.entity, []).append(span)
    for entity, spans in by_entity.items():
        worst = max(spans, key=lambda s: lost[s])
        growth = math.expm1(max(worst.score, 0.0)) if worst.score < math.log(1e6) else 1e6
        share = sum(lost[s] for s in spans) / total if total > 0 else 0.0
        why = f"own time in {worst.operation} rose from {worst.usual_self_ms:g} to {worst.self_ms:g} ms"
        yield Signal("spans", entity, Nature.LATENCY, growth / (growth + 1) * share, why, worst.source)


def _span_errors(seen: Observations) -> Iterator[Signal]:
    """Find where failing requests begin."""
    rises: dict[str, float] = {}
    worst: dict[str, SpanMove] = {}
    for span in seen.spans:
        rise = span.error_share - span.usual_error_share
        if rise > rises.get(span.entity, 0.0) and rise / _share_spread(span) > THRESHOLD:
            rises[span.entity], worst[span.entity] = rise, span
    most = max(rises.values(), default=0.0)
    for entity, rise in rises.items():
        bubbled = max((rises.get(c, 0.0) for a, c in seen.edges if a == entity), default=0.0)
        span = worst[entity]
        why = f"{span.error_share:.0%} of its {span.operation} fail, {span.usual_error_share:.0%} before"
        yield Signal("errors", entity, Nature.ERRORS, max(0.0, rise - bubbled) / most, why, span.source)


def _share_spread(span: SpanMove) -> float:
    """Return the standard deviation of a share of errors, of so many calls; never 0."""
    calls = max(span.calls, 1)
    return math.sqrt(max(span.error_share * (1 - span.error_share), 0.25 / calls) / calls)


def _log_words(seen: Observations) -> Iterator[Signal]:
    """Weigh complaints that came more often; who names another entity complains of that one."""
    for move in seen.logs:
        if move.score <= 0 or move.level not in _ERROR_LEVELS or not move.entity:
            continue
        blamed = _named(move.example, seen.entities, but=move.entity)
        strength = beyond_noise(move.score) * (_WARNING_SHARE if blamed or move.level.startswith("warn") else 1.0)
        voice = "callers log" if blamed else "logs"
        why = f"{voice} {move.example!r} {move.count:g} times, {move.usual_count:.3g} expected"
        yield Signal("logs", blamed or move.entity, Nature.OTHER, strength, why, move.source, move.first_seen)


def _named(text: str, names: frozenset[str], *, but: str) -> str | None:
    found = [n for n in names if n != but and n.lower() in text.lower()]
    return max(found, key=len) if found else None


def _alarms(seen: Observations) -> Iterator[Signal]:
    for alarm in seen.alarms:
        if alarm.entity:
            source = Source(alarm.evidence_id, alarm.quote)
            family = "external" if alarm.is_external else "alarm"
            yield Signal(family, alarm.entity, alarm.nature, alarm.weight, alarm.words, source)


def _near_changes(seen: Observations, started_at: datetime) -> Iterator[Signal]:
    """Weigh changes by how shortly before the trouble they came: half as much every half hour."""
    onsets = [m.onset for m in seen.metrics if m.onset and strength_of(m) and m.nature.is_symptom]
    onset = min([started_at, *onsets])
    for change in seen.changes:
        if not change.entity or change.at is None or change.at > onset + _CHANGE_SLACK:
            continue
        age = max(timedelta(0), onset - change.at)
        strength = 0.5 ** (age / _CHANGE_HALF_LIFE)
        minutes = age.total_seconds() / 60
        why = f"{change.kind} {change.title!r} at {change.at:%H:%M:%S}, {minutes:.0f} min before the onset"
        yield Signal("change", change.entity, Nature.OTHER, strength, why, change.source, change.at, change)


def _own(share: float) -> str:
    """Say in words how much of a change is an entity's own: a share that we computed stands in no result."""
    return "mostly its own" if share >= _MOSTLY else "partly its own" if share >= _PARTLY else "little of it its own"


def _figure(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.4g}"
