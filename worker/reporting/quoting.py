"""How a quote is shown: words as they are, a row of a tool's JSON as names with values."""

import json
from typing import Any


def readable(quote: str) -> str:
    """Return a quoted JSON object as `name value` pairs, most readable for people; any other quote unchanged.

    The report keeps the quote as it was handed in: this is only its look.
    """
    try:
        row = json.loads(quote)
    except (ValueError, RecursionError):
        return quote
    if not isinstance(row, dict) or not row:
        return quote
    return " · ".join(f"{name} {_plain(value)}" for name, value in row.items() if value not in (None, "", [], {}))


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
