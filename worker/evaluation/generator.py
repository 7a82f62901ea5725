"""Cases of our own making, with known truth: an invented shop, one fault in it or none, and an alert."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random
from statistics import median, pstdev

from worker.domain.incident import IncidentEvent, Severity
from worker.evaluation.generator_changes import draw_changes
from worker.evaluation.generator_faults import Fault, FaultKind
from worker.evaluation.generator_files import CaseWriter
from worker.evaluation.generator_flow import moment_states, simulate
from worker.evaluation.generator_logs import write_logs
from worker.evaluation.generator_shop import Shop, build_shop
from worker.evaluation.generator_signals import Sample, measure
from worker.evaluation.generator_traces import sample_traces

__all__ = ["FaultKind", "Truth", "generate_case"]

_BEFORE_S = 3600
_AFTER_S = 1200
_ABSENT_SHARE = 0.25
"""Of cases whose logs, and of cases whose traces, nobody kept."""
_EPOCH = datetime(2026, 1, 5, tzinfo=UTC)
_STORE_FAULTS = {FaultKind.POOL_EXHAUSTION}
_TRACED_PER_S = 1 / 30
"""Traces kept per second: about a hundred and sixty a case, enough for medians per edge."""
_USUAL_REACH = {"latency": 1.4, "errors": 0.03}
"""What the entry must suffer for its alert to fire: its mean latency times this, or this share of errors more."""


@dataclass(frozen=True)
class Truth:
    """What is wrong in a generated case; without a fault `culprit`, `kind` and `onset` are None."""

    verdict: str
    """`root_cause` or `no_incident`."""
    culprit: str | None
    kind: FaultKind | None
    onset: datetime | None


def generate_case(folder: Path, *, seed: int, kind: FaultKind | None) -> Truth:
    """Write one case into `folder`; `kind=None`: a false alarm.

    The same seed and kind make the same case; the same seed makes the same shop, so that a false alarm is the
    healthy twin of the faults.
    """
    shop, rng = build_shop(_random(f"{seed}")), _random(f"{seed}/{kind}")
    step_s = rng.choice((30, 60))
    onset_s = _BEFORE_S + rng.uniform(-300, 300)
    fault = _draw_fault(shop, kind, onset_s=onset_s, rng=rng) if kind else None
    moments = simulate(shop, fault, length_s=int(onset_s + _AFTER_S), step_s=step_s, rng=rng)
    samples = measure(shop, moments, step_s=step_s, rng=rng)
    origin = _EPOCH + timedelta(seconds=rng.randrange(180 * 86_400))
    writer = CaseWriter(folder, origin)
    writer.write_metrics(samples)
    if rng.random() > _ABSENT_SHARE:
        writer.write_logs(write_logs(shop, moments, kind=kind, rng=rng))
    if rng.random() > _ABSENT_SHARE:
        writer.write_traces(sample_traces(shop, moments, per_moment=math.ceil(step_s * _TRACED_PER_S), rng=rng))
    writer.write_changes(draw_changes(shop, fault, onset_s=onset_s, rng=rng))
    writer.write_topology(shop)
    writer.write_json("incident.json", _event(shop, samples, onset_s=onset_s, origin=origin))
    return _truth(fault, origin)


def _random(seed: str) -> Random:
    return Random(seed)  # noqa: S311 - telemetry is made up, nothing here is secret


def _draw_fault(shop: Shop, kind: FaultKind, *, onset_s: float, rng: Random) -> Fault:
    """Place the fault, and make it as strong as it must be for users to notice."""
    wanted = kind in _STORE_FAULTS
    places = [n for n in shop.served if n != shop.entry and shop.nodes[n].is_store == wanted]
    fault = Fault(kind, rng.choice(places), onset_s, rng.uniform(0.8, 1.5), leak_s=rng.uniform(240, 480))
    while not _is_felt(shop, fault) and fault.strength < 200:  # noqa: PLR2004 - errors are capped: louder is no use
        fault = fault.stronger(1.3)
    return fault


def _is_felt(shop: Shop, fault: Fault) -> bool:
    healthy = moment_states(shop, None, at_s=0, load=shop.rate_rps)[shop.entry]
    at_worst = fault.onset_s + 0.9 * fault.leak_s
    broken = moment_states(shop, fault, at_s=at_worst, load=shop.rate_rps)[shop.entry]
    is_slow = broken.latency_ms > _USUAL_REACH["latency"] * healthy.latency_ms
    return is_slow or broken.error_share > healthy.error_share + _USUAL_REACH["errors"]


def _event(shop: Shop, samples: list[Sample], *, onset_s: float, origin: datetime) -> dict[str, object]:
    """Return the alert: of the entry's two symptoms the one that stands out more after the onset."""
    names = shop.metrics
    peaks = {m: _peak(samples, shop.entry, m, after_s=onset_s) for m in (names.latency_p99, names.errors)}
    metric = max(peaks, key=lambda m: peaks[m].height)
    started_at = origin + timedelta(seconds=peaks[metric].at_s + 15)
    event = IncidentEvent(
        title=f"{shop.entry}: {metric} above its threshold",
        source="alertmanager",
        severity=Severity.HIGH,
        service=shop.entry,
        started_at=started_at,
        description=f"The alert on {metric} of {shop.entry} fired: {peaks[metric].value:.4g} observed.",
        labels={"metric": metric},
    )
    return event.model_dump(mode="json", exclude_unset=True)


@dataclass(frozen=True)
class _Peak:
    at_s: float
    value: float
    height: float
    """In standard deviations of the time before."""


def _peak(samples: list[Sample], entity: str, metric: str, *, after_s: float) -> _Peak:
    """Return the second of the first two samples in a row beyond the alert's threshold, or else the largest."""
    own = [s for s in samples if s.entity == entity and s.metric == metric]
    before = [s.value for s in own if s.at_s < after_s]
    after = [s for s in own if s.at_s >= after_s]
    usual, spread = median(before), pstdev(before)
    height = (max(s.value for s in after) - usual) / spread
    pairs = [later for earlier, later in pairwise(after) if min(earlier.value, later.value) > usual + 2 * spread]
    fires = pairs or [max(after, key=lambda s: s.value)]
    return _Peak(fires[0].at_s, fires[0].value, height)


def _truth(fault: Fault | None, origin: datetime) -> Truth:
    if fault is None:
        return Truth("no_incident", None, None, None)
    return Truth("root_cause", fault.culprit, fault.kind, origin + timedelta(seconds=fault.onset_s))
