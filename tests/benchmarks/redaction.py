"""How fast secrets are found: logs of 50 MB of several kinds, and the import it takes.

Run with `python -m tests.benchmarks.redaction`; it takes about a minute.
"""

import random
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence

from tests.unit.guardrails.secret_lines import TANGLES, Values
from worker.ops.redaction import Redactor

SIZE_MB = 50
TANGLE_CHARS = 200_000
HEX = "0123456789abcdef"
IMPORTS = "import time; t = time.process_time(); import worker.ops.redaction as r; r.Redactor(key=b'k').scrub('a=b')\n"
IMPORTS += "print(time.process_time() - t)"


def lines(chosen: random.Random) -> dict[str, Sequence[Callable[[], str]]]:
    """Return what makes the lines of each kind of log."""

    def some(count: int) -> str:
        return "".join(chosen.choices(HEX, k=count))

    def of_service() -> str:
        return (
            f"2026-03-01T12:00:{chosen.randint(10, 59)}Z INFO checkout-{some(10)}-x2x9z path=/api/v1/orders status=200"
        )

    def of_json() -> str:
        return f'{{"ts":"2026-03-01T12:00:00Z","level":"info","msg":"GET /cart","trace_id":"{some(32)}"}}'

    def of_access() -> str:
        return f'10.0.3.{chosen.randint(1, 255)} - - [01/Mar/2026:12:00:00 +0000] "GET /healthz HTTP/1.1" 200 2 "-"'

    def of_cluster() -> str:
        return f'I0301 12:00:00.1 1 reflector.go:255] Listing *v1.Secret key="shop/old-{some(5)}" tokens={some(2)}'

    def of_leaks() -> str:
        return f"connect failed password={some(16)} url=postgres://app:{some(12)}@db:5432/shop token ghp_{some(36)}"

    usual = (of_service, of_json, of_access)
    return {"no names of secrets": usual, "every fourth with one": (*usual, of_cluster), "secrets in all": (of_leaks,)}


def log_of(makers: Sequence[Callable[[], str]], chosen: random.Random) -> str:
    part = "".join(f"{chosen.choice(makers)()}\n" for _ in range(20_000))
    return part * (SIZE_MB * 1_000_000 // len(part))


def cost_of(text: str, redactor: Redactor) -> float:
    """Return seconds of processor."""
    started = time.process_time()
    redactor.scrub(text)
    return time.process_time() - started


def main() -> None:
    redactor, chosen = Redactor([Values(1).of(40) for _ in range(12)], key=b"k"), random.Random(7)  # noqa: S311
    for name, makers in lines(chosen).items():
        text = log_of(makers, chosen)
        print(f"{name}: {len(text) / 1e6 / cost_of(text, redactor):.1f} MB/s of {len(text) / 1e6:.0f} MB")
    costs = {tangle: cost_of((tangle * TANGLE_CHARS)[:TANGLE_CHARS], redactor) for tangle in TANGLES}
    worst = max(costs, key=lambda tangle: costs[tangle])
    print(f"the worst of {len(costs)} tangles: {TANGLE_CHARS / 1e6 / costs[worst]:.2f} MB/s, {worst!r} repeated")
    text, stream = log_of(makers, chosen), redactor.stream()
    tracemalloc.start()
    for at in range(0, 4_000_000, 65_536):
        stream.feed(text[at : at + 65_536])
    print(f"most memory of a stream: {tracemalloc.get_traced_memory()[1] / 1e6:.1f} MB")
    run = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True)
    print(f"import and first search: {float(run.stdout):.2f} s of processor")


if __name__ == "__main__":
    main()
