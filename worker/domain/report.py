"""The report, schema version 1: what an engineer reads and what `rca schema report` publishes."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from worker.domain.incident import TimeWindow
from worker.domain.states import ReportVerdict

SCHEMA_VERSION: Literal["1"] = "1"

MAX_SENTENCE_CHARS = 4000
Sentence = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_SENTENCE_CHARS)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)]


class Category(StrEnum):
    """What kind of cause it is; `other` together with `category_detail` for what no word fits."""

    CODE_CHANGE = "code_change"
    CONFIG_CHANGE = "config_change"
    DEPLOYMENT = "deployment"
    RESOURCE_CPU = "resource_cpu"
    RESOURCE_MEMORY = "resource_memory"
    RESOURCE_DISK = "resource_disk"
    RESOURCE_POOL = "resource_pool"  # connections, threads, file handles, quotas
    NETWORK = "network"
    LATENCY = "latency"
    ERRORS = "errors"
    TRAFFIC = "traffic"
    DATABASE = "database"
    DEPENDENCY = "dependency"
    NODE = "node"
    SCHEDULING = "scheduling"
    SECURITY = "security"
    DATA = "data"
    EXTERNAL_PROVIDER = "external_provider"
    OTHER = "other"


class Confidence(StrEnum):
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Block(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Citation(Block):
    """One claim's hold on the evidence: the id of a tool result, and words or numbers found in it."""

    evidence_id: str = Field(description="The id shown with the tool result, such as `e2.1`.")
    quote: str | None = Field(
        default=None, max_length=1000, description="Text copied exactly from that result; null for none."
    )


class RootCause(Block):
    entity: Name = Field(description="The service, node, change or resource at fault, as the tools name it.")
    category: Category
    category_detail: str | None = Field(default=None, max_length=300)
    statement: Sentence = Field(description="What went wrong there, in one or two sentences.")
    causal_chain: tuple[Sentence, ...] = Field(
        default=(), max_length=20, description="From the cause to what users saw, one hop each."
    )
    change_id: str | None = Field(default=None, description="The guilty change, such as a commit's sha.")
    evidence: tuple[Citation, ...] = Field(default=(), max_length=30)


class Factor(Block):
    statement: Sentence
    evidence: tuple[Citation, ...] = ()


class TimelineEntry(Block):
    at: AwareDatetime
    text: Sentence
    evidence_id: str | None = None


class RuledOut(Block):
    hypothesis: Sentence
    reason: Sentence
    evidence: tuple[Citation, ...] = ()


class Suggestion(Block):
    """Something a person may do. The product never runs it."""

    action: Sentence
    command: str | None = Field(default=None, max_length=2000)
    risk: Literal["low", "medium", "high"] = "medium"
    undo: str | None = Field(default=None, max_length=2000)


class Gap(Block):
    """What was wanted and could not be known."""

    wanted: Sentence
    reason: Sentence


class Submission(Block):
    """What a model hands in by calling `submit_report`."""

    verdict: ReportVerdict
    confidence: Confidence
    summary: Sentence
    root_causes: tuple[RootCause, ...] = Field(default=(), max_length=10, description="Most likely first.")
    contributing_factors: tuple[Factor, ...] = Field(default=(), max_length=20)
    timeline: tuple[TimelineEntry, ...] = Field(default=(), max_length=100)
    impact: str = Field(default="", max_length=4000)
    ruled_out: tuple[RuledOut, ...] = Field(
        default=(),
        max_length=30,
        description="What was considered and dropped; with `no_incident`, what was looked at and found normal.",
    )
    gaps: tuple[Gap, ...] = Field(default=(), max_length=50)
    suggestions: tuple[Suggestion, ...] = Field(default=(), max_length=20)


class Series(Block):
    """A chart's data: points of (ISO time, value)."""

    name: str
    unit: str = ""
    points: tuple[tuple[str, float], ...]


class Evidence(Block):
    """One observation with its source."""

    id: str
    tool: str
    arguments: dict[str, Any]
    status: str
    window: TimeWindow | None = None
    entities: tuple[str, ...] = ()
    excerpt: str
    artifact_id: str | None = None
    series: tuple[Series, ...] = ()
    observed_at: datetime | None = None


class CheckFailure(Block):
    """A claim that the check could not hold, and what it cost."""

    claim: str
    problem: str


class Refutation(StrEnum):
    """What the verify pass makes of one root cause."""

    HOLDS = "holds"
    WEAKENED = "weakened"
    REFUTED = "refuted"


class Check(Block):
    """The verify pass's word on one root cause."""

    cause: int = Field(ge=1, description="The number of the root cause in the claims, from 1.")
    entity: str = Field(default="", description="The entity of that root cause, as the claim names it.")
    outcome: Refutation = Field(
        description="refuted: a result contradicts it; weakened: the results do not carry it; holds: neither."
    )
    reason: Sentence = Field(description="What in the results says so, in one or two sentences.")
    evidence: tuple[Citation, ...] = Field(default=(), max_length=10, description="The results that say so.")


class Verification(Block):
    """What a second call made of the report's root causes; `problem` says, as a clause, why there is no answer."""

    model: str
    checks: tuple[Check, ...] = ()
    problem: str | None = None


class UsageLine(Block):
    purpose: str
    model: str
    calls: int
    input_tokens: int | None
    cached_input_tokens: int | None
    output_tokens: int | None
    cost_usd: float | None
    """None when a price is unknown; never 0 for unknown."""


class Denial(Block):
    tool: str
    command: str
    layer: str
    reason: str


class SubAgent(Block):
    """One sub-agent and what it contributed; `missing` says why there is nothing of it to rely on, null where there is.

    `strength` is one of strong, moderate, weak and inconclusive.
    """

    agent_no: int
    role: str
    model: str
    wave_no: int
    status: str
    turns: int
    purpose: str
    strength: str | None = None
    summary: str | None = None
    missing: str | None = None


class Report(Submission):
    """The whole report as it is stored and shown."""

    schema_version: Literal["1"] = SCHEMA_VERSION
    investigation_id: str
    incident_id: str
    title: str
    service: str | None = None
    severity: str
    started_at: AwareDatetime | None = None
    created_at: AwareDatetime
    partial: str | None = Field(default=None, description="Why the report is not whole; null when it is.")
    submitted_verdict: ReportVerdict | None = Field(
        default=None, description="What the model claimed, where the checks lowered it."
    )
    check_failures: tuple[CheckFailure, ...] = ()
    verification: Verification | None = Field(
        default=None, description="What a second call made of the root causes; null where none was asked."
    )
    evidence: tuple[Evidence, ...] = ()
    denied: tuple[Denial, ...] = ()
    sub_agents: tuple[SubAgent, ...] = ()
    notes: tuple[str, ...] = Field(default=(), description="Fallbacks, offline analysis and the like.")
    usage: tuple[UsageLine, ...] = ()
    models: dict[str, str] = Field(default_factory=dict, description="Role to provider/model.")
    prompt_versions: dict[str, str] = Field(default_factory=dict)
    config_generation: int = 0
    turns: int = 0
    duration_s: float | None = None
