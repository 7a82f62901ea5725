"""Where secrets stand in a text: one expression with what has to be in a text before it is worth a search."""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

ANY = "named"
"""The kind of what is a secret by its name, not by its look. No kind is itself the name of a secret."""
MAX_SECRET_CHARS = 32_768
"""Nothing that is found is longer, context included: so much stands between two parts of a long text."""


class Span(NamedTuple):
    """A secret at `start` up to `end`. It is known to be one by the text from `begin` on."""

    begin: int
    start: int
    end: int
    kind: str


Detector = Callable[[str, str], Iterator[Span]]
"""Finds secrets in a text, given also in lower case of the same length."""


class Pattern(NamedTuple):
    """An expression and its hints in lower case; what matches is a secret if `is_secret` says so too.

    The secret is the group `s`, else the first group, else all.
    """

    kind: str
    expression: re.Pattern[str]
    hints: tuple[str, ...]
    is_secret: Callable[[str], bool] = bool

    def find(self, text: str, lower: str) -> Iterator[Span]:
        """Search the lines that hold a hint, each with the next: a value may stand below its name."""
        for start, end in lines_near(lower, self.hints):
            yield from self._search(text, start, end)

    def find_within(self, text: str, lower: str, place: tuple[int, int]) -> Iterator[Span]:
        """Search these lines only, if they hold a hint."""
        if any(lower.find(hint, *place) >= 0 for hint in self.hints):
            yield from self._search(text, *place)

    def match(self, text: str, at: int) -> Span | None:
        """Return the secret that begins at this place, if one does."""
        match = self.expression.match(text, at)
        return self._span(match) if match else None

    def _search(self, text: str, start: int, end: int) -> Iterator[Span]:
        for match in self.expression.finditer(text, start, end):
            if (span := self._span(match)) is not None:
                yield span

    def _span(self, match: re.Match[str]) -> Span | None:
        start, end = match.span("s" if "s" in match.re.groupindex else int(bool(match.re.groups)))
        is_one = start < end and self.is_secret(match.string[start:end])
        return Span(match.start(), start, end, self.kind) if is_one else None


def lines_near(lower: str, hints: tuple[str, ...]) -> Iterator[tuple[int, int]]:
    """Yield the pieces of the text, apart from each other, that have to be searched."""
    found = sorted(place for hint in hints for place in _lines_with(lower, hint))
    if not found:
        return
    start, end = found[0]
    for other_start, other_end in found[1:]:
        if other_start > end:
            yield start, end
            start = other_start
        end = max(end, other_end)
    yield start, end


def _lines_with(lower: str, hint: str) -> Iterator[tuple[int, int]]:
    at = lower.find(hint)
    while at >= 0:
        start = lower.rfind("\n", 0, at) + 1
        end = _line_end(lower, _line_end(lower, at))
        yield start, end
        at = lower.find(hint, _line_end(lower, at))


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end + 1
