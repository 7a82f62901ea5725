"""The generated shop's changes: everyday ones, an innocent one near the onset, and the guilty one if any."""

from dataclasses import dataclass
from random import Random

from worker.evaluation.generator_faults import Fault, FaultKind
from worker.evaluation.generator_shop import Shop


@dataclass(frozen=True)
class Change:
    id: str
    at_s: float
    entity: str
    kind: str
    author: str
    title: str
    diff: str | None = None


_AUTHORS = ("Alma Reyes", "Tor Lindqvist", "Mina Park", "Jonas Weber")
_TITLES = {
    "deploy": ("Release {v}", "Roll out {v}", "Deploy build {v}"),
    "config": ("Raise log retention", "Rename dashboard labels", "Adjust rate of background sync"),
    "flag": ("Enable new banner for 5 % of users", "Turn off seasonal theme"),
}


def draw_changes(shop: Shop, fault: Fault | None, *, onset_s: float, rng: Random) -> list[Change]:
    """Return the changes of the last hours, oldest first."""
    innocent = [n for n in shop.served if n not in {shop.entry, fault.culprit if fault else shop.entry}]
    changes = [
        _change(rng.choice(innocent), onset_s - rng.uniform(1800, 4 * 3600), rng) for _ in range(rng.randint(1, 4))
    ]
    changes.append(_change(rng.choice(innocent), onset_s + rng.uniform(-900, 120), rng, kind="deploy"))
    if fault and fault.kind is FaultKind.BAD_DEPLOY:
        changes.append(_change(fault.culprit, onset_s - rng.uniform(10, 50), rng, kind="deploy"))
    return sorted(changes, key=lambda c: c.at_s)


def _change(entity: str, at_s: float, rng: Random, *, kind: str | None = None) -> Change:
    kind = kind or rng.choice(sorted(_TITLES))
    version = f"v{rng.randint(1, 9)}.{rng.randint(0, 40)}.{rng.randint(0, 9)}"
    title = rng.choice(_TITLES[kind]).replace("{v}", version)
    return Change(f"{rng.getrandbits(40):010x}", at_s, entity, kind, rng.choice(_AUTHORS), title)
