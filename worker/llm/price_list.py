"""The list prices that ship with the product: what vendors and gateways publicly charge for which model.

`price_list.json` is collected from the data of genai-prices by `make prices`; it names its version and its day.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from worker.domain.conversation import JsonObject

_FILE = Path(__file__).with_name("price_list.json")
_MORE = {"azure": ("openai", "anthropic", "deepseek")}
"""Where a list has not all that its provider serves: whose prices hold there too."""


@dataclass(frozen=True)
class Listed:
    """What a list says of a model: dollars by the names of `Price`, and the window where it is known."""

    rates: JsonObject
    context_window: int | None
    source: str


@lru_cache(maxsize=1024)
def find_listed(name: str, model: str) -> Listed | None:
    """Find a model in the list of this name, by the id it is asked for with; None where it is not listed."""
    file, text = _read(), model.lower()
    for one in (name, *_MORE.get(name, ())):
        for entry in file["lists"][one]:
            if _fits(entry["match"], text):
                rates = {field: value for field, value in entry.items() if field not in {"match", "context_window"}}
                return Listed(rates, entry.get("context_window"), f"{file['source']}, {file['day']}")
    return None


@cache
def _read() -> JsonObject:
    file: JsonObject = json.loads(_FILE.read_bytes())
    return file


def _fits(clause: dict[str, Any], text: str) -> bool:
    ((kind, value),) = clause.items()
    return _KINDS[kind](text, value)


_KINDS: dict[str, Callable[[str, Any], bool]] = {
    "equals": lambda text, value: text == value.lower(),
    "starts_with": lambda text, value: text.startswith(value.lower()),
    "ends_with": lambda text, value: text.endswith(value.lower()),
    "contains": lambda text, value: value.lower() in text,
    "regex": lambda text, value: re.search(value, text) is not None,
    "or": lambda text, value: any(_fits(one, text) for one in value),
    "and": lambda text, value: all(_fits(one, text) for one in value),
}
