"""What values say by themselves: whether one looks random, whether one is there at all, what base64 says."""

import base64
import binascii
import re
from itertools import pairwise

_WORDS = re.compile(r"[a-z]+(?:[-_ ./=][a-z]*)*|[A-Z][a-z]+(?:[A-Z][a-z]+)*")
_LEAST_MIXED = 8
_MOST_LOOKED_AT = 512
_TURNS_SHARE = 0.33
_LEAST_ONE_CASE = 20
_NUMBERS = re.compile(r"\d+")
_TURNS = re.compile(r"[A-Z](?![A-Z])|[^A-Z](?=[A-Z])")
_RESOURCE = re.compile(r"[a-z0-9]{1,20}(?:[-./][a-z0-9]{1,20}){1,12}(?:-[A-Za-z0-9]{6})?")
_NO_KEY = re.compile(r"[\w-](?:=\w|://)|:[^:]*:|^(?:sha\d|[/~.$%<{(\[*-]|v?\d+[.:-]\d)")
_LEAST_ONE_LOOK = 16

_NO_VALUE_WORD = re.compile(
    r"true|false|null|none|nil|undefined|empty|unset|unknown|yes|no|required|optional|missing|invalid|incorrect|wrong"
    r"|expired|rejected|denied|accepted|failed|failure|error|redacted|hidden|masked|omitted|not|must|should|cannot|does"
    r"|was|were|has|have|been|the|this|that|with|from|for|and|string|str|bytes|secretstr|changed?|rotated|auth"
    r"|authenticat(?:ion|ed)|enabled|disabled|default|plain|md5|trust|prompt|stdin|interactive|filtered|see|set|stored",
    re.IGNORECASE,
)
_NO_VALUE = re.compile(
    r"\[redacted:\w{1,40}:[0-9a-f]{8}\]|\[withheld.*"
    r"|[*x.•#_-]{3,}|<[^>]*>?|\$[{(]{0,2}[\w.:/-]*[)}]{0,2}|\{\{.*|!\w+(?: .*)?"
    r"|\[[a-z]{3,12}\]|%\(?\w*\)?s?|\{[\w.]*\}?|optional\[.*|scram.*|(?:self|os|env|process|config|settings)\.\S*|(?:len|get\w*)\(.*"
    r"|(?:[a-z_]\w*\.)+[a-z_]\w*\(.*"
    r"|/(?:[\w.@-]+/)*[\w.@-]*|\.{1,2}/\S*|file:\S*|\((?:sensitive|known|none|empty|hidden|redacted|not|unset).*",
    re.IGNORECASE,
)
_NAMES_ITSELF = re.compile(
    r":?(?:[a-z]{2,20}[._]){0,4}(?:[a-z]{1,20}(?:Password|Token|Secret|Key)|password|passwd|secret|token|api_?key)"
    r"|(?:[A-Z]{2,20}_){0,4}(?:PASSWORD|SECRET|TOKEN|API_KEY)"
)
"""A variable or a column: `password=password`, `var.db_password`."""
_NAMES_ENDS = ("word", "WORD", "asswd", "ecret", "ECRET", "oken", "OKEN", "ey", "EY")


def looks_random(value: str) -> bool:
    """Say whether nobody would call something so: digits among letters, or capitals all over."""
    value = value[:_MOST_LOOKED_AT]
    if len(value) < _LEAST_MIXED or _WORDS.fullmatch(value):
        return len(value) >= _LEAST_ONE_CASE and value.isalpha() and value.islower()
    has_both = any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
    turns = sum(a.isupper() != b.isupper() for a, b in pairwise(value))
    return has_both or turns >= _TURNS_SHARE * len(value)


def decode_text(encoded: str) -> str | None:
    """Return what base64 says, if that is text."""
    spelled = encoded.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        text = base64.b64decode(spelled + "=" * (-len(spelled) % 4), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    return text if all(c.isprintable() or c in "\r\n\t" for c in text) else None


def is_user_and_password(encoded: str) -> bool:
    return ":" in (decode_text(encoded) or "")


def is_said(value: str) -> bool:
    """Say whether a value is there: no variable stands for it, no word says why there is none."""
    if _NO_VALUE_WORD.fullmatch(value) or _NO_VALUE.fullmatch(value):
        return False
    return not (value.endswith(_NAMES_ENDS) and _NAMES_ITSELF.fullmatch(value))


def is_generated(value: str) -> bool:
    """Say whether a value in a sentence was made by chance: no name, number or version would look so."""
    value = value[:_MOST_LOOKED_AT]
    if not value.isascii() or _RESOURCE.fullmatch(value) or _NO_KEY.search(value):
        return False
    numbers = len(_NUMBERS.findall(value))
    is_one_word = numbers <= 1 and len(_TURNS.findall(value)) < _TURNS_SHARE * len(value)
    is_varied = len(value) >= _LEAST_ONE_LOOK or not (value.islower() or value.isupper())
    return numbers > 0 and not value.isdigit() and is_varied and not is_one_word and is_said(value)
