"""How load, waiting and errors move through the generated shop, moment by moment."""

import math
from dataclasses import dataclass
from random import Random

from worker.evaluation.generator_faults import HEALTHY, Effect, Fault
from worker.evaluation.generator_shop import Edge, Node, Shop

_TIMEOUT_MS = 3000.0
"""No caller waits longer for one answer."""


@dataclass(frozen=True)
class NodeState:
    """One node at one moment, before any measuring noise."""

    rate_rps: float
    self_ms: float
    latency_ms: float
    """Of its own server: its work, its calls and their way."""
    error_share: float
    own_error_share: float
    effect: Effect


@dataclass(frozen=True)
class Moment:
    at_s: float
    states: dict[str, NodeState]


def simulate(shop: Shop, fault: Fault | None, *, length_s: int, step_s: int, rng: Random) -> list[Moment]:
    """Return the shop's true state at every step."""
    phase, drift, moments = rng.uniform(0, math.tau), 0.0, []
    for at_s in range(0, length_s, step_s):
        drift = 0.8 * drift + rng.gauss(0, 0.025)
        load = shop.rate_rps * (1 + shop.swing * math.sin(phase + math.tau * at_s / 86_400 * 8) + drift)
        moments.append(Moment(at_s, moment_states(shop, fault, at_s=at_s, load=load)))
    return moments


def moment_states(shop: Shop, fault: Fault | None, *, at_s: float, load: float) -> dict[str, NodeState]:
    """Work out every node: callees first for waiting and errors, callers first for the traffic."""
    effects = {n: fault.effect(n, at_s) if fault else HEALTHY for n in shop.nodes}
    states: dict[str, NodeState] = {}
    pressure = load / shop.rate_rps
    for name in reversed(shop.nodes):
        states[name] = _state(shop.nodes[name], shop.calls_of(name), states, effect=effects[name], pressure=pressure)
    rates = _rates(shop, states, load)
    return {n: _with_rate(states[n], rates[n]) for n in shop.nodes}


def _state(
    node: Node, calls: tuple[Edge, ...], states: dict[str, NodeState], *, effect: Effect, pressure: float
) -> NodeState:
    self_ms = node.self_ms * effect.self_factor * (0.7 + 0.3 * pressure)
    waiting = sum(e.calls * call_ms(e, states[e.callee], caller=effect) for e in calls)
    own = min(0.95, node.error_share + effect.error_share)
    survives = 1 - own
    for edge in calls:
        survives *= 1 - min(1.0, edge.calls) * _bubbling(edge, states[edge.callee])
    return NodeState(0.0, self_ms, self_ms + waiting, 1 - survives, own, effect)


def call_ms(edge: Edge, callee: NodeState, *, caller: Effect) -> float:
    """Return what the caller waits for one call: a delayed interface delays what leaves it, at either end."""
    return min(_TIMEOUT_MS, callee.latency_ms + edge.net_ms + callee.effect.egress_ms + caller.egress_ms)


def _bubbling(edge: Edge, callee: NodeState) -> float:
    """Return the share of calls that fail for the caller, after its retry and its fallback."""
    failed = callee.error_share**1.5 if edge.retries else callee.error_share
    return failed * (1 - edge.absorbed)


def _rates(shop: Shop, states: dict[str, NodeState], load: float) -> dict[str, float]:
    rates = dict.fromkeys(shop.nodes, 0.0)
    rates[shop.entry] = load
    rates[shop.batch] = 0.2
    for name in shop.nodes:
        for edge in shop.calls_of(name):
            again = 1 + (states[edge.callee].error_share if edge.retries else 0.0)
            rates[edge.callee] += rates[name] * edge.calls * again
    return rates


def _with_rate(state: NodeState, rate_rps: float) -> NodeState:
    return NodeState(rate_rps, state.self_ms, state.latency_ms, state.error_share, state.own_error_share, state.effect)
