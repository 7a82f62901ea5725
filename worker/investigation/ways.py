"""Whether what a causal chain goes through is joined by calls that topology or traces know."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from worker.domain.conversation import JsonObject
from worker.investigation.quotes import QuotedText

_SAID_IN = {"show_topology": "edges", "rank_edge_latency": "rows"}
"""The tools that tell who calls whom, and where in their answers."""


class Ways:
    """Who calls whom, of all that an investigation was told; nobody where it was told nothing."""

    def __init__(self, edges: Iterable[tuple[str, str]]) -> None:
        self._callees: dict[str, set[str]] = defaultdict(set)
        self._callers: dict[str, set[str]] = defaultdict(set)
        for caller, callee in edges:
            self._callees[caller].add(callee)
            self._callers[callee].add(caller)
        self.nodes = frozenset(self._callees) | frozenset(self._callers)

    def joined(self, one: str, other: str) -> bool:
        """Say whether one of them calls the other, through however many others: harm goes up and down with calls."""
        return other in {one} | _reached(one, self._callees) | _reached(one, self._callers)

    def find_break(self, entity: str, hops: Sequence[str]) -> tuple[str, str] | None:
        """Return the first two neighbours of a chain that no calls join; None where there are none.

        A hop is a sentence; what it names that is no node of ours says nothing of ways.
        """
        named = [self._named(hop) for hop in (entity, *hops)]
        for before, after in pairwise([names for names in named if names]):
            if not any(self.joined(a, b) for a in before for b in after):
                return min(before), min(after)
        return None

    def _named(self, sentence: str) -> frozenset[str]:
        text = QuotedText(sentence)
        return frozenset(node for node in self.nodes if text.names(node, other_names=self.nodes))


def _reached(start: str, neighbours: dict[str, set[str]]) -> set[str]:
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        new = neighbours.get(waiting.pop(), set()) - reached
        reached |= new
        waiting += new
    return reached


def read_ways(results: Iterable[tuple[str, str]]) -> Ways:
    """Return the ways in what tools answered: pairs of a tool's name and the whole text of a result."""
    return Ways(edge for tool, text in results for edge in _edges(tool, text))


def _edges(tool: str, text: str) -> Iterator[tuple[str, str]]:
    said = _read(text) if tool in _SAID_IN else {}
    calls = said.get(_SAID_IN.get(tool, ""))
    for call in calls if isinstance(calls, list) else ():
        match call:
            case [str(caller), str(callee)] | {"caller": str(caller), "callee": str(callee)}:
                yield caller, callee


def _read(text: str) -> JsonObject:
    """Return an answer; one that was cut says nothing of ways."""
    try:
        said = json.loads(text)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
