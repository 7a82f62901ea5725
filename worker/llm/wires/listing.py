"""How the wires read a provider's list of its own models."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from worker.domain.conversation import JsonObject
from worker.llm.wires.reading import as_list, objects

MAX_ID_CHARS = 200


@dataclass(frozen=True)
class Page:
    """One answer: ids as the provider is asked for them, and what the next page is asked for by, if there is one."""

    models: tuple[str, ...]
    next: str | None = None


def entries(body: JsonObject, field: str) -> list[JsonObject]:
    """Return the objects of a list, null being an empty one. Raises MalformedAnswerError where there is none."""
    value = body.get(field)
    if value is None and field in body:
        return []  # OpenAI-like servers written in Go say null for no models
    return objects(as_list(value, f"list `{field}`"))


def ids(values: Iterable[Any]) -> tuple[str, ...]:
    """Return the values that can be an id, each once, in their order."""
    return tuple(dict.fromkeys(value for value in values if _is_id(value)))


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_ID_CHARS and value.isprintable() and value == value.strip()
