"""What a provider hears and says, in words of no vendor."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.domain.conversation import (
    AssistantMessage,
    Message,
    SystemMessage,
    ToolDefinition,
    ToolMessage,
    UserMessage,
)

JsonObject = dict[str, Any]


@dataclass(frozen=True)
class Heard:
    """What a request says."""

    model: str
    messages: Sequence[Message]
    tools: Sequence[ToolDefinition] = ()
    tool_choice: Any = None


@dataclass(frozen=True)
class Exchange:
    """One request, in words of no vendor."""

    wire: str
    path: str
    model: str
    messages: tuple[Message, ...]
    tools: tuple[ToolDefinition, ...]
    tool_choice: Any
    headers: Mapping[str, str]
    body: JsonObject
    received_at: float
    number: int
    """Which request of this server it is, from 1."""

    @property
    def system(self) -> str:
        return "\n".join(m.text for m in self.messages if isinstance(m, SystemMessage))

    @property
    def first_user_text(self) -> str:
        return next((m.text for m in self.messages if isinstance(m, UserMessage)), "")

    @property
    def assistant_turns(self) -> int:
        return sum(isinstance(m, AssistantMessage) for m in self.messages)

    @property
    def tool_results(self) -> tuple[ToolMessage, ...]:
        """The results that came since the model last spoke."""
        since: list[ToolMessage] = []
        for message in self.messages:
            if isinstance(message, AssistantMessage):
                since.clear()
            elif isinstance(message, ToolMessage):
                since.append(message)
        return tuple(since)


@dataclass(frozen=True)
class Reply:
    """What the model says, or what goes wrong.

    `body` replaces the wire's answer as it stands; `drip_s` is the pause between its bytes; `drop` closes the
    connection without an answer; `cut` promises more bytes than it sends.
    """

    text: str = ""
    tool_calls: Sequence[tuple[str, JsonObject]] = ()
    usage: tuple[int, int] | None = (100, 20)
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    latency_s: float = 0.0
    drip_s: float = 0.0
    drop: bool = False
    cut: bool = False


@dataclass(frozen=True)
class Said:
    """An answer to be written. Ids of tool calls are the same for the same turn of a conversation."""

    exchange: Exchange
    reply: Reply

    @property
    def calls(self) -> list[tuple[str, str, JsonObject]]:
        """The tool calls with their ids."""
        turn = self.exchange.assistant_turns + 1
        return [(f"call_{turn}_{i}", name, arguments) for i, (name, arguments) in enumerate(self.reply.tool_calls)]

    @property
    def id(self) -> str:
        return f"answer-{self.exchange.number}"


@dataclass(frozen=True)
class Voice:
    """One wire from the provider's side. `fits` says whether a path is its own; `read` gets path and body."""

    name: str
    fits: Callable[[str], bool]
    read: Callable[[str, JsonObject], Heard]
    write: Callable[[Said], JsonObject]


def plain(content: Any) -> str:
    """Join the text of content that may come in parts."""
    if isinstance(content, list):
        return "".join(part["text"] for part in content)
    return content or ""
