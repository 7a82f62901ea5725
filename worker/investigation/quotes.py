"""Whether the words and numbers that a claim quotes really stand in a piece of evidence."""

import re
import unicodedata
from decimal import Context, Decimal
from functools import cached_property

MAX_ELLIPSIS_CHARS = 200
"""How much an ellipsis in a quote may leave out; further apart, two fragments are not one observation."""

_TYPOGRAPHY = str.maketrans(
    {
        **dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb\u2018\u2019\u201a\u2032\u2033`'\"", ""),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"),
        "\u2026": "...",
    }
)
_ESCAPED_SPACE = re.compile(r"\\[nrt]")  # results in JSON carry line breaks as two characters
_SPACE = re.compile(r"[\s|]+")  # a column's border is as good as a space
_JSON_MARK = re.compile(r"\s*([:{}\[\]]|(?<!\d),|,(?!\d{3}(?!\d)))\s*")  # spaced or compact, it is the same JSON
_THOUSANDS = re.compile(r"(?<![\w.,])\d{1,3}(?:[,\u202f\u2009]\d{3})+(?![\d,])")
_NUMBER = re.compile(r"(?<![\w.])(?:\d+\.\d+(?:e[+-]?\d{1,2})?|\d+e[+-]?\d{1,2})(?![\d]|\.\d)")
_ANY_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_PIECE = re.compile(r"(?s).{1,200000}(?:\s|\Z)|.{1,200000}")  # cut at a space where there is one
_WITHOUT_FLOAT_NOISE = Context(prec=12)  # 8218.630000000001 is read, and quoted, as 8218.63
_ELLIPSIS = re.compile(r"\[?\.{3,}\]?")

_NEIGHBOURS = 6  # characters that decide whether a number goes on, such as `,234x`
_PART_OF_A_WORD = re.compile(r"[a-z0-9]")
_BEFORE_A_NUMBER = re.compile(r"(?:\d\.|\W-)\Z")
_BEFORE_A_GROUP = re.compile(r"\d,\Z")
_A_GROUP = re.compile(r"\d{3}(?!\d)")
_AFTER_A_NUMBER = re.compile(r"\.\d|,\d{3}(?!\d)")


def fold(text: str, *, join_thousands: bool = False) -> str:
    """Make two spellings of the same words and numbers equal: case, spaces, quotation marks, `12.50` and `12.5`.

    `join_thousands` also reads `1,234` as one number; apart, because `[100,200]` is two.
    """
    plain = unicodedata.normalize("NFC", text).replace('\\"', "").translate(_TYPOGRAPHY).casefold()
    plain = _ESCAPED_SPACE.sub(" ", plain)
    if join_thousands:
        plain = _THOUSANDS.sub(lambda found: re.sub(r"\D", "", found.group()), plain)
    return _SPACE.sub(" ", _JSON_MARK.sub(r"\1 ", _NUMBER.sub(_shortest, plain))).strip()


def _fold_long(text: str, *, join_thousands: bool) -> str:
    """Fold piece by piece: one regular expression over megabytes would hold every other thread for seconds."""
    pieces = _PIECE.findall(text)
    return " ".join(folded for piece in pieces if (folded := fold(piece, join_thousands=join_thousands)))


def _shortest(found: re.Match[str]) -> str:
    return format(Decimal(found.group()).normalize(_WITHOUT_FLOAT_NOISE), "f")


class QuotedText:
    """One evidence's whole text, folded once for all the quotes that are looked up in it."""

    def __init__(self, text: str) -> None:
        self._text = text

    @cached_property
    def _plain(self) -> str:
        return _fold_long(self._text, join_thousands=False)

    @cached_property
    def _joined(self) -> str:
        return _fold_long(self._text, join_thousands=True)

    def holds(self, quote: str) -> bool:
        """Say whether the quote stands in the text, its numbers whole: `12` is not in `1250 ms`."""
        return _stands_in(fold(quote), self._plain) or _stands_in(fold(quote, join_thousands=True), self._joined)

    def holds_but_for_numbers(self, quote: str) -> bool:
        """Say whether only the numbers are wrong, which deserves another word than an invented quote."""
        wordy = _ANY_NUMBER.sub("0", fold(quote))
        return _stands_in(wordy, _ANY_NUMBER.sub("0", self._plain))

    def names(self, name: str, *, other_names: frozenset[str]) -> bool:
        """Say whether the name stands in the text as itself, not as a part of one of the other names."""
        wanted, text = fold(name), self._plain
        for longer in sorted(map(fold, other_names), key=len, reverse=True):
            if wanted in longer and wanted != longer:
                text = text.replace(longer, " ")
        return bool(wanted) and _end_of(wanted, text, 0) >= 0


def _stands_in(quote: str, text: str) -> bool:
    if _has_words(quote) and _end_of(quote, text, 0) >= 0:
        return True
    fragments = [f for part in _ELLIPSIS.split(quote) if _has_words(f := part.strip())]
    return bool(fragments) and _follow(fragments, text)


def _has_words(text: str) -> bool:
    return any(c.isalnum() for c in text)


def _follow(fragments: list[str], text: str) -> bool:
    """Say whether the fragments follow each other closely, from any place the first one stands."""
    first, *rest = fragments
    end = _end_of(first, text, 0)
    while end >= 0:
        if _all_near(rest, text, end):
            return True
        end = _end_of(first, text, end - len(first) + 1)
    return False


def _all_near(fragments: list[str], text: str, start: int) -> bool:
    for fragment in fragments:
        start = _end_of(fragment, text, start, within=MAX_ELLIPSIS_CHARS)
        if start < 0:
            return False
    return True


def _end_of(fragment: str, text: str, start: int, *, within: int | None = None) -> int:
    """Return where the fragment ends in the text, beginning at or after `start`; -1 where it is not there whole.

    `within` is how many characters after `start` it has to begin.
    """
    limit = len(text) if within is None else start + within + len(fragment)
    at = text.find(fragment, start, limit)
    while at >= 0:
        end = at + len(fragment)
        if _is_whole(fragment, before=f"  {text[max(0, at - 2) : at]}", after=text[end : end + _NEIGHBOURS]):
            return end
        at = text.find(fragment, at + 1, limit)
    return -1


def _is_whole(fragment: str, *, before: str, after: str) -> bool:
    """Say whether words and numbers at the fragment's edges end where it ends."""
    first, last = fragment[0], fragment[-1]
    if _PART_OF_A_WORD.match(first) and _PART_OF_A_WORD.match(before[-1]):
        return False
    if _PART_OF_A_WORD.match(last) and _PART_OF_A_WORD.match(after[:1]):
        return False
    if first.isdigit() and _BEFORE_A_NUMBER.search(before):
        return False
    if _A_GROUP.match(fragment) and _BEFORE_A_GROUP.search(before):
        return False
    return not (last.isdigit() and _AFTER_A_NUMBER.match(after))
