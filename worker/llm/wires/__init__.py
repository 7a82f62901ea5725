"""The wires: how each vendor's protocol says what a conversation says. One table; a new wire is a new row."""

from collections.abc import Callable
from dataclasses import dataclass

from worker.domain.conversation import JsonObject, ModelAnswer, ModelRequest, Route
from worker.llm.wires import anthropic_messages, gemini_generate, ollama_chat, openai_chat, openai_responses


def _accept(_answer: ModelAnswer, _route: Route) -> None:
    """Find nothing wrong: most providers refuse what they cannot take."""


@dataclass(frozen=True)
class Wire:
    """One protocol, without any input or output: where to post what, and how to read the answer.

    `check` raises what a well-formed answer gives away all the same.
    """

    name: str
    url: Callable[[Route], str]
    headers: Callable[[Route, str | None], dict[str, str]]
    encode: Callable[[ModelRequest, Route], JsonObject]
    decode: Callable[[JsonObject], ModelAnswer]
    check: Callable[[ModelAnswer, Route], None] = _accept


_WIRES = (
    *(
        Wire(module.NAME, module.url, module.headers, module.encode, module.decode)
        for module in (openai_chat, anthropic_messages, openai_responses, gemini_generate)
    ),
    Wire(
        ollama_chat.NAME,
        ollama_chat.url,
        ollama_chat.headers,
        ollama_chat.encode,
        ollama_chat.decode,
        ollama_chat.check,
    ),
)
WIRES: dict[str, Wire] = {wire.name: wire for wire in _WIRES}
