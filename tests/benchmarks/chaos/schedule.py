"""What is broken when: a schedule that a seed fixes, whatever the run then makes of it."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class FaultKind(StrEnum):
    WORKER_KILL = "worker_kill"
    BRIDGE_KILL = "bridge_kill"
    DEPLOY = "deploy"
    FREEZE = "freeze"
    STALL = "stall"
    REDIS_KILL = "redis_kill"
    REDIS_FLUSH = "redis_flush"
    POSTGRES_RESTART = "postgres_restart"
    POOL_FULL = "pool_full"
    NETWORK_PAUSE = "network_pause"


COUNTS = {
    FaultKind.WORKER_KILL: 30,
    FaultKind.BRIDGE_KILL: 4,
    FaultKind.DEPLOY: 4,
    FaultKind.FREEZE: 4,
    FaultKind.STALL: 3,
    FaultKind.REDIS_KILL: 6,
    FaultKind.REDIS_FLUSH: 2,
    FaultKind.POSTGRES_RESTART: 3,
    FaultKind.POOL_FULL: 2,
    FaultKind.NETWORK_PAUSE: 3,
}

_LASTS_S = {
    FaultKind.STALL: (3.0, 3.0),
    FaultKind.REDIS_KILL: (2.0, 10.0),
    FaultKind.POSTGRES_RESTART: (0.5, 4.0),
    FaultKind.POOL_FULL: (3.0, 7.0),
}
_BEYOND_LEASE_S = {FaultKind.FREEZE: (0.7, 3.5), FaultKind.NETWORK_PAUSE: (0.7, 3.0)}
"""What these last beyond a lease, so that another worker has taken over when they end."""


@dataclass(frozen=True)
class Fault:
    """One thing to break: so many seconds into the run, for so long; `target` is a number to choose a process by."""

    at_s: float
    kind: FaultKind
    target: int
    lasts_s: float


def plan(seed: int, counts: Mapping[FaultKind, int], *, span_s: float, lease_s: float) -> list[Fault]:
    """Spread the faults over the span, one a slot, in an order and at moments that only the seed decides."""
    rng = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
    kinds = [kind for kind in FaultKind for _ in range(counts.get(kind, 0))]
    rng.shuffle(kinds)
    slot_s = span_s / max(len(kinds), 1)
    return [
        Fault(round((i + rng.random()) * slot_s, 3), kind, rng.randrange(1000), _lasts_s(rng, kind, lease_s))
        for i, kind in enumerate(kinds)
    ]


def _lasts_s(rng: random.Random, kind: FaultKind, lease_s: float) -> float:
    if kind in _BEYOND_LEASE_S:
        return round(lease_s + rng.uniform(*_BEYOND_LEASE_S[kind]), 3)
    return round(rng.uniform(*_LASTS_S.get(kind, (0.0, 0.0))), 3)
