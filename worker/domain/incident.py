"""What comes in: one event of an alert source, as it travels on the wire."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, field_validator

from worker.domain.callers import CallersModel

ShortText = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
Label = Annotated[str, StringConstraints(max_length=4000)]

MAX_EVENT_BYTES = 1024 * 1024
"""A larger event is rejected: alerts carry words, not data."""


class Severity(StrEnum):
    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    INFO = "info"

    @property
    def rank(self) -> int:
        """0 is the most urgent."""
        return list(Severity).index(self)


_SEVERITY_WORDS = {
    "page": Severity.CRITICAL,
    "fatal": Severity.CRITICAL,
    "error": Severity.HIGH,
    "major": Severity.HIGH,
    "warning": Severity.MEDIUM,
    "warn": Severity.MEDIUM,
    "minor": Severity.LOW,
    "none": Severity.INFO,
    "information": Severity.INFO,
}


class Budget(BaseModel):
    """What one investigation may take, where that is less than what the operator allows; 0 is a value."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="Budget")

    max_turns: Annotated[int, Field(ge=0)] | None = Field(default=None, description="Model turns of one agent.")
    max_tokens: Annotated[int, Field(ge=0)] | None = Field(default=None, description="Tokens, in and out.")
    max_cost_usd: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        default=None, description="Dollars; a price that is unknown counts by the operator's ceiling."
    )
    max_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        default=None, description="Wall clock from its start."
    )


class IncidentEvent(BaseModel):
    """One alert as an alerting system sends it. Only `title` is required; all times carry a zone."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="IncidentEvent")

    title: ShortText = Field(description="What is wrong, in one line.")
    source: Annotated[str, StringConstraints(max_length=100)] = Field(
        default="custom", description="The system that noticed, e.g. `alertmanager`."
    )
    severity: Severity = Field(default=Severity.MEDIUM, description="How urgent it is.")
    service: ShortText | None = Field(default=None, description="Where it alerted; not necessarily the cause.")
    started_at: AwareDatetime | None = Field(default=None, description="When it began; absent: on arrival.")
    ended_at: AwareDatetime | None = Field(default=None, description="When it ended; absent: still going on.")
    resolved: bool = Field(
        default=False, description="True: this only says that what was reported before is over; it opens nothing."
    )
    description: Annotated[str, StringConstraints(max_length=20_000)] = Field(
        default="", description="Whatever the source says beyond the title."
    )
    labels: dict[ShortText, Label] = Field(
        default_factory=dict, max_length=200, description="Labels of the alert, strings to strings."
    )
    links: tuple[Annotated[str, StringConstraints(max_length=2000)], ...] = Field(
        default=(), max_length=50, description="Dashboards, runbooks and the like."
    )
    raw: dict[str, Any] | None = Field(default=None, description="The source's own message, kept as it came.")
    idempotency_key: ShortText | None = Field(
        default=None, description="The same key again is the same event: it is answered with the first id."
    )
    user_path: Annotated[str, StringConstraints(max_length=500)] = Field(
        default="/", description="Whose incident it is, e.g. `/team/alpha`; bounds who may read the report."
    )
    local_only: bool = Field(default=False, description="Only models whose route keeps data on this host.")
    model: ShortText | None = Field(default=None, description="The model to investigate with.")
    llm: CallersModel | None = Field(default=None, description="The caller's own model account, or its handle.")
    budget: Budget | None = Field(
        default=None, description="Lower bounds than the operator's for this investigation; higher ones change nothing."
    )

    @classmethod
    def stored(cls, fields: Mapping[str, Any]) -> Self:
        """Read an event from its row: what only a newer version knows is left out, so that both can run at once."""
        return cls.model_validate({name: value for name, value in fields.items() if name in cls.model_fields})

    @field_validator("severity", mode="before")
    @classmethod
    def _known_severity(cls, value: object) -> object:
        word = value.strip().lower() if isinstance(value, str) else value
        return _SEVERITY_WORDS.get(word, word) if isinstance(word, str) else word

    @field_validator("user_path")
    @classmethod
    def _clean_path(cls, value: str) -> str:
        return clean_user_path(value)


class TimeWindow(BaseModel):
    """A span of time, `start` included, `end` excluded, UTC."""

    model_config = ConfigDict(frozen=True)

    start: AwareDatetime
    end: AwareDatetime

    def contains(self, moment: datetime) -> bool:
        return self.start <= moment < self.end


def clean_user_path(path: str) -> str:
    """Return the one spelling of a user path, with a slash before it and none after. Raises ValueError."""
    segments = path.strip().strip("/").split("/") if path.strip().strip("/") else []
    if any(s in {"", ".", ".."} or ":" in s for s in segments):
        raise ValueError("segments of user_path are not empty, '.', '..' and hold no ':'")
    return "/" + "/".join(segments)


def covers_path(owner: str, path: str) -> bool:
    """Say whether `path` lies in the subtree of `owner`: `/team/a` covers `/team/a/svc`, not `/team/ab`."""
    return owner in {"/", path} or path.startswith(owner + "/")
