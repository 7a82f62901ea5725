"""The generated shop's metrics: its true state seen through a monitoring system, noise and gaps included."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

from worker.evaluation.generator_flow import Moment, NodeState, call_ms
from worker.evaluation.generator_shop import Edge, Node, Shop

_LOST_SHARE = 0.01
"""Scrapes that fail."""
_SPIKE_SHARE = 0.002
"""Samples that jump for no reason anybody finds."""


@dataclass(frozen=True)
class Sample:
    at_s: float
    entity: str
    metric: str
    value: float


def measure(shop: Shop, moments: list[Moment], *, step_s: int, rng: Random) -> list[Sample]:
    """Return every metric at every moment.

    The batch job and one service run hot at times that have nothing to do with the fault, and harm nobody.
    """
    burst, idle_heat = _draw_burst(moments, rng), _draw_burst(moments, rng)
    bystander = rng.choice(shop.served)
    samples: list[Sample] = []
    for moment in moments:
        for name in shop.served:
            is_hot = name == bystander and idle_heat(moment.at_s)
            node = (
                replace(shop.nodes[name], cpu_percent=1.8 * shop.nodes[name].cpu_percent)
                if is_hot
                else shop.nodes[name]
            )
            samples += _node_samples(shop, node, moment, step_s=step_s, rng=rng)
        if shop.has_edge_metrics:
            samples += (_edge_sample(shop, e, moment, rng=rng) for e in shop.edges)
        samples += _batch_samples(shop, moment, is_busy=burst(moment.at_s), rng=rng)
    return [s for s in samples if rng.random() > _LOST_SHARE]


def _node_samples(shop: Shop, node: Node, moment: Moment, *, step_s: int, rng: Random) -> Iterator[Sample]:
    state, names = moment.states[node.name], shop.metrics
    p50 = 0.8 * state.latency_ms * _noise(rng, 0.06)
    p99 = max(p50, 2.4 * state.latency_ms * _noise(rng, 0.16))
    values = {
        names.latency_p50: p50 * names.latency_scale,
        names.latency_p99: p99 * names.latency_scale,
        names.rate: state.rate_rps * _noise(rng, 0.03),
        names.errors: 100 * _observed_share(state.error_share, state.rate_rps * step_s, rng),
        names.cpu: _cpu_percent(node, state, shop=shop, rng=rng),
        names.memory: _memory_mib(node, state, moment.at_s) * _noise(rng, 0.01),
        "network_retransmits_per_s": max(0.0, rng.gauss(0.6, 0.3) + state.effect.retransmits * _noise(rng, 0.3)),
        "network_transmit_bytes": 1800 * state.rate_rps * _noise(rng, 0.05),
    }
    values |= _own_kind_values(node, state, rng)
    return (Sample(moment.at_s, node.name, metric, value) for metric, value in values.items())


def _own_kind_values(node: Node, state: NodeState, rng: Random) -> dict[str, float]:
    """Return what only stores or only services have."""
    if not node.is_store:
        return {"restarts_count": 1.0 if state.effect.restarts else 0.0}
    usual = 0.3 * node.pool_size * _noise(rng, 0.12)
    used = min(node.pool_size, round(usual + state.effect.pool_share * (node.pool_size - usual)))
    return {
        "connections_active_count": float(used),
        "connection_wait_p99_ms": (1.5 + 400 * state.effect.pool_share**2) * _noise(rng, 0.3),
        "disk_write_iops": 120 * _noise(rng, 0.25),
    }


def _cpu_percent(node: Node, state: NodeState, *, shop: Shop, rng: Random) -> float:
    load = state.rate_rps / max(1e-6, _usual_rate(shop, node.name))
    return min(100.0, (node.cpu_percent * (0.4 + 0.6 * load) + state.effect.cpu_percent) * _noise(rng, 0.08))


def _usual_rate(shop: Shop, name: str) -> float:
    if name == shop.entry:
        return shop.rate_rps
    return sum(_usual_rate(shop, e.caller) * e.calls for e in shop.callers_of(name))


def _memory_mib(node: Node, state: NodeState, at_s: float) -> float:
    """Return memory with the slow saw-tooth of a collector, and what a leak has taken on top."""
    sawtooth = 0.04 * ((at_s / 900 + len(node.name) / 7) % 1)
    usual = node.memory_mib * (1 + sawtooth)
    return usual + state.effect.memory_share * (node.memory_limit_mib - usual)


def _edge_sample(shop: Shop, edge: Edge, moment: Moment, *, rng: Random) -> Sample:
    waited = call_ms(edge, moment.states[edge.callee], caller=moment.states[edge.caller].effect)
    value = 0.8 * waited * _noise(rng, 0.08) * shop.metrics.latency_scale
    return Sample(moment.at_s, f"{edge.caller}->{edge.callee}", shop.metrics.edge_latency, value)


def _draw_burst(moments: list[Moment], rng: Random) -> "_Burst":
    """Draw when something innocent is busy: often just when something else goes wrong, without any part in it."""
    length_s = moments[-1].at_s
    start_s = rng.uniform(0.3, 0.95) * length_s
    return _Burst(start_s, start_s + rng.uniform(120, 900))


@dataclass(frozen=True)
class _Burst:
    start_s: float
    end_s: float

    def __call__(self, at_s: float) -> bool:
        return self.start_s <= at_s < self.end_s


def _batch_samples(shop: Shop, moment: Moment, *, is_busy: bool, rng: Random) -> Iterator[Sample]:
    cpu = rng.gauss(80, 5) if is_busy else rng.gauss(3, 1)
    values = {shop.metrics.cpu: max(0.0, cpu), "queue_depth_count": max(0.0, rng.gauss(40 if is_busy else 4, 3))}
    return (Sample(moment.at_s, shop.batch, metric, value) for metric, value in values.items())


def _observed_share(share: float, requests: float, rng: Random) -> float:
    """Return a share as counted over this many requests (the normal limit of the binomial)."""
    spread = math.sqrt(share * (1 - share) / max(1.0, requests))
    return min(1.0, max(0.0, rng.gauss(share, spread)))


def _noise(rng: Random, sigma: float) -> float:
    spike = rng.uniform(1.5, 3) if rng.random() < _SPIKE_SHARE else 1.0
    return math.exp(rng.gauss(0, sigma)) * spike
