"""The shapes of what goes out over HTTP; the OpenAPI document is made of them."""

from datetime import date, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from worker.domain.report import UsageLine


class Answer(BaseModel):
    model_config = ConfigDict(frozen=True, from_attributes=True)


class ErrorDetail(Answer):
    error: str = Field(description="A stable word for programs.")
    message: str = Field(description="What is wrong and what to do, for people.")
    provider: str | None = Field(default=None, description="Whose account it was, where a caller's own was tried.")


class HandleAnswer(Answer):
    """What stands for a caller's account wherever it may not travel itself."""

    handle: str
    expires_in_s: int


class LibraryError(Answer):
    """The same for OpenAI's libraries, which look for it under another name."""

    message: str
    type: str
    code: str


class ErrorAnswer(Answer):
    """Every error, whatever its status."""

    detail: ErrorDetail
    error: LibraryError | None = Field(default=None, description="On the routes in OpenAI's words alone.")


class IncidentAnswer(Answer):
    """What became of an event; it is on disk."""

    incident_id: str
    outcome: Literal["accepted", "folded", "repeated", "resolved", "unmatched"] = Field(
        description="`resolved`: it told an end; `unmatched`: the end of something not known, so nothing is opened."
    )
    investigation_id: str | None = Field(description="Null where there is none: `unmatched`.")
    status: str | None = Field(description="The investigation's status.")
    folded: bool = Field(description="Whether it joined an incident that was already open.")


class AlertAnswer(Answer):
    """What became of one alert of a group: the ids where it was taken, the reason where it was not."""

    index: int = Field(description="Its place in the group, from 0.")
    outcome: Literal["accepted", "folded", "repeated", "resolved", "unmatched", "rejected"]
    incident_id: str | None = None
    investigation_id: str | None = None
    status: str | None = None
    message: str | None = None


class WebhookAnswer(Answer):
    results: tuple[AlertAnswer, ...]


class ListedAnswer(Answer):
    """One line of the list."""

    id: str
    incident_id: str
    title: str
    severity: str
    service: str | None
    status: str
    verdict: str | None
    failure_class: str | None
    failure_reason: str | None
    attempt_no: int
    retry_of: str | None
    alert_count: int
    user_path: str
    created_at: datetime
    finished_at: datetime | None
    position: int | None = Field(
        default=None, description="Its place among the queued, from 1; null: it does not wait."
    )
    waits_for: str | None = Field(
        default=None, description="The budget of the day that a queued one waits for, and until when; null: none."
    )


class PageAnswer(Answer):
    investigations: tuple[ListedAnswer, ...]
    next: str | None = Field(description="`before` of the next page; null on the last.")


class AlertLineAnswer(Answer):
    """One alert of an incident."""

    id: str
    title: str
    severity: str
    service: str | None
    started_at: datetime | None
    received_at: datetime
    fold_reason: str | None = Field(description="Why it joined; null for the one that opened the incident.")


class AgentAnswer(Answer):
    """One agent as it stands; those with a `parent_id` are sub-agents, and below it in the tree."""

    id: str
    parent_id: str | None
    agent_no: int
    kind: str
    role: str
    purpose: str | None = Field(description="The question a sub-agent has to answer; null for others.")
    wave_no: int | None = Field(description="A sub-agent's wave; of a lead, how many it has sent out.")
    status: str
    model: str
    turn_no: int = Field(description="The turn it is at, from 1.")
    turns: int = Field(description="Turns finished.")
    tool_calls: dict[str, int] = Field(description="How many, by status.")
    tokens: int | None = Field(description="In and out, its judge's calls too; null where a part is not known.")
    cost_usd: float | None = Field(description="Null where the price of a call is not known; never 0 for unknown.")
    strength: str | None = Field(description="How well the evidence carries a sub-agent's finding; null: none yet.")
    missing: str | None = Field(description="Why a sub-agent that has ended left no finding to rely on.")
    note: str | None = Field(description="Why a lead sent sub-agents, or went on alone.")
    partial: str | None
    created_at: datetime
    deadline_at: datetime
    cancel_requested_at: datetime | None
    finished_at: datetime | None


class DeliveryAnswer(Answer):
    """One report on its way to one destination."""

    id: str = Field(description="The idempotency key that the destination sees.")
    investigation_id: str
    destination: str
    status: Literal["waiting", "due", "sending", "delivered", "failed"]
    attempts: int
    next_attempt_at: datetime | None = Field(description="When it is tried again; null where nothing is planned.")
    failure: str | None = Field(description="Why the last attempt did not succeed.")
    created_at: datetime
    finished_at: datetime | None


class DeliveriesAnswer(Answer):
    deliveries: tuple[DeliveryAnswer, ...]
    next: str | None = Field(description="`before` of the next page; null on the last.")


class ResentAnswer(Answer):
    delivery_id: str
    destination: str


class AttemptAnswer(Answer):
    """One investigation of the same incident."""

    id: str
    attempt_no: int
    status: str
    verdict: str | None
    retry_of: str | None = Field(description="Which one it goes on from; null for one from scratch.")
    created_at: datetime


class InvestigationAnswer(ListedAnswer):
    """One investigation as it stands."""

    admitted_at: datetime | None
    deadline_at: datetime | None
    cancel_requested_at: datetime | None
    resolved_at: datetime | None = Field(description="When the monitors said that the incident is over.")
    attempts: tuple[AttemptAnswer, ...] = Field(description="Every investigation of this incident, in order.")
    deliveries: tuple[DeliveryAnswer, ...]
    alerts: tuple[AlertLineAnswer, ...] = Field(description="The newest 50 of `alert_count`, in their order.")
    agents: tuple[AgentAnswer, ...]
    usage: tuple[UsageLine, ...]
    links: dict[str, str] = Field(description="Where to go on: `self`, `page`, and `report` once there is one.")


class StandsAnswer(Answer):
    """Where an investigation stands after it was cancelled, retried or begun anew."""

    investigation_id: str
    status: str


class AgentStandsAnswer(Answer):
    """Where a sub-agent stands after it was cancelled."""

    investigation_id: str
    agent_no: int
    status: str = Field(description="Not yet `cancelled` while a call of it is in flight: it ends with that call.")


class AmountAnswer(Answer):
    """What a day's calls count as, calls in flight included; null limits do not bind."""

    tokens: int
    cost_usd: float = Field(description="Unknown prices count by the configured ceiling.")
    max_tokens: int | None
    max_cost_usd: float | None
    is_lifted: bool = Field(description="Whether an operator took the limits off for today.")
    waits_for: str | None = Field(description="Why new investigations wait; null while they do not.")
    waiting: int = Field(description="Investigations that are queued, for whatever reason.")


class PathAnswer(AmountAnswer):
    user_path: str


class BudgetAnswer(Answer):
    """One UTC day's budgets, as far as the token's path reaches."""

    day: date
    ends_at: datetime
    fleet: AmountAnswer | None = Field(description="All paths together; only for the path `/`.")
    paths: tuple[PathAnswer, ...]


class AliveAnswer(Answer):
    status: Literal["alive"] = "alive"


class ReadyAnswer(Answer):
    status: Literal["ready"] = "ready"


_MEANINGS = {
    400: "What was sent does not fit; the message says what would.",
    401: "No token, or one that is unknown, expired or revoked.",
    403: "The token may not do this, or the request comes from another site.",
    404: "There is no such thing below the token's path.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    422: "The caller's own account does not know the model.",
    429: "Too many refused secrets, or a limit or budget is reached; again after `Retry-After` seconds.",
    502: "The provider's account or its answer is not as it should be; the message says what is to be done here.",
    503: "The database is away; again after `Retry-After` seconds.",
}


def failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI entries of the errors that a route answers with."""
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{ErrorAnswer.__name__}"}}}
    return {status: {"description": _MEANINGS[status], "content": content} for status in statuses}


def text_answer(description: str) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI entry of an answer that is plain text."""
    return {200: {"description": description, "content": {"text/plain": {"schema": {"type": "string"}}}}}


GUARDED = (401, 403, 429, 503)
"""What any route that wants a token may answer."""
