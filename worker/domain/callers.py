"""A caller's own model account, as it comes with an incident and as it is kept."""

from typing import Literal, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator


class CallersModel(BaseModel):
    """Whom to ask with the caller's own key; once that is sealed, only `handle` is left.

    With `apply_to: ["all"]` the judge of commands asks there too, who else is the operator's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, title="CallersModel")

    handle: str | None = Field(default=None, max_length=100, description="What `POST /v1/llm/handles` answered.")
    provider: str | None = Field(default=None, max_length=100)
    model: str | None = Field(default=None, max_length=300)
    key: SecretStr | None = Field(default=None, validation_alias=AliasChoices("key", "api_key"), max_length=10_000)
    base_url: str | None = Field(default=None, max_length=2000)
    extra: dict[str, str] = Field(default_factory=dict, description="Azure: `api_version`.")
    preflight: bool = Field(default=False, description="Whether one short call is tried at once.")
    apply_to: tuple[Literal["all"], ...] = ()

    @field_validator("provider", "model", "base_url", "handle")
    @classmethod
    def _trimmed(cls, value: str | None) -> str | None:
        return (value.strip() or None) if value is not None else None

    @model_validator(mode="after")
    def _is_one_of_two(self) -> Self:
        account = {name for name in type(self).model_fields if name != "handle" and getattr(self, name)}
        if self.handle and account:
            raise ValueError(f"is either a handle or an account; leave {', '.join(sorted(account))} out")
        return self


class AgainBody(BaseModel):
    """What another attempt at an incident may be given."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    llm: CallersModel | None = Field(default=None, description="A fresh account to ask; absent: as it was before.")
