"""The words for where things stand, and the table of who may move an agent where."""

from dataclasses import dataclass
from enum import StrEnum


class InvestigationStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in {self.COMPLETED, self.FAILED, self.CANCELLED}


class AgentKind(StrEnum):
    SINGLE = "single"
    LEAD = "lead"
    SUB = "sub"


class AgentStatus(StrEnum):
    READY = "ready"
    ASKING = "asking"
    AWAITING_JUDGE = "awaiting_judge"
    JUDGING = "judging"
    READY_TO_ACT = "ready_to_act"
    ACTING = "acting"
    WAITING_CHILDREN = "waiting_children"
    AWAITING_VERIFY = "awaiting_verify"
    VERIFYING = "verifying"
    PUBLISHING = "publishing"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in {self.DONE, self.FAILED, self.CANCELLED}


class Step(StrEnum):
    """One claimable unit of work; its value is the verb of its Celery task."""

    TURN = "turn"
    JUDGE = "judge"
    ACT = "act"
    VERIFY = "verify"
    PUBLISH = "publish"

    @property
    def task(self) -> str:
        return f"rca.{self.value}"


@dataclass(frozen=True)
class Claimable:
    """From which status a step may be claimed, and which status says that it is."""

    waiting: AgentStatus
    running: AgentStatus


STEPS = {
    Step.TURN: Claimable(AgentStatus.READY, AgentStatus.ASKING),
    Step.JUDGE: Claimable(AgentStatus.AWAITING_JUDGE, AgentStatus.JUDGING),
    Step.ACT: Claimable(AgentStatus.READY_TO_ACT, AgentStatus.ACTING),
    Step.VERIFY: Claimable(AgentStatus.AWAITING_VERIFY, AgentStatus.VERIFYING),
    Step.PUBLISH: Claimable(AgentStatus.PUBLISHING, AgentStatus.PUBLISHING),
}
"""A step is claimed while its agent has the waiting status and no claim token."""


def step_of(status: AgentStatus) -> Step | None:
    """Return the step an agent in this status waits for or runs; None where nothing is to run."""
    return next((s for s, c in STEPS.items() if status in {c.waiting, c.running}), None)


class Queue(StrEnum):
    RCA = "rca"
    SUBAGENTS = "subagents"
    GUARDRAIL = "guardrail"
    TOOLS = "tools"
    REPORTS = "reports"
    QUARANTINE = "quarantine"


_QUEUES = {Step.JUDGE: Queue.GUARDRAIL, Step.ACT: Queue.TOOLS, Step.VERIFY: Queue.RCA, Step.PUBLISH: Queue.REPORTS}


def queue_of(step: Step, kind: AgentKind) -> Queue:
    if step is Step.TURN:
        return Queue.SUBAGENTS if kind is AgentKind.SUB else Queue.RCA
    return _QUEUES[step]


class DeliveryStatus(StrEnum):
    """Where a report owed to a destination stands."""

    WAITING = "waiting"  # new, or to be tried again at its time
    DUE = "due"  # a worker was told
    SENDING = "sending"
    DELIVERED = "delivered"
    FAILED = "failed"  # refused, or tried as often as allowed; a person may send it again

    @property
    def is_final(self) -> bool:
        return self in {self.DELIVERED, self.FAILED}


class ToolCallStatus(StrEnum):
    PROPOSED = "proposed"  # asked for by the model, no rule has decided: the judge will
    ALLOWED = "allowed"  # may run
    DENIED = "denied"  # a guardrail said no; final
    SUCCEEDED = "succeeded"
    FAILED = "failed"  # ran and did not succeed, or could not be asked; final

    @property
    def is_final(self) -> bool:
        return self in {self.DENIED, self.SUCCEEDED, self.FAILED}


class ReportVerdict(StrEnum):
    CONFIRMED = "confirmed"
    LIKELY = "likely"
    INCONCLUSIVE = "inconclusive"
    NO_INCIDENT = "no_incident"
    EXTERNAL = "external"


class JudgeVerdict(StrEnum):
    ALLOW = "allow"
    DENY = "deny"


class Purpose(StrEnum):
    """What a model call was for: every call writes a usage row with one of these."""

    RCA = "rca"
    SUBAGENT = "subagent"
    ORCHESTRATOR = "orchestrator"
    JUDGE = "judge"
    VERIFY = "verify"
    ASK = "ask"
    PROBE = "probe"
    GATEWAY = "gateway"  # for another program


ASIDE = (Purpose.JUDGE, Purpose.VERIFY)
"""Asked beside an agent's conversation, in the same turn."""
