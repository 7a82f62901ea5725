"""The tables. A row is written in one transaction with whatever follows from it."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, Float, ForeignKey, Index, Integer, MetaData, String, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from worker.storage.types import Json, Prose, UtcDateTime

Id = String(40)
Word = String(60)


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class IncidentRow(Base):
    """Something wrong, as one or more alerts told it."""

    __tablename__ = "incidents"
    __table_args__ = (
        Index("ix_incidents_fold", "user_path", "fingerprint", "status"),
        Index("ix_incidents_related", "user_path", "status", "last_seen_at"),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    user_path: Mapped[str] = mapped_column(Prose)
    fingerprint: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(Word)
    title: Mapped[str] = mapped_column(Prose)
    severity: Mapped[str] = mapped_column(Word)
    service: Mapped[str | None] = mapped_column(Prose)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    alert_count: Mapped[int] = mapped_column(Integer, default=1)
    first_seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
    resolved_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    event: Mapped[dict[str, Any]] = mapped_column(Json)


class AlertRow(Base):
    """One message of a monitor; its idempotency key is unique below its user path.

    `alert_no` is its place in its incident, given out under the incident's lock: whoever sees one sees all before it.
    A message that only tells an end has none. `resolved_at` is None while the alert fires.
    """

    __tablename__ = "alerts"
    __table_args__ = (
        UniqueConstraint("user_path", "idempotency_key", name="uq_alerts_key"),
        Index("ix_alerts_received", "incident_id", "received_at"),
        Index("ix_alerts_fingerprint", "fingerprint", "incident_id"),
        Index("ix_alerts_open", "incident_id", "resolved_at"),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    incident_id: Mapped[str] = mapped_column(ForeignKey("incidents.id"), index=True)
    investigation_id: Mapped[str] = mapped_column(Id)
    user_path: Mapped[str] = mapped_column(Prose)
    idempotency_key: Mapped[str] = mapped_column(Prose)
    via: Mapped[str] = mapped_column(Word)
    received_at: Mapped[datetime] = mapped_column(UtcDateTime)
    alert_no: Mapped[int | None] = mapped_column(Integer)
    fingerprint: Mapped[str | None] = mapped_column(String(64))
    resolved_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    fold_reason: Mapped[str | None] = mapped_column(Prose)
    event: Mapped[dict[str, Any]] = mapped_column(Json)


class InvestigationRow(Base):
    """One attempt to explain one incident.

    `llm_handle` is that of the caller's account it was started with; None: the incident's, where that has one.
    """

    __tablename__ = "investigations"
    __table_args__ = (
        Index("ix_investigations_queue", "status", "user_path", "severity_rank", "id"),
        Index("ix_investigations_admitted", "user_path", "admitted_at"),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    incident_id: Mapped[str] = mapped_column(ForeignKey("incidents.id"), index=True)
    attempt_no: Mapped[int] = mapped_column(Integer)
    retry_of: Mapped[str | None] = mapped_column(Id)
    user_path: Mapped[str] = mapped_column(Prose)
    severity_rank: Mapped[int] = mapped_column(Integer)
    status: Mapped[str] = mapped_column(Word)
    verdict: Mapped[str | None] = mapped_column(Word)
    failure_class: Mapped[str | None] = mapped_column(Word)
    failure_reason: Mapped[str | None] = mapped_column(Prose)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    admitted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    deadline_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    cancel_requested_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    limits: Mapped[dict[str, Any] | None] = mapped_column(Json)
    routes: Mapped[dict[str, Any] | None] = mapped_column(Json)
    llm_generation: Mapped[int | None] = mapped_column(Integer)
    llm_handle: Mapped[str | None] = mapped_column(String(100))


class AgentRow(Base):
    """One model conversation and where its step machine stands.

    `wave_no` counts a lead's waves of sub-agents, and says of a sub-agent which one is its. `brief` is what a
    sub-agent was told, `note` why the conversation is what it is, `verification` what the verify pass said.
    """

    __tablename__ = "agents"
    __table_args__ = (Index("ix_agents_lease", "claim_token", "lease_until"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    investigation_id: Mapped[str] = mapped_column(ForeignKey("investigations.id"), index=True)
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("agents.id"), index=True)
    agent_no: Mapped[int] = mapped_column(Integer, default=0)
    kind: Mapped[str] = mapped_column(Word)
    role: Mapped[str] = mapped_column(Word)
    status: Mapped[str] = mapped_column(Word, index=True)
    turn_no: Mapped[int] = mapped_column(Integer, default=1)
    nonce: Mapped[str] = mapped_column(Word)
    route: Mapped[dict[str, Any]] = mapped_column(Json)
    judge_route: Mapped[dict[str, Any] | None] = mapped_column(Json)
    claim_token: Mapped[str | None] = mapped_column(Id)
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    not_before: Mapped[datetime] = mapped_column(UtcDateTime)
    deadline_at: Mapped[datetime] = mapped_column(UtcDateTime)
    cancel_requested_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    losses: Mapped[int] = mapped_column(Integer, default=0)
    outage_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    partial: Mapped[str | None] = mapped_column(Prose)
    resume_status: Mapped[str | None] = mapped_column(Word)
    wave_no: Mapped[int | None] = mapped_column(Integer)
    brief: Mapped[dict[str, Any] | None] = mapped_column(Json)
    note: Mapped[str | None] = mapped_column(Prose)
    verification: Mapped[dict[str, Any] | None] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class TurnRow(Base):
    """One finished model call: what was said to it beyond the rows before, and what it answered.

    `heard_alert_no` is the newest alert of the incident that its agent had been told of by then; no `purpose` is that
    of a single agent.
    """

    __tablename__ = "turns"

    agent_id: Mapped[str] = mapped_column(ForeignKey("agents.id"), primary_key=True)
    turn_no: Mapped[int] = mapped_column(Integer, primary_key=True)
    note: Mapped[str | None] = mapped_column(Prose)
    heard_alert_no: Mapped[int | None] = mapped_column(Integer)
    purpose: Mapped[str | None] = mapped_column(Word)
    message: Mapped[dict[str, Any]] = mapped_column(Json)
    stop_reason: Mapped[str] = mapped_column(Word)
    model: Mapped[str] = mapped_column(Prose)
    request_id: Mapped[str | None] = mapped_column(Prose)
    notes: Mapped[list[str]] = mapped_column(Json)
    prompt_versions: Mapped[dict[str, str]] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ToolCallRow(Base):
    """One tool call of one turn, from the model's wish to its outcome."""

    __tablename__ = "tool_calls"

    agent_id: Mapped[str] = mapped_column(ForeignKey("agents.id"), primary_key=True)
    turn_no: Mapped[int] = mapped_column(Integer, primary_key=True)
    seq: Mapped[int] = mapped_column(Integer, primary_key=True)
    evidence_id: Mapped[str] = mapped_column(Word)
    request_id: Mapped[str] = mapped_column(Prose)
    tool: Mapped[str] = mapped_column(Prose)
    arguments: Mapped[dict[str, Any] | None] = mapped_column(Json)
    command: Mapped[str | None] = mapped_column(Prose)
    status: Mapped[str] = mapped_column(Word)
    layer: Mapped[str | None] = mapped_column(Word)
    reason: Mapped[str | None] = mapped_column(Prose)
    repeats: Mapped[str | None] = mapped_column(Word)
    text: Mapped[str | None] = mapped_column(Prose)
    artifact_id: Mapped[str | None] = mapped_column(Id)
    window: Mapped[dict[str, Any] | None] = mapped_column(Json)
    entities: Mapped[list[str]] = mapped_column(Json)
    series: Mapped[list[dict[str, Any]]] = mapped_column(Json)
    row_count: Mapped[int | None] = mapped_column(Integer)
    duration_ms: Mapped[int | None] = mapped_column(Integer)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class FindingRow(Base):
    """What a sub-agent found; `reason` says why code wrote it, None where the model handed it in."""

    __tablename__ = "findings"

    agent_id: Mapped[str] = mapped_column(ForeignKey("agents.id"), primary_key=True)
    investigation_id: Mapped[str] = mapped_column(ForeignKey("investigations.id"), index=True)
    body: Mapped[dict[str, Any]] = mapped_column(Json)
    reason: Mapped[str | None] = mapped_column(Prose)
    is_late: Mapped[bool] = mapped_column(Boolean, default=False)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class SharedCallRow(Base):
    """Which tool call of an investigation stands for all that are the same, and whose claim it runs under."""

    __tablename__ = "shared_calls"

    investigation_id: Mapped[str] = mapped_column(ForeignKey("investigations.id"), primary_key=True)
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    agent_id: Mapped[str] = mapped_column(ForeignKey("agents.id"), index=True)
    turn_no: Mapped[int] = mapped_column(Integer)
    seq: Mapped[int] = mapped_column(Integer)
    claim_token: Mapped[str] = mapped_column(Id)


class ArtifactRow(Base):
    """A tool's output, whole."""

    __tablename__ = "artifacts"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    investigation_id: Mapped[str] = mapped_column(ForeignKey("investigations.id"), index=True)
    evidence_id: Mapped[str] = mapped_column(Word)
    text: Mapped[str] = mapped_column(Prose)
    size_bytes: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ReportRow(Base):
    __tablename__ = "reports"

    investigation_id: Mapped[str] = mapped_column(ForeignKey("investigations.id"), primary_key=True)
    verdict: Mapped[str] = mapped_column(Word)
    body: Mapped[dict[str, Any]] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class OutboxRow(Base):
    """A message owed to the queue; it lives until its step is claimed."""

    __tablename__ = "outbox"
    __table_args__ = (UniqueConstraint("agent_id", "step", "turn_no", name="uq_outbox_step"),)

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    agent_id: Mapped[str] = mapped_column(ForeignKey("agents.id"), index=True)
    step: Mapped[str] = mapped_column(Word)
    turn_no: Mapped[int] = mapped_column(Integer)
    queue: Mapped[str] = mapped_column(Word)
    publish_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    published: Mapped[int] = mapped_column(Integer, default=0)


class UsageRow(Base):
    """One model call as it is paid for, or reserved before it is made.

    A call of another program belongs to a user path and to no investigation. `cost_usd` and the tokens are what is
    known; the counted columns are what budgets take the call to be. A reservation counts while its agent holds the
    claim.
    """

    __tablename__ = "llm_usage"
    __table_args__ = (
        Index(
            "uq_llm_usage_reserved",
            "agent_id",
            "turn_no",
            "purpose",
            unique=True,
            postgresql_where=text("outcome = 'reserved'"),
            sqlite_where=text("outcome = 'reserved'"),
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    investigation_id: Mapped[str | None] = mapped_column(ForeignKey("investigations.id"), index=True)
    user_path: Mapped[str | None] = mapped_column(Prose)
    agent_id: Mapped[str] = mapped_column(Id)
    turn_no: Mapped[int] = mapped_column(Integer)
    purpose: Mapped[str] = mapped_column(Word)
    provider: Mapped[str] = mapped_column(Word)
    model: Mapped[str] = mapped_column(Prose)
    outcome: Mapped[str] = mapped_column(Word)
    input_tokens: Mapped[int | None] = mapped_column(Integer)
    cached_input_tokens: Mapped[int | None] = mapped_column(Integer)
    cache_write_tokens: Mapped[int | None] = mapped_column(Integer)
    output_tokens: Mapped[int | None] = mapped_column(Integer)
    reasoning_tokens: Mapped[int | None] = mapped_column(Integer)
    cost_usd: Mapped[float | None] = mapped_column(Float)
    price_source: Mapped[str | None] = mapped_column(Prose)
    billed_to: Mapped[str] = mapped_column(Word, default="platform")
    attempts: Mapped[int] = mapped_column(Integer, default=1)
    latency_ms: Mapped[int] = mapped_column(Integer, default=0)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    claim_token: Mapped[str | None] = mapped_column(Id)
    counted_tokens: Mapped[int | None] = mapped_column(Integer)
    counted_cost_usd: Mapped[float | None] = mapped_column(Float)
    fallback_of: Mapped[str | None] = mapped_column(Prose)
    fallback_reason: Mapped[str | None] = mapped_column(Word)


class VerdictRow(Base):
    """A judge's verdict on one command, kept so that it is not asked again."""

    __tablename__ = "verdicts"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    verdict: Mapped[str] = mapped_column(Word)
    reason: Mapped[str] = mapped_column(Prose)
    model: Mapped[str] = mapped_column(Prose)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class TokenRow(Base):
    """An API token: only the hash of its secret is kept."""

    __tablename__ = "tokens"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(Prose)
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    scopes: Mapped[list[str]] = mapped_column(Json)
    user_path: Mapped[str] = mapped_column(Prose)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class LeaseRow(Base):
    """A duty that one process at a time has, such as sweeping."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(Word, primary_key=True)
    holder: Mapped[str] = mapped_column(Id)
    until: Mapped[datetime] = mapped_column(UtcDateTime)


class BudgetLiftRow(Base):
    """An operator's word that a day's budget does not bind: of one user path, or of the fleet where there is none."""

    __tablename__ = "budget_lifts"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    day: Mapped[str] = mapped_column(String(10), index=True)
    user_path: Mapped[str | None] = mapped_column(Prose)
    reason: Mapped[str] = mapped_column(Prose)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class DeliveryRow(Base):
    """A report owed to one destination; its id is the idempotency key that the destination sees."""

    __tablename__ = "deliveries"
    __table_args__ = (
        UniqueConstraint("investigation_id", "destination", name="uq_deliveries_destination"),
        Index("ix_deliveries_due", "status", "next_attempt_at"),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    investigation_id: Mapped[str] = mapped_column(ForeignKey("investigations.id"))
    destination: Mapped[str] = mapped_column(Word)
    status: Mapped[str] = mapped_column(Word)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    next_attempt_at: Mapped[datetime] = mapped_column(UtcDateTime)
    claim_token: Mapped[str | None] = mapped_column(Id)
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    failure: Mapped[str | None] = mapped_column(Prose)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
