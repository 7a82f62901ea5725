"""The shapes of model management over HTTP: what may be said, and what is answered."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from worker.web.answers import Answer


class Body(BaseModel):
    """What a caller says; a field that nobody knows is refused, so that no misspelled one is lost."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


# Providers and keys


class ProviderAnswer(Answer):
    """One provider as it stands. Of a key never more than its last four characters."""

    provider: str
    configured: bool
    active: bool
    model: str | None
    orchestrator_model: str | None
    requires_key: bool
    key_present: bool
    key_last4: str | None = Field(description="Null for keys of fewer than 12 characters.")
    source: Literal["vault", "database", "env"] | None = Field(description="Where the key is from that counts.")
    base_url: Literal["required", "optional", "none"]
    data_leaves_host: bool


class ProvidersAnswer(Answer):
    active_backend: str | None = Field(description="The provider that all picks go to; null where each has its own.")
    generation: int
    providers: tuple[ProviderAnswer, ...]


class ConfigBody(Body):
    """What is left out stays as it is, null clears it."""

    provider: str
    model: str | None = None
    orchestrator_model: str | None = None
    base_url: str | None = None


class ConfigAnswer(Answer):
    provider: str
    model: str | None
    orchestrator_model: str | None
    base_url: str | None
    warning: str | None = Field(description="What was taken and does not count.")


class KeyBody(Body):
    api_key: str


class KeyAnswer(Answer):
    provider: str
    key_present: bool
    key_last4: str | None
    source: Literal["vault", "database", "env"] | None


class ReachedAnswer(Answer):
    """What came of a call of a few tokens."""

    provider: str
    model: str
    reachable: bool
    latency_ms: int | None = None
    error: str | None = Field(default=None, description="A stable word for programs.")
    message: str | None = Field(default=None, description="What is wrong and what to do.")


# Aliases, access, prices


class AliasBody(Body):
    """`target` is `provider/model`, a model's or a profile's name; or say `target_model` and `target_provider`."""

    target: str | None = None
    target_model: str | None = None
    target_provider: str | None = None
    enabled: bool = True
    description: str = Field(default="", max_length=500)

    @model_validator(mode="after")
    def _one_way(self) -> "AliasBody":
        if (self.target is None) == (self.target_model is None):
            raise ValueError("say either target or target_model")
        if self.target_provider is not None and self.target_model is None:
            raise ValueError("target_provider goes with target_model")
        return self

    @property
    def selector(self) -> str:
        model = self.target_model or self.target or ""
        return f"{self.target_provider}/{model}" if self.target_provider else model


class AliasAnswer(Answer):
    name: str
    target: str
    enabled: bool
    valid: bool = Field(description="Whether it leads anywhere now.")
    description: str


class AliasesAnswer(Answer):
    aliases: tuple[AliasAnswer, ...]


class AccessBody(Body):
    enabled: bool = True
    user_paths: tuple[str, ...] = Field(default=(), description="Subtrees that may use it; an enabled rule needs one.")


class AccessAnswer(Answer):
    selector: str
    enabled: bool
    user_paths: tuple[str, ...]
    valid: bool = Field(description="Whether the selector names anything that is known now.")


class AccessesAnswer(Answer):
    overrides: tuple[AccessAnswer, ...]


class PriceAnswer(Answer):
    selector: str
    pricing: dict[str, Any]
    valid: bool


class PricesAnswer(Answer):
    pricing: tuple[PriceAnswer, ...]


class ModelAnswerLine(Answer):
    """One model as it would be asked for now."""

    selector: str
    provider: str
    model: str
    context_window: int | None
    max_output_tokens: int | None
    price_source: str | None
    override: AccessAnswer | None = Field(description="The rule that names this very model, if one does.")
    aliases: tuple[str, ...]


class ModelsAnswer(Answer):
    models: tuple[ModelAnswerLine, ...]


# What callers see


class ListedModel(Answer):
    """A model in the words of OpenAI's list."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str


class ListedModels(Answer):
    object: Literal["list"] = "list"
    data: tuple[ListedModel, ...]


# The audit chain


class AuditAnswer(Answer):
    seq: int
    at: datetime
    actor: str
    action: str
    subject: str
    outcome: Literal["done", "refused"]
    detail: dict[str, Any]
    hash: str


class AuditsAnswer(Answer):
    entries: tuple[AuditAnswer, ...]
    next: int | None = Field(description="`before` of the next page; null on the last.")
