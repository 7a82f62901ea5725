"""What a lead plans, what a sub-agent is told, and what it hands back."""

from collections.abc import Collection, Sequence
from enum import StrEnum
from fnmatch import fnmatchcase

from pydantic import Field

from worker.domain.conversation import Frozen, Route
from worker.domain.incident import TimeWindow
from worker.domain.report import Block, Category, Citation, Name, RuledOut, Sentence


class Approach(StrEnum):
    SINGLE = "single"
    FAN_OUT = "fan_out"


class Assignment(Block):
    """One sub-agent of a plan, as the lead asks for it."""

    role: Name
    purpose: Sentence = Field(description="The question it has to answer.")
    window: TimeWindow | None = Field(default=None, description="Where to look (UTC); null: the incident's window.")
    evidence: tuple[str, ...] = Field(default=(), max_length=10, description="Ids of results to start from.")
    focus: str = Field(default="", max_length=1000, description="Entities or signals to look at first.")
    boundary: str = Field(default="", max_length=1000, description="What to leave to the others.")


class Plan(Block):
    """How an incident is to be investigated."""

    approach: Approach
    reason: Sentence
    sub_agents: tuple[Assignment, ...] = ()


class StartingPoint(Frozen):
    """A result that a sub-agent is shown before it begins."""

    evidence_id: str
    tool: str
    excerpt: str


class Brief(Frozen):
    """Everything that makes a sub-agent what it is, pinned when it is created.

    `tools` are names or patterns such as `rank_*`; `max_seconds` counts from its creation.
    """

    assignment: Assignment
    instructions: str
    tools: tuple[str, ...]
    max_turns: int
    max_seconds: float
    starting_points: tuple[StartingPoint, ...] = ()

    def allows(self, tool: str) -> bool:
        """Say whether the role has this tool. Every one may read what was stored."""
        return tool == "read_artifact" or any(fnmatchcase(tool, pattern) for pattern in self.tools)


class PinnedRoutes(Frozen):
    """Where the calls of an orchestrated investigation go, whatever is configured later.

    `roles` holds the roles that have a model of their own; `notes` are for the report.
    """

    orchestrator: Route
    subagent: Route
    roles: dict[str, Route] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[Route, ...]:
        return (self.orchestrator, self.subagent, *self.roles.values())

    def of(self, role: str) -> Route:
        return self.roles.get(role, self.subagent)


class Strength(StrEnum):
    STRONG = "strong"
    MODERATE = "moderate"
    WEAK = "weak"
    INCONCLUSIVE = "inconclusive"


class Suspect(Block):
    """An entity that may be at fault, with what speaks for it."""

    entity: Name = Field(description="The service, node, change or resource, as the tools name it.")
    category: Category
    statement: Sentence = Field(description="What is wrong there, in one sentence.")
    change_id: str | None = None
    evidence: tuple[Citation, ...] = Field(default=(), max_length=10)


class Finding(Block):
    """What a sub-agent hands in by calling `submit_finding`."""

    summary: Sentence
    strength: Strength = Field(description="How well the evidence carries the summary.")
    evidence: tuple[Citation, ...] = Field(default=(), max_length=30)
    suspects: tuple[Suspect, ...] = Field(default=(), max_length=5, description="Most likely first.")
    ruled_out: tuple[RuledOut, ...] = Field(default=(), max_length=20)
    follow_ups: tuple[Sentence, ...] = Field(default=(), max_length=10, description="Questions left for others.")

    def citing_only(self, known: Collection[str]) -> "Finding":
        """Return the finding without citations of results there are not; with none left it is weak at most."""
        parts = {name: tuple(_citing_only(part, known) for part in getattr(self, name)) for name in _CITING}
        held = self.model_copy(update={"evidence": _known(self.evidence, known), **parts})
        if held.evidence or any(part.evidence for name in _CITING for part in parts[name]):
            return held
        return held.model_copy(update={"strength": max(self.strength, Strength.WEAK, key=list(Strength).index)})


_CITING = ("suspects", "ruled_out")
MAX_CITED = 30


def _citing_only(part: Suspect | RuledOut, known: Collection[str]) -> Suspect | RuledOut:
    return part.model_copy(update={"evidence": _known(part.evidence, known)})


def _known(citations: tuple[Citation, ...], known: Collection[str]) -> tuple[Citation, ...]:
    return tuple(c for c in citations if c.evidence_id in known)


def gathered(reason: str, evidence_ids: Sequence[str]) -> Finding:
    """Return the finding that code makes for a sub-agent that hands in none: what it looked at, and nothing claimed."""
    summary = f"No finding was handed in, because {reason}. Results gathered until then: {len(evidence_ids)}."
    cited = tuple(Citation(evidence_id=i) for i in evidence_ids[:MAX_CITED])
    return Finding(summary=summary, strength=Strength.INCONCLUSIVE, evidence=cited)


class Contribution(Frozen):
    """A sub-agent's finding as it is stored, with who made it.

    `finding` is None while it is at work. `reason` says why code wrote the finding; None where the model handed it
    in. What is late came after the lead had gone on, and changes nothing.
    """

    agent_id: str
    agent_no: int
    wave_no: int
    status: str
    model: str
    turns: int
    assignment: Assignment
    finding: Finding | None
    reason: str | None = None
    is_late: bool = False

    @property
    def missing(self) -> str | None:
        """Why there is no finding of the model's to rely on; None where there is."""
        if self.finding is None or self.is_late:
            return "it was still at work when the time of its wave ran out"
        return self.reason

    @property
    def is_by_model(self) -> bool:
        return self.finding is not None and self.reason is None
