"""The wires: how each vendor's protocol says what a conversation says. One table; a new wire is a new row."""

from collections.abc import Callable
from dataclasses import dataclass

from worker.domain.conversation import JsonObject, ModelAnswer, ModelRequest, Route
from worker.llm.failures import Refusal, read_refusal
from worker.llm.transport import Answered
from worker.llm.wires import (
    anthropic_messages,
    bedrock_converse,
    gemini_generate,
    ollama_chat,
    openai_chat,
    openai_responses,
)
from worker.llm.wires.listing import Page as Page
from worker.llm.wires.signing import Signer as Signer


def _accept(_answer: ModelAnswer, _route: Route) -> None:
    """Find nothing wrong: most providers refuse what they cannot take."""


def _refusal(answered: Answered, body: object, _route: Route) -> Refusal:
    return read_refusal(answered.status, body)


@dataclass(frozen=True)
class Wire:
    """One protocol, without any input or output: where to post what, and how to read the answer.

    `check` raises what a well-formed answer gives away all the same, `refusal` reads one of another status. `signer`
    builds what makes each request where only the vendor's own library can; `url` and `headers` are not used then.
    `list_url` and `read_list` are where the provider lists its models, page by page, and how a page is read; None
    where it does not.
    """

    name: str
    url: Callable[[Route], str]
    headers: Callable[[Route, str | None], dict[str, str]]
    encode: Callable[[ModelRequest, Route], JsonObject]
    decode: Callable[[JsonObject], ModelAnswer]
    check: Callable[[ModelAnswer, Route], None] = _accept
    refusal: Callable[[Answered, object, Route], Refusal] = _refusal
    signer: Callable[[], Signer] | None = None
    list_url: Callable[[Route, str | None], str] | None = None
    read_list: Callable[[JsonObject], Page] | None = None


_EXTRAS = ("check", "refusal", "signer", "list_url", "read_list")
_MODULES = (openai_chat, anthropic_messages, openai_responses, gemini_generate, ollama_chat, bedrock_converse)

WIRES: dict[str, Wire] = {
    module.NAME: Wire(
        module.NAME,
        module.url,
        module.headers,
        module.encode,
        module.decode,
        **{name: getattr(module, name) for name in _EXTRAS if hasattr(module, name)},
    )
    for module in _MODULES
}
