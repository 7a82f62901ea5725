"""What is said to a model and what it answers, in words of no vendor; all of it survives JSON.

A conversation is an ordered tuple of messages. Every wire turns it into its vendor's request and the
vendor's answer back into a `ModelAnswer`; storage keeps the answers, so another process can go on.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

JsonObject = dict[str, Any]
Confirm = Callable[[], object]
"""Raises where a call is no longer its caller's to make: asked right before each request, for each may have waited."""


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ToolDefinition(Frozen):
    """A tool as a model sees it; `parameters` is the JSON Schema of an object."""

    name: str
    description: str
    parameters: JsonObject


class ToolRequest(Frozen):
    """One tool call the model asks for.

    `id` is the provider's id of the call and goes back with the result. `arguments` is None when the model
    sent something that is not a JSON object; `raw_arguments` then holds what it sent.
    """

    id: str
    name: str
    arguments: JsonObject | None
    raw_arguments: str = ""


class SystemMessage(Frozen):
    role: Literal["system"] = "system"
    text: str


class UserMessage(Frozen):
    role: Literal["user"] = "user"
    text: str


class AssistantMessage(Frozen):
    """What the model said.

    `reasoning` is the provider's opaque state (signed thinking, reasoning items, thought signatures). It is sent
    back unchanged, in order, and only to the wire named by `wire`.
    """

    role: Literal["assistant"] = "assistant"
    text: str = ""
    tool_requests: tuple[ToolRequest, ...] = ()
    reasoning: tuple[JsonObject, ...] = ()
    wire: str = ""


class ToolMessage(Frozen):
    """The result of one tool call, answering the request with this id."""

    role: Literal["tool"] = "tool"
    request_id: str
    name: str
    text: str
    is_error: bool = False


Message = Annotated[SystemMessage | UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")]


class ToolChoice(StrEnum):
    AUTO = "auto"
    NONE = "none"
    REQUIRED = "required"  # some tool
    # the name of one tool is forced by ModelRequest.forced_tool


class JsonOutput(Frozen):
    """Ask for text that is JSON of this schema."""

    name: str
    json_schema: JsonObject


class ModelRequest(Frozen):
    """One call of a model: the conversation so far, and what the answer may be.

    `stable_messages` is how many messages at the start will never change again: the prefix a provider may
    cache (None: all of them).
    """

    messages: tuple[Message, ...]
    tools: tuple[ToolDefinition, ...] = ()
    tool_choice: ToolChoice = ToolChoice.AUTO
    forced_tool: str | None = None
    json_output: JsonOutput | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    stable_messages: int | None = None


class StopReason(StrEnum):
    END = "end"
    TOOL_USE = "tool_use"
    LENGTH = "length"
    REFUSED = "refused"
    OTHER = "other"


class Usage(Frozen):
    """Tokens of one call; None where the provider did not say.

    `input_tokens` counts everything sent, the cached part (`cached_input_tokens`) and the part written to the
    cache (`cache_write_tokens`) included. `output_tokens` includes `reasoning_tokens`.
    """

    input_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None


class Fallback(Frozen):
    """Who answered in another's place, and the reason of the error that the other ended with."""

    route: "Route"
    reason: str


class ModelAnswer(Frozen):
    """What came back from one call: `attempts` counts its requests, `latency_ms` is their sum."""

    message: AssistantMessage
    stop_reason: StopReason
    usage: Usage = Usage()
    model: str = ""
    request_id: str | None = None
    attempts: int = 1
    latency_ms: int = 0
    notes: tuple[str, ...] = ()
    """What a reader of the report should know of this call, such as a dropped parameter."""
    fallback: Fallback | None = None


class Rate(Frozen):
    """US dollars per million tokens; cached or written tokens without a rate cost what other input costs."""

    input_per_mtok: float
    output_per_mtok: float
    cached_input_per_mtok: float | None = None
    cache_write_per_mtok: float | None = None


class Tier(Rate):
    """What a call costs, all of it, once its input is larger than this."""

    above_input_tokens: int


class Price(Rate):
    """What calls cost: the rate for small ones and `tiers`, the lowest first, for larger ones.

    `source` names the lists it was put together from, with their versions.
    """

    tiers: tuple[Tier, ...] = ()
    source: str

    def rate_for(self, input_tokens: int) -> Rate:
        return next((tier for tier in reversed(self.tiers) if input_tokens > tier.above_input_tokens), self)


class Route(Frozen):
    """Where a call goes: pinned on the agent when it is created. Holds a credential's name, never its value."""

    provider: str
    """Who is asked: a provider, or an endpoint with a name of its own."""
    kind: str = ""
    """The provider whose kind such an endpoint is; empty where that is the provider itself."""
    model: str
    """The provider's native id; Azure's deployment."""
    wire: str
    """`offline`, or a name in the table of wires."""
    base_url: str = ""
    """What the wire appends its path to; empty where the AWS SDK knows the address.

    Anthropic, Google, Vertex and Ollama: the root, without version. OpenAI's wires: all before `/chat/completions`
    or `/responses`, for Azure with the deployment in it where its API version wants that.
    """
    credential_ref: str | None = None
    """Such as `env:ANTHROPIC_API_KEY`; None where no key is needed.

    A set is named by its variables: `env:AWS_ACCESS_KEY_ID,AWS_SECRET_ACCESS_KEY`. `google:VARIABLE` names a service
    account's key; `aws:default` and `google:default` stand for what the vendor's own library finds.
    """
    api_version: str | None = None
    """Azure's `api-version` parameter; None for its `v1` API and for everybody else."""
    region: str | None = None
    """AWS region of Bedrock."""
    project: str | None = None
    location: str | None = None
    """Google Cloud project and location of Vertex AI; both None for Google AI."""
    parameters: JsonObject = {}
    temperature: float | None = None
    """For calls that want no other; None: the provider's default."""
    context_window: int | None = None
    max_output_tokens: int | None = None
    takes_tools: bool = True
    price: Price | None = None
    data_leaves_host: bool = True
    picked: str = ""
    """The name as it was asked for, before translation."""
    alias: str = ""
    """The alias that led here; empty where none did."""
    origin: str = ""
    """Why this model: the setting or rule that named it, for people."""
    billed_to: Literal["platform", "caller"] = "platform"
    ip: str | None = None
    """What the address's host was when it was checked, and all that may be connected to; None: whatever it is."""
    fallbacks: "tuple[Route, ...]" = ()
    """Who may be asked in its place while it cannot be, the first one first; these have none of their own."""

    @property
    def label(self) -> str:
        return f"{self.provider}/{self.model}"

    @property
    def vendor(self) -> str:
        """The provider whose ways the endpoint has."""
        return self.kind or self.provider


Fallback.model_rebuild()
ModelAnswer.model_rebuild()


class Model(Protocol):
    """Whatever answers a conversation: a provider's model, or the offline analyst."""

    def ask(
        self, request: ModelRequest, *, route: Route, timeout_s: float, confirm: Confirm | None = None
    ) -> ModelAnswer: ...
