"""The fence around what comes from outside: data to weigh, never instructions to follow.

```
<<<data NONCE
payload
data NONCE>>>
```

No payload shows three angle brackets in a row, in whatever spelling, nor the nonce of its fence: backslashes come
between, and whoever reads the payload by program gets it back as it was.
"""

import hashlib
import re

_NONCE_BYTES = 6
_FENCED = re.compile(r"^<<<data (?P<nonce>\S+)\n(?P<payload>.*?)\ndata (?P=nonce)>>>$", re.DOTALL | re.MULTILINE)
_UNSEEN = "\u00ad\u034f\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufe00-\ufe0f\ufeff\U000e0000-\U000e0fff"
_GAP = rf"[\s\\{_UNSEEN}]*+"
"""What may stand between characters that still look like neighbours, or be ours."""
_SINGLE = (
    "<>\u00ab\u00bb\u02c2\u02c3\u1433\u1438\u2039\u203a\u2329\u232a\u276c-\u2771\u27e8\u27e9\u3008\u3009\ufe64\ufe65"
    "\uff1c\uff1e"
)
_DOUBLE = "\u00ab\u00bb\u226a\u226b\u22d8\u22d9\u27ea\u27eb\u2aa1\u2aa2\u300a\u300b\ufe3d\ufe3e"
"""One character that looks like two brackets or three."""
_BRACKETS = re.compile(rf"[{_SINGLE}{_DOUBLE}](?:{_GAP}[{_SINGLE}{_DOUBLE}])+")
_IS_DOUBLE = re.compile(rf"[{_DOUBLE}]")
_IS_BRACKET = re.compile(rf"[{_SINGLE}{_DOUBLE}]")
_TOO_MANY = 3


def nonce_for(secret: str, place: str | int) -> str:
    """Return the nonce of one place in an agent's conversation: of a turn's results, or of a message of ours.

    It is the same whenever the conversation is rebuilt, and nothing that was said before it can have known it.
    """
    return hashlib.blake2b(str(place).encode(), key=secret.encode()[:64], digest_size=_NONCE_BYTES).hexdigest()


def fence(payload: str, nonce: str) -> str:
    """Put the payload between fence lines that nothing in it can close or imitate."""
    parted = _nonce_start(nonce).sub(r"\g<0>\\", _BRACKETS.sub(_part, payload))
    return f"<<<data {nonce}\n{parted}\ndata {nonce}>>>"


def unfence(text: str) -> list[str]:
    """Return the payloads of all fences in the text, in order, as they were before they were fenced."""
    return [_original(found["payload"], found["nonce"]) for found in _FENCED.finditer(text)]


def _original(payload: str, nonce: str) -> str:
    whole = _nonce_start(nonce, marked=True).sub(lambda found: found[0][:-1], payload)
    return _BRACKETS.sub(_join, whole)


def _nonce_start(nonce: str, *, marked: bool = False) -> re.Pattern[str]:
    """Match the first character of each nonce, with the backslash after it where it is marked."""
    first, *others = (_spelled(char) for char in nonce)
    rest = "".join(_GAP + char for char in others)
    return re.compile(first + (r"\\" if marked else "") + f"(?={rest})")


def _spelled(char: str) -> str:
    wide = chr(ord(char) + 0xFEE0) if char.isascii() else char
    return "[" + "".join(re.escape(c) for c in {char, char.upper(), wide, wide.upper()}) + "]"


def _is_fence_like(run: str) -> bool:
    return len(_IS_BRACKET.findall(run)) + len(_IS_DOUBLE.findall(run)) >= _TOO_MANY


def _part(found: re.Match[str]) -> str:
    """Put a backslash before each bracket of the run but the first."""
    run = found[0]
    return run[0] + _IS_BRACKET.sub(lambda bracket: f"\\{bracket[0]}", run[1:]) if _is_fence_like(run) else run


def _join(found: re.Match[str]) -> str:
    run = found[0]
    return run[0] + re.sub(rf"\\({_IS_BRACKET.pattern})", r"\1", run[1:]) if _is_fence_like(run) else run
