"""What breaks in a generated case: one fault at one place, as effects over time."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum


class FaultKind(StrEnum):
    CPU_SATURATION = "cpu_saturation"
    MEMORY_LEAK = "memory_leak"
    NETWORK_DELAY = "network_delay"
    BAD_DEPLOY = "bad_deploy"
    POOL_EXHAUSTION = "pool_exhaustion"


@dataclass(frozen=True)
class Effect:
    """How a node differs from its healthy self at one moment."""

    self_factor: float = 1.0
    error_share: float = 0.0
    egress_ms: float = 0.0
    cpu_percent: float = 0.0
    memory_share: float = 0.0
    """Share of the room between usual memory and the limit that the leak has taken."""
    restarts: bool = False
    pool_share: float = 0.0
    retransmits: float = 0.0


HEALTHY = Effect()
_RAMP_S = 60.0
_RESTART_S = 60.0


@dataclass(frozen=True)
class Fault:
    """One fault at one node from `onset_s` on (seconds after the case's first sample)."""

    kind: FaultKind
    culprit: str
    onset_s: float
    strength: float
    leak_s: float = 300.0
    """How long a leak takes to fill the memory, after which the process is killed and starts again."""

    def effect(self, name: str, at_s: float) -> Effect:
        """Return what the fault does to this node at this moment."""
        if name != self.culprit or at_s < self.onset_s:
            return HEALTHY
        ramp = min(1.0, (at_s - self.onset_s + 15.0) / _RAMP_S)
        return _EFFECTS[self.kind](self, at_s - self.onset_s, ramp)

    def stronger(self, factor: float) -> "Fault":
        return replace(self, strength=self.strength * factor)


def _saturated_cpu(fault: Fault, _since_s: float, ramp: float) -> Effect:
    return Effect(self_factor=1 + 4 * fault.strength * ramp, cpu_percent=60 * ramp, error_share=0.01 * ramp)


def _leaking_memory(fault: Fault, since_s: float, _ramp: float) -> Effect:
    """Garbage collection slows the process as memory runs out; each refill ends in a kill and errors."""
    filled = (since_s % fault.leak_s) / fault.leak_s
    restarts = since_s >= fault.leak_s and filled * fault.leak_s < _RESTART_S
    return Effect(
        self_factor=1 + 5 * fault.strength * filled**2,
        cpu_percent=15 * filled,
        memory_share=filled,
        restarts=restarts,
        error_share=min(0.9, 0.35 * fault.strength) if restarts else 0.0,
    )


def _delayed_network(fault: Fault, _since_s: float, ramp: float) -> Effect:
    return Effect(egress_ms=60 * fault.strength * ramp, retransmits=12 * ramp)


def _bad_deploy(fault: Fault, _since_s: float, ramp: float) -> Effect:
    return Effect(error_share=min(0.85, 0.2 * fault.strength) * ramp, self_factor=1 - 0.2 * ramp)


def _exhausted_pool(fault: Fault, _since_s: float, ramp: float) -> Effect:
    return Effect(
        self_factor=1 + 12 * fault.strength * ramp,
        pool_share=ramp,
        error_share=min(0.5, 0.05 * fault.strength) * ramp,
    )


_EFFECTS: dict[FaultKind, Callable[[Fault, float, float], Effect]] = {
    FaultKind.CPU_SATURATION: _saturated_cpu,
    FaultKind.MEMORY_LEAK: _leaking_memory,
    FaultKind.NETWORK_DELAY: _delayed_network,
    FaultKind.BAD_DEPLOY: _bad_deploy,
    FaultKind.POOL_EXHAUSTION: _exhausted_pool,
}
