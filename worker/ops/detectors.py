"""The detectors of a kept catalogue: tokens that say by their beginning what they are.

`detectors.json` is made by `scripts/collect_detectors.py`. There are too many of them to look for each: the words of a
text are looked up by how they begin.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from worker.ops.secret_spans import Pattern, Span
from worker.ops.secret_tokens import TOKENS

FILE = Path(__file__).parent / "detectors.json"
_VENDOR = re.compile(r"[a-z0-9]+")
_WORD = re.compile(r"(?<![a-z0-9_])[a-z0-9][a-z0-9_.~/-]{11,}")
_LOOKED_UP = 3


@cache
def load_detectors() -> tuple[Pattern, ...]:
    """Return them in the file's order; each kind is its vendor's name."""
    detectors = json.loads(FILE.read_bytes())["detectors"]
    return tuple(
        Pattern(_vendor(name), re.compile(d["expression"]), tuple(d["beginnings"])) for name, d in detectors.items()
    )


def find_catalogued(text: str, lower: str) -> Iterator[Span]:
    """Yield the tokens of the catalogue that begin a word."""
    index = _index()
    for word in _WORD.finditer(lower):
        for beginning, pattern in index.get(word[0][:_LOOKED_UP], ()):
            if word[0].startswith(beginning) and (span := pattern.match(text, word.start())):
                yield span


@cache
def _index() -> dict[str, list[tuple[str, Pattern]]]:
    index = defaultdict(list)
    for pattern in (*load_detectors(), *TOKENS):
        for beginning in pattern.hints:
            index[beginning[:_LOOKED_UP]].append((beginning, pattern))
    return dict(index)


def _vendor(name: str) -> str:
    """Return `github` for `betterleaks.github-pat`."""
    found = _VENDOR.search(name.rpartition("/")[2].removeprefix("betterleaks."))
    return found[0] if found else "vendor"
