"""Alternating turns, which some formats insist on: whatever one side says in a row is one turn of it."""

from collections.abc import Callable, Iterable

from worker.domain.conversation import AssistantMessage, JsonObject, Message

Said = tuple[Message, list[JsonObject]]
"""A message, and the parts in which a format says it; none for one that is said elsewhere."""


def alternate(said: Iterable[Said], *, place: Callable[[JsonObject], int]) -> list[tuple[bool, list[JsonObject]]]:
    """Return the turns as (is it the model's, its parts), those of the user in the order that the format wants."""
    turns: list[tuple[bool, list[JsonObject]]] = []
    for message, parts in said:
        is_models = isinstance(message, AssistantMessage)
        if turns and parts and turns[-1][0] is is_models:
            turns[-1][1].extend(parts)
        elif parts:
            turns.append((is_models, list(parts)))
    return [(is_models, parts if is_models else sorted(parts, key=place)) for is_models, parts in turns]
