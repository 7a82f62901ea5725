"""What the tests of models share: settings without an environment, routes, a conversation, strategies."""

from typing import Any

from hypothesis import strategies as st
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from tests.model_server import ModelServer
from worker.domain.conversation import (
    AssistantMessage,
    Message,
    ModelRequest,
    Route,
    SystemMessage,
    ToolDefinition,
    ToolMessage,
    ToolRequest,
    UserMessage,
)
from worker.settings import Settings

KEY = "zq7-Wm4v9LkTt2Rr8Xx1"

ALL_KEYS = {
    "openai_api_key": KEY,
    "anthropic_api_key": KEY,
    "google_ai_api_key": KEY,
    "bedrock_access_key_id": "AKIAZQ7WM4V9LKTT",
    "bedrock_secret_access_key": KEY,
}
"""What the routes of all wires need."""

QUERY = ToolDefinition(
    name="query_metrics",
    description="Query a metric.",
    parameters={"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
)
SEARCH = ToolDefinition(
    name="search_logs",
    description="Search logs.",
    parameters={"type": "object", "properties": {"q": {"type": "string"}}},
)


class _BareSettings(Settings):
    """Settings that no environment can reach: to look there takes most of the time of making them."""

    @classmethod
    def settings_customise_sources(
        cls,
        _settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        **_others: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def bare_settings(**given: Any) -> Settings:
    """Build settings as if the environment were empty but for what is given."""
    return _BareSettings(**given)


AWS_KEYS = "BEDROCK_ACCESS_KEY_ID,BEDROCK_SECRET_ACCESS_KEY"
_ROUTES = {
    "openai_chat": ("openai", "gpt-4.1-mini", "OPENAI_API_KEY", "/v1"),
    "anthropic_messages": ("anthropic", "claude-haiku-4-5", "ANTHROPIC_API_KEY", ""),
    "openai_responses": ("openai", "gpt-5-mini", "OPENAI_API_KEY", "/v1"),
    "gemini_generate": ("google", "gemini-2.5-flash", "GOOGLE_AI_API_KEY", ""),
    "ollama_chat": ("ollama", "qwen3:8b", None, ""),
    "bedrock_converse": ("bedrock", "us.anthropic.claude-haiku-4-5-20251001-v1:0", AWS_KEYS, ""),
}
WIRE_NAMES = tuple(_ROUTES)


def route_of(wire: str, *, server: ModelServer | None = None, **changes: Any) -> Route:
    provider, model, key, path = _ROUTES[wire]
    facts: dict[str, Any] = {
        "provider": provider,
        "model": model,
        "wire": wire,
        "base_url": (server.root if server else "http://127.0.0.1:9") + path,
        "credential_ref": f"env:{key}" if key else None,
        "region": "us-east-1" if provider == "bedrock" else None,
    }
    return Route(**(facts | changes))


def conversation(*, wire: str = "") -> tuple[Message, ...]:
    """A turn with two tool calls, one of which failed, and their results."""
    calls = (
        ToolRequest(id="call_a", name="query_metrics", arguments={"name": "latency"}),
        ToolRequest(id="call_b", name="search_logs", arguments={"q": "timeout — 超时"}),
    )
    return (
        SystemMessage(text="You explain incidents."),
        UserMessage(text="The checkout is slow."),
        AssistantMessage(text="Let me look.", tool_requests=calls, wire=wire),
        ToolMessage(request_id="call_a", name="query_metrics", text="p99 3.2 s"),
        ToolMessage(request_id="call_b", name="search_logs", text="no such index", is_error=True),
    )


def hello(**changes: Any) -> ModelRequest:
    return ModelRequest(**({"messages": (UserMessage(text="Hello."),)} | changes))


_texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30).filter(lambda t: t.strip() != "")
_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=6,
)
_arguments = st.dictionaries(_texts, _json, max_size=3)
_names = st.from_regex(r"[a-z][a-z_]{0,15}", fullmatch=True)


@st.composite
def turns(draw: st.DrawFn, *, number: int) -> list[Message]:
    """Draw one user message, or a model's turn with the results of all its calls."""
    if draw(st.booleans()):
        return [UserMessage(text=draw(_texts))]
    drawn = draw(st.lists(st.tuples(_names, _arguments, _texts, st.booleans()), max_size=3))
    calls = tuple(ToolRequest(id=f"c{number}_{i}", name=n, arguments=a) for i, (n, a, _, _) in enumerate(drawn))
    text = draw(_texts if not calls else _texts | st.just(""))
    results = (
        ToolMessage(
            request_id=call.id, name=call.name, text=drawn[i][2].removeprefix("Error: ") or "-", is_error=drawn[i][3]
        )
        for i, call in enumerate(calls)
    )
    reasoning = tuple(draw(st.lists(_arguments, max_size=2)))
    return [AssistantMessage(text=text, tool_requests=calls, reasoning=reasoning, wire="another"), *results]


@st.composite
def transcripts(draw: st.DrawFn) -> tuple[Message, ...]:
    """Draw a conversation as agents have it: system first, each tool call answered, no two model turns in a row."""
    messages: list[Message] = [SystemMessage(text=draw(_texts)), UserMessage(text=draw(_texts))]
    for number in range(draw(st.integers(0, 5))):
        turn = draw(turns(number=number))
        if isinstance(turn[0], AssistantMessage) and isinstance(messages[-1], AssistantMessage):
            continue
        messages += turn
    return tuple(messages)
