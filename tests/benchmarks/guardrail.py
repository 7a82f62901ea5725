"""What a decision of the guardrail costs, and whether any of a million inputs breaks it or holds it up.

    python -m tests.benchmarks.guardrail [--inputs 1000000] [--seed 1]

Times are of the thread's processor, so that a busy machine does not count as a slow guardrail; nor does the garbage
collector, which now and then walks all of the program in the middle of a decision: an input that seems slow is decided
again, and the least of three counts.
"""

import argparse
import random
import statistics
import time
from collections import Counter
from pathlib import Path

from tests.unit.guardrails.disguises import TANGLES, TRAPS, sprung
from tests.unit.guardrails.mutations import mutated
from worker.guardrails.pipeline import decide
from worker.guardrails.policy import Policy
from worker.guardrails.source import MAX_BYTES

EVERYDAY = Path(__file__).parents[1] / "unit" / "guardrails" / "everyday.txt"
LIMIT_S = 0.05
ROUNDS = 20


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--inputs", type=int, default=1_000_000)
    options.add_argument("--seed", type=int, default=1)
    chosen = options.parse_args()
    commands = [line for line in EVERYDAY.read_text().split("\n") if line and not line.startswith("#")]
    _print_cost(commands)
    _print_tangles()
    raise SystemExit(_fuzz(commands, inputs=chosen.inputs, seed=chosen.seed))


def _print_cost(commands: list[str]) -> None:
    policy = Policy()
    times = sorted(cost for _ in range(ROUNDS) for cost in (_cost(command, policy) for command in commands))
    median, p99 = statistics.median(times), times[int(0.99 * len(times))]
    print(f"{len(commands)} everyday commands x {ROUNDS}: median {median * 1e3:.3f} ms, p99 {p99 * 1e3:.3f} ms")


def _print_tangles() -> None:
    policy = Policy()
    tangles = [("", tangle, "") for tangle in TANGLES]
    sizes = (500, MAX_BYTES)
    costs = {trap: max(_cost(sprung(*trap, size=n), policy) for n in sizes) for trap in (*tangles, *TRAPS)}
    worst = max(costs, key=lambda trap: costs[trap])
    print(f"{len(costs)} tangles of up to {MAX_BYTES} bytes: worst {costs[worst] * 1e3:.1f} ms, {worst[1]!r} repeated")


def _fuzz(commands: list[str], *, inputs: int, seed: int) -> int:
    """Return 1 if any input took too long; a crash ends the program and shows the input."""
    chance, policy = random.Random(seed), Policy()  # noqa: S311 -- a repeatable benchmark
    buckets: Counter[int] = Counter()
    worst, slow = (0.0, ""), []
    for _ in range(inputs):
        command = mutated(chance, commands)
        try:
            cost = _cost(command, policy)
            if cost > LIMIT_S:
                cost = min(cost, _cost(command, policy), _cost(command, policy))
        except Exception as error:
            error.add_note(repr(command))
            raise
        buckets[int(cost * 1e4)] += 1
        worst = max(worst, (cost, command))
        slow += [command] if cost > LIMIT_S else []
    print(
        f"{inputs} inputs, seed {seed}: crashes 0, over {LIMIT_S * 1e3:g} ms {len(slow)}, worst {worst[0] * 1e3:.1f} ms"
    )
    print("  " + ", ".join(f"p{p:g} <= {_quantile(buckets, p / 100):.1f} ms" for p in (50, 99, 99.9)))
    for command in slow[:5]:
        print(f"  slow: {command[:300]!r}")
    return 1 if slow else 0


def _cost(command: str, policy: Policy) -> float:
    started = time.thread_time()
    decide(command, policy=policy)
    return time.thread_time() - started


def _quantile(buckets: Counter[int], share: float) -> float:
    """Return milliseconds below which a share of the inputs stayed."""
    wanted, seen = share * buckets.total(), 0
    for tenth in sorted(buckets):
        seen += buckets[tenth]
        if seen >= wanted:
            return (tenth + 1) / 10
    return 0.0


if __name__ == "__main__":
    main()
