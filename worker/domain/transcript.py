"""An agent as a step sees it: who it is, and what was said so far."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from worker.domain.conversation import AssistantMessage, Route
from worker.domain.ids import AgentId, InvestigationId
from worker.domain.incident import IncidentEvent, TimeWindow
from worker.domain.orchestration import Brief
from worker.domain.report import Series
from worker.domain.states import AgentKind, AgentStatus, Purpose, Step, ToolCallStatus


@dataclass(frozen=True)
class Agent:
    """A snapshot of one agent's row, taken when its step was claimed.

    `wave_no` counts a lead's waves of sub-agents so far, and says of a sub-agent which one is its; only that has a
    `parent_id`, a `brief` and its own beginning.
    """

    id: AgentId
    investigation_id: InvestigationId
    agent_no: int
    kind: AgentKind
    role: str
    status: AgentStatus
    turn_no: int
    nonce: str
    route: Route
    judge_route: Route | None
    deadline_at: datetime
    attempts: int
    losses: int
    outage_since: datetime | None
    partial: str | None
    parent_id: AgentId | None = None
    wave_no: int = 0
    brief: Brief | None = None
    note: str | None = None
    created_at: datetime | None = None


@dataclass(frozen=True)
class Claim:
    """The right to run one step: every write of the step carries the token."""

    agent: Agent
    step: Step
    token: str
    claimed_at: datetime


@dataclass(frozen=True)
class ToolCall:
    """One tool call. `text` is what the model is told; `command` is set where it is a shell command.

    `repeats` is the evidence id of the call whose result stands for this one, another agent's perhaps. `row_count` is
    None where the tool counts no rows.
    """

    seq: int
    evidence_id: str
    request_id: str
    tool: str
    arguments: dict[str, Any] | None
    status: ToolCallStatus
    command: str | None = None
    layer: str | None = None
    reason: str | None = None
    repeats: str | None = None
    text: str | None = None
    artifact_id: str | None = None
    window: TimeWindow | None = None
    entities: tuple[str, ...] = ()
    series: tuple[Series, ...] = ()
    row_count: int | None = None
    duration_ms: int | None = None
    finished_at: datetime | None = None


@dataclass(frozen=True)
class Turn:
    """One finished model call. `note` is what the user side said just before it, if anything.

    `heard_alert_no` is the number of the newest alert its agent had been told of by then.
    """

    turn_no: int
    message: AssistantMessage
    note: str | None = None
    heard_alert_no: int | None = None
    purpose: Purpose = Purpose.RCA
    stop_reason: str = ""
    model: str = ""
    notes: tuple[str, ...] = ()
    prompt_versions: dict[str, str] | None = None
    calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True)
class JoinedAlert:
    """An alert that joined the incident, and why it did."""

    title: str
    severity: str
    service: str | None
    started_at: datetime
    description: str
    reason: str


@dataclass(frozen=True)
class News:
    """What joined the incident since the agent last heard, up to the alert of number `until`.

    `repeats` tell again what opened the incident; of the others, `unlisted` are not among `joined`.
    """

    until: int
    repeats: int = 0
    joined: tuple[JoinedAlert, ...] = ()
    unlisted: int = 0

    @property
    def count(self) -> int:
        return self.repeats + len(self.joined) + self.unlisted


@dataclass(frozen=True)
class Transcript:
    """Everything an agent has been told and has said, in order; `news` is what it has not heard of yet."""

    incident_id: str
    event: IncidentEvent
    started_at: datetime
    turns: tuple[Turn, ...] = ()
    alert_count: int = 1
    news: News | None = None
    resolved_at: datetime | None = None
    """When the monitors said it was over, if they did while it was investigated."""

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        return tuple(call for turn in self.turns for call in turn.calls)

    @property
    def heard(self) -> int:
        """The number of the newest alert that was told; the first is in the opening message."""
        return max((turn.heard_alert_no or 1 for turn in self.turns), default=1)

    @property
    def last_turn(self) -> Turn | None:
        return self.turns[-1] if self.turns else None


@dataclass(frozen=True)
class Limits:
    """The hard bounds of one investigation; 0 tokens or dollars means none may be spent."""

    max_turns: int
    max_tokens: int
    max_cost_usd: float
    max_seconds: float


@dataclass(frozen=True)
class Amount:
    """What budgets count: where tokens or their price are unknown, what they are taken to be."""

    tokens: int = 0
    cost_usd: float = 0.0

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.tokens + other.tokens, self.cost_usd + other.cost_usd)


@dataclass(frozen=True)
class Spent:
    """What an investigation has used.

    `tokens` and `cost_usd` are what is known: they leave out what providers did not say and calls whose price is
    unknown (`unpriced_calls`). `counted` is what budgets count, calls in flight included.
    """

    tokens: int = 0
    cost_usd: float = 0.0
    unpriced_calls: int = 0
    elapsed_s: float = 0.0
    counted: Amount = field(default_factory=Amount)
