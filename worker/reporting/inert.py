"""Text that others wrote, made safe to show: nothing hides in it, nothing in it acts."""

import re

_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # terminal escapes, carriage returns
    "\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff"  # zero width, and what turns the reading direction
    "\ud800-\udfff\U000e0000-\U000e007f]"  # lone surrogates, invisible tags
)


def show_hidden(text: str) -> str:
    """Write every control, direction and zero-width character as its code point; keep line breaks and tabs."""
    return _HIDDEN.sub(lambda found: f"⟨U+{ord(found.group()):04X}⟩", text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    return " ".join(show_hidden(text).split())
