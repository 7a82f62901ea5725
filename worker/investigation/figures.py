"""Whether the figures that a sentence states can be read in the texts it rests on."""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

_PIECE_CHARS = 200_000
_NO_FIGURE = re.compile(
    r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?"  # a date, a moment
    r"|\b\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?"  # a time of the day
    r"|\bv?\d+(?:\.\d+){2,}\S*"  # a version, an address
    r"|(?<![\d.])[-/:#@]\d\S*"  # a part of a name
    r"|\b[0-9a-f]*[a-f][0-9a-f]*\d[0-9a-f]{4,}\b",  # a hash
    re.IGNORECASE,
)
_FIGURE = re.compile(
    r"(?<![\w.])(?P<number>\d+(?:[,\u202f\u2009]\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?(?:e[+-]?\d{1,2})?)"
    r"(?:\s?(?P<unit>%|percent\b|[µu]s\b|ms\b|s\b|secs?\b|seconds?\b|[kKMGT]i?B?\b|B\b|bytes\b|[x×]|times\b|-?fold\b"
    r"|min\b|minutes?\b|h\b|hours?\b|days?\b))?(?!\w)"
)
_WRITTEN = re.compile(r"\d+(?:[,\u202f\u2009]\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?(?:[eE][+-]?\d{1,2})?")

_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?")
_LESS = 1 - 1e-9  # the next number is another one, whatever floats make of the difference

_DECIMAL, _BINARY = 1000.0, 1024.0
_OF_TIME = tuple(_DECIMAL**n for n in range(-3, 4))
_OF_SIZE = tuple(sorted({base**n for base in (_DECIMAL, _BINARY) for n in range(-4, 5)}))
_OF_SHARE = (1.0, 100.0)
_PLAIN = (1.0,)
_DERIVED = ("x", "×", "times", "fold", "-fold", "min", "h", "hour", "day")
"""What compares two figures or counts the clock's long units is told, not measured."""
_SMALL = 10
"""A count below this without a unit is a word as good as any: `2 of 3 pods`."""


@dataclass(frozen=True)
class Figure:
    """A number as it was written, and what its unit may have been converted by."""

    written: str
    value: float
    step: float
    """One in its last place: nearer than this is the same number, rounded or cut."""
    factors: tuple[float, ...]


def figures_in(sentence: str, *, names: Iterable[str] = ()) -> list[Figure]:
    """Return what a sentence states as measured: no date, no part of a name, no small count, no comparison."""
    for name in sorted(filter(None, names), key=len, reverse=True):
        sentence = sentence.replace(name, " ")
    return list(_figures(_NO_FIGURE.sub(" ", sentence)))


def _figures(text: str) -> Iterator[Figure]:
    for found in _FIGURE.finditer(text):
        number, unit = found["number"], found["unit"] or ""
        value = _read(number)
        is_plain = not unit and "." not in number
        if value is None or unit.startswith(_DERIVED) or (is_plain and value < _SMALL):
            continue
        yield Figure(found.group().strip(), value, _step(number), _factors(unit))


def _factors(unit: str) -> tuple[float, ...]:
    if unit in {"%", "percent"}:
        return _OF_SHARE
    if (unit.endswith("s") and unit != "bytes") or unit.startswith("sec"):
        return _OF_TIME
    return _OF_SIZE if unit else _PLAIN


def _read(number: str) -> float | None:
    try:
        return float(Decimal(re.sub(r"[,\u202f\u2009]", "", number)))
    except (InvalidOperation, OverflowError):
        return None


def _step(number: str) -> float:
    digits, _, exponent = number.lower().partition("e")
    return float(10.0 ** (int(exponent or 0) - len(digits.partition(".")[2])))


class FiguresRead:
    """Every number that stands in a text."""

    def __init__(self, text: str) -> None:
        self._numbers = sorted(set(_numbers_of(text)))

    def hold(self, figure: Figure) -> bool:
        """Say whether it is one of them, rounded or cut as written, in its own unit or a neighbouring one."""
        return any(self._is_near(figure.value / factor, figure.step / factor) for factor in figure.factors)

    def _is_near(self, value: float, step: float) -> bool:
        at = bisect_left(self._numbers, value)
        return any(abs(near - value) < step * _LESS for near in self._numbers[max(at - 1, 0) : at + 1])


def _numbers_of(text: str) -> Iterator[float]:
    for start in range(0, len(text), _PIECE_CHARS):
        piece = text[start : start + _PIECE_CHARS + 40]  # a number on the border is read whole in one of the two
        for found in _WRITTEN.finditer(_MOMENT.sub(" ", piece)):
            for written in {found.group(), *re.split(r"[,\u202f\u2009]", found.group())}:  # `[100,200]` is two
                value = _read(written)
                if value is not None:
                    yield value
