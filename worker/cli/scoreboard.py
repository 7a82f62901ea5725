"""What an evaluation came to, for reading: how good the reports are, and what they took; modes side by side."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import TypeVar

from worker.domain.report import UsageLine
from worker.evaluation.scoring import Outcome, SetScore

COLUMNS = (
    "ac_at_1",
    "ac_at_3",
    "avg_at_5",
    "specificity",
    "no_incident_on_incidents",
    "commit_accuracy",
    "verdict_accuracy",
)
HEADINGS = ("AC@1", "AC@3", "Avg@5", "specificity", "false no_incident", "commit", "verdict")


Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class Replayed:
    """One case and what came of it; `seconds` from its admission to its end, or from its arrival without a report."""

    name: str
    status: str
    seconds: float
    outcome: Outcome
    usage: tuple[UsageLine, ...] = ()


@dataclass(frozen=True)
class Effort:
    """What all cases took; a sum with an unknown part is unknown, which is None."""

    calls: int
    input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    median_s: float
    wall_s: float


@dataclass(frozen=True)
class Round:
    """All cases replayed once; `mode` is None where nobody asked for one, `wall_s` is for all cases together."""

    mode: str | None
    replayed: tuple[Replayed, ...]
    scores: tuple[SetScore, ...]
    unscored: tuple[str, ...]
    wall_s: float

    @property
    def title(self) -> str:
        return self.mode or "as configured"

    def effort(self) -> Effort:
        lines = [line for one in self.replayed for line in one.usage]
        return Effort(
            calls=sum(line.calls for line in lines),
            input_tokens=_sum_known(line.input_tokens for line in lines),
            output_tokens=_sum_known(line.output_tokens for line in lines),
            cost_usd=_sum_known(line.cost_usd for line in lines),
            median_s=median(one.seconds for one in self.replayed) if self.replayed else 0.0,
            wall_s=self.wall_s,
        )


def _sum_known(parts: Iterable[Number | None]) -> Number | None:
    there = list(parts)
    known = [part for part in there if part is not None]
    return sum(known) if len(known) == len(there) else None


def print_json(rounds: Sequence[Round]) -> None:
    """Print one round as an object, several as a list of them."""
    bodies = [
        {
            "mode": one.mode,
            "effort": asdict(one.effort()),
            "scores": [asdict(s) for s in one.scores],
            "cases": [asdict(r) | {"usage": [u.model_dump() for u in r.usage]} for r in one.replayed],
        }
        for one in rounds
    ]
    print(json.dumps(bodies[0] if len(bodies) == 1 else bodies, indent=1, default=str))


def print_table(rounds: Sequence[Round]) -> None:
    """Print what each round came to, all of a set below each other, then what each took."""
    for one in rounds:
        _print_ends(one)
    width = max(len(one.title) for one in rounds)
    print("\n" + "  ".join([f"{'set':<22}", f"{'system':<20}", f"{'mode':<{width}}", "   n", *_cells(HEADINGS)]))
    scored = [(s.set_name, s.system, one.title, s) for one in rounds for s in one.scores]
    order = {one.title: place for place, one in enumerate(rounds)}
    for name, system, title, s in sorted(scored, key=lambda row: (row[0], row[1], order[row[2]])):
        shares = _cells(_share(getattr(s, column)) for column in COLUMNS)
        print("  ".join([f"{name:<22}", f"{system:<20}", f"{title:<{width}}", f"{s.n:>4}", *shares]))
    _print_efforts(rounds, width)


def _print_ends(one: Round) -> None:
    reported = sum(r.outcome.failed is None for r in one.replayed)
    prefix = f"{one.mode}: " if one.mode else ""
    print(f"{prefix}{reported} of {len(one.replayed)} cases ended in a report")
    for r in one.replayed:
        if r.outcome.failed is not None:
            print(f"  {r.name}: {r.status}, {r.outcome.failed}")
    if one.unscored:
        print(f"not scored, no truth file knows them: {', '.join(one.unscored)}")


def _print_efforts(rounds: Sequence[Round], width: int) -> None:
    headings = ("model calls", "tokens in", "tokens out", "cost USD", "median case s", "all cases s")
    print("\n" + "  ".join([f"{'mode':<{width}}", *_cells(headings)]))
    for one in rounds:
        took = one.effort()
        cost = "unknown" if took.cost_usd is None else f"{took.cost_usd:.4f}"
        counts = (_count(took.calls), _count(took.input_tokens), _count(took.output_tokens))
        print(
            "  ".join([f"{one.title:<{width}}", *_cells((*counts, cost, f"{took.median_s:.1f}", f"{took.wall_s:.1f}"))])
        )


def _cells(texts: Iterable[str]) -> list[str]:
    return [f"{text:>17}" for text in texts]


def _share(share: float | None) -> str:
    return "-" if share is None else format(share, ".2f")


def _count(count: int | None) -> str:
    return "unknown" if count is None else str(count)
