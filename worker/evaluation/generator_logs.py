"""The generated shop's logs: chatter, its usual small failures, and what the fault makes it say."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from worker.evaluation.generator_faults import FaultKind
from worker.evaluation.generator_flow import Moment, call_ms
from worker.evaluation.generator_shop import Edge, Shop


@dataclass(frozen=True)
class Line:
    at_s: float
    entity: str
    level: str
    message: str


_CHATTER = (
    "request served status=200 took={ms}ms bytes={n}",
    "cache refreshed entries={n}",
    "health probe answered",
    "job {n} finished in {ms}ms",
)
_USUAL_TROUBLE = (
    ("warn", "client closed connection after {ms}ms"),
    ("warn", "slow request took={ms}ms"),
    ("error", "validation failed for field quantity request={n}"),
)
_FAULT_WORDS = {
    FaultKind.CPU_SATURATION: (("warn", "worker threads busy, {n} requests waiting"),),
    FaultKind.MEMORY_LEAK: (("warn", "gc pause {ms}ms, heap nearly full"),),
    FaultKind.NETWORK_DELAY: (("warn", "socket write stalled {ms}ms"),),
    FaultKind.BAD_DEPLOY: (
        ("error", "unhandled exception TypeError: cannot read field 'total' of null at handler line {n}"),
    ),
    FaultKind.POOL_EXHAUSTION: (("error", "remaining connection slots are reserved, rejecting session {n}"),),
}
_RESTART = (
    ("error", "process killed: out of memory (exit code 137)"),
    ("info", "starting, configuration loaded in {ms}ms"),
)


_CLEARLY_SLOWER = 1.5
_FAR_SLOWER = 4.0


def write_logs(shop: Shop, moments: list[Moment], *, kind: FaultKind | None, rng: Random) -> list[Line]:
    """Return a sampled log of all services; of stores only what is out of the ordinary."""
    lines: list[Line] = []
    step_s = moments[1].at_s - moments[0].at_s
    for moment in moments:
        pen = _Pen(moment, step_s=step_s, rng=rng)
        lines += _chatter(shop, pen)
        lines += _call_lines(shop, pen, usual=moments[0])
        lines += _fault_lines(pen, kind) if kind else ()
    return sorted(lines, key=lambda line: line.at_s)


class _Pen:
    """Writes the lines of one moment."""

    def __init__(self, moment: Moment, *, step_s: float, rng: Random) -> None:
        self.moment, self._step_s, self.rng = moment, step_s, rng

    def write(self, entity: str, words: tuple[str, str], *, mean: float) -> Iterator[Line]:
        """Yield the line (level and words) as often as a Poisson draw of this mean says."""
        limit, product = math.exp(-min(mean, 20.0)), self.rng.random()
        while product > limit:
            yield self._line(entity, words)
            product *= self.rng.random()

    def _line(self, entity: str, words: tuple[str, str]) -> Line:
        level, message = words
        message = message.replace("{ms}", str(self.rng.randint(3, 900)))
        message = message.replace("{n}", str(self.rng.randint(10, 9999)))
        return Line(self.moment.at_s + self.rng.uniform(0, self._step_s), entity, level, message)


def _chatter(shop: Shop, pen: _Pen) -> Iterator[Line]:
    for name in shop.served:
        if not shop.nodes[name].is_store:
            yield from pen.write(name, ("info", pen.rng.choice(_CHATTER)), mean=1.2)
            yield from pen.write(name, pen.rng.choice(_USUAL_TROUBLE), mean=0.08)


def _call_lines(shop: Shop, pen: _Pen, *, usual: Moment) -> Iterator[Line]:
    """Let callers complain of failed calls, and of answers that take far longer than usual."""
    for edge in shop.edges:
        callee = pen.moment.states[edge.callee]
        failed = ("error", f"call to {edge.callee} failed after {{ms}}ms")
        yield from pen.write(edge.caller, failed, mean=4 * callee.error_share * edge.calls)
        if _waiting_ms(edge, pen.moment) > _FAR_SLOWER * _waiting_ms(edge, usual):
            yield from pen.write(edge.caller, ("warn", f"slow answer from {edge.callee}: {{ms}}ms"), mean=0.8)


def _waiting_ms(edge: Edge, moment: Moment) -> float:
    return call_ms(edge, moment.states[edge.callee], caller=moment.states[edge.caller].effect)


def _fault_lines(pen: _Pen, kind: FaultKind) -> Iterator[Line]:
    """Let the broken node speak, about as loudly as it is broken."""
    for name, state in pen.moment.states.items():
        effect = state.effect
        suffers = (effect.self_factor > _CLEARLY_SLOWER) + (effect.egress_ms > 0)
        for words in _FAULT_WORDS[kind]:
            yield from pen.write(name, words, mean=4 * effect.error_share + 0.15 * suffers)
        for words in _RESTART if effect.restarts else ():
            yield from pen.write(name, words, mean=1.5)
