"""Text that others wrote, made safe to show: nothing hides in it, nothing in it acts."""

import re
from typing import Any

_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # terminal escapes, carriage returns
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0e\ufeff\uffa0\ufff0-\ufffb"  # no width, no ink, and what turns the reading direction
    "\ud800-\udfff\U000e0000-\U000e0fff]"  # lone surrogates, invisible tags and selectors
)
_COLOUR = re.compile(r"\x1b\[[0-9;]{0,20}m")
_MAX_DEPTH = 100


def show_hidden(text: str) -> str:
    """Write every control, direction and zero-width character as its code point; keep line breaks and tabs."""
    return _HIDDEN.sub(lambda found: f"⟨U+{ord(found.group()):04X}⟩", text.replace("\r\n", "\n"))


def show_all(text: str) -> str:
    """Write what is hidden as its code point, but leave out colours: they hide nothing, and part words of a log."""
    return show_hidden(_COLOUR.sub("", text))


def show_all_in(value: Any, depth: int = _MAX_DEPTH) -> Any:
    """Return a JSON value with nothing hidden in its texts and names, down to a depth."""
    if isinstance(value, str):
        return show_all(value)
    if isinstance(value, dict) and depth:
        return {show_all_in(name): show_all_in(item, depth - 1) for name, item in value.items()}
    if isinstance(value, list) and depth:
        return [show_all_in(item, depth - 1) for item in value]
    return value


def one_line(text: str) -> str:
    return " ".join(show_hidden(text).split())
