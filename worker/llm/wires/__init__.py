"""The wires: how each vendor's protocol says what a conversation says. One table; a new wire is a new row."""

from collections.abc import Callable
from dataclasses import dataclass

from worker.domain.conversation import JsonObject, ModelAnswer, ModelRequest, Route
from worker.llm.wires import anthropic_messages, openai_chat


@dataclass(frozen=True)
class Wire:
    """One protocol, without any input or output: where to post what, and how to read the answer."""

    name: str
    url: Callable[[Route], str]
    headers: Callable[[str | None], dict[str, str]]
    encode: Callable[[ModelRequest, Route], JsonObject]
    decode: Callable[[JsonObject], ModelAnswer]


WIRES: dict[str, Wire] = {
    module.NAME: Wire(module.NAME, module.url, module.headers, module.encode, module.decode)
    for module in (openai_chat, anthropic_messages)
}
