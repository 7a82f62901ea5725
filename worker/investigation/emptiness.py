"""Whether a tool's answer holds anything: an empty one tells neither that something is wrong nor that nothing is."""

import json
from typing import Any


def is_empty(text: str) -> bool:
    """Say whether an answer holds nothing: no text, no JSON value, only lists without items, no output of a command."""
    try:
        content = json.loads(text)
    except ValueError:
        return not text.strip()
    if not isinstance(content, dict):
        return content in (None, "", [])
    parts = [_without_space(value) for name, value in content.items() if isinstance(value, list) or name == "stdout"]
    return not any(parts) if parts else not content


def _without_space(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value
