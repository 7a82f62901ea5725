"""Whether an entity's trouble can have reached the alert: chains of calls, and who on them felt anything."""

from collections import deque
from collections.abc import Collection, Iterable

UNCONNECTED = 0.2
"""How much remains of the evidence against an entity that no chain of calls connects with the alert."""
UNMOVED = 0.4
"""How much of it gets past a caller between them that was measured and did not change."""

Edges = Collection[tuple[str, str]]


def reachable(edges: Iterable[tuple[str, str]], start: str) -> frozenset[str]:
    """Return the entity and everything its calls lead to."""
    found, waiting, known = {start}, [start], tuple(edges)
    while waiting:
        caller = waiting.pop()
        new = {c for a, c in known if a == caller} - found
        found |= new
        waiting += sorted(new)
    return frozenset(found)


def felt_shares(edges: Edges, alerting: str, *, unmoved: Collection[str]) -> dict[str, float]:
    """Return how much of each reachable entity's trouble can have reached the alerting one, by its best chain.

    Waiting and errors pass through every caller on the way: one that was measured and shows neither has hardly
    passed anything on. The alerting entity itself is taken at its word.
    """
    shares, waiting = {alerting: 1.0}, deque([alerting])
    while waiting:
        caller = waiting.popleft()
        passed = shares[caller] * (UNMOVED if caller in unmoved and caller != alerting else 1.0)
        for callee in sorted(c for a, c in edges if a == caller):
            if passed > shares.get(callee, 0.0):
                shares[callee] = passed
                waiting.append(callee)
    return shares


def path_up(culprit: str, alerting: str | None, edges: Edges) -> tuple[str, ...]:
    """Return the shortest way from the culprit up to the alerting entity; the culprit alone where there is none."""
    came_from: dict[str, str] = {}
    waiting = deque([culprit])
    while waiting:
        at = waiting.popleft()
        if at == alerting:
            return _trail(at, culprit, came_from)
        for caller in sorted(a for a, c in edges if c == at):
            if caller not in came_from and caller != culprit:
                came_from[caller] = at
                waiting.append(caller)
    return (culprit,)


def _trail(at: str, culprit: str, came_from: dict[str, str]) -> tuple[str, ...]:
    trail = [at]
    while trail[-1] != culprit:
        trail.append(came_from[trail[-1]])
    return tuple(reversed(trail))
