"""The parts agents play: what each kind is asked with, which tools it has, how it ends."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.orm import Session

from worker import acting, material
from worker.domain.conversation import ModelAnswer, ToolDefinition
from worker.domain.orchestration import Brief, Contribution
from worker.domain.states import AgentKind, Purpose, ToolCallStatus
from worker.domain.transcript import Agent, Claim, ToolCall, Transcript
from worker.guardrails.pipeline import Decision, DecisionVerdict, decide
from worker.guardrails.policy import Policy
from worker.investigation import decisions, messages
from worker.investigation.budget import CHARS_PER_TOKEN, Bound
from worker.investigation.decisions import Outcome, Rules
from worker.investigation.endings import ending_of
from worker.investigation.fence import fence, nonce_for
from worker.investigation.findings import render_findings
from worker.investigation.messages import Draft, Scene
from worker.investigation.planning import MAX_SUB_AGENTS, PLANNING_TOOLS, TRIAGE_TOOL, Staff, planning_tools
from worker.investigation.prompts import render_prompt
from worker.ops import metrics
from worker.services import Services
from worker.storage import agents, evidence, findings, transcripts
from worker.tools.artifacts import read_artifact
from worker.tools.toolbox import Toolbox

COMMAND_TOOL = "run_command"
FINDINGS_SHARE = 0.4
"""Of the lead's context window one wave's findings may take."""
FINDINGS_CHARS = 60_000
"""What they may take where the window is not known."""


@dataclass(frozen=True)
class Offer:
    """The tools of a lead: its own, and those by which it sends others."""

    toolbox: Toolbox
    planning: tuple[ToolDefinition, ...]

    def definitions(self) -> tuple[ToolDefinition, ...]:
        return (*self.planning, *self.toolbox.definitions())

    def command_of(self, name: str, arguments: Mapping[str, Any]) -> str | None:
        return self.toolbox.command_of(name, arguments)


@dataclass(frozen=True)
class Part:
    """One agent's next turn: what is asked, and how the answer is read.

    `answered` is a lead's plan with the findings that answer it.
    """

    agent: Agent
    draft: Draft
    tools: Toolbox | Offer
    purpose: Purpose
    staff: Staff | None = None
    contributions: tuple[Contribution, ...] = ()
    answered: tuple[ToolCall, ...] = ()
    has_commands: bool = False

    @property
    def transcript(self) -> Transcript:
        return self.draft.transcript

    @property
    def is_triage(self) -> bool:
        return self.draft.forced == TRIAGE_TOOL

    def follow(self, services: Services, answer: ModelAnswer, bound: Bound) -> Outcome:
        """Return what comes after the answer."""
        policy = services.policy.for_path(self.transcript.event.user_path)
        judges_all = services.settings.guardrails_judge == "every"
        rules = Rules(
            self.tools,
            lambda command: _decide(command, policy),
            bound,
            judges_all=judges_all,
            ending=self.draft.ending,
            staff=self.staff,
        )
        follow = decisions.follow_triage if self.is_triage else decisions.follow
        return follow(answer, transcript=self.transcript, agent=self.agent, rules=rules)


def _decide(command: str, policy: Policy) -> Decision:
    """Decide and count: what stays open is counted again once the judge has spoken."""
    decision = decide(command, policy=policy)
    metrics.GUARDRAIL_DECISIONS.labels(layer=decision.layer, verdict=decision.verdict).inc()
    if decision.verdict is DecisionVerdict.DENY:
        metrics.DENIALS.labels(layer=decision.layer).inc()
    return decision


def cast(services: Services, claim: Claim) -> Part:
    """Return the agent's part in the turn that was claimed."""
    agent = claim.agent
    with services.database.transaction() as session:
        agents.require_wanted(session, claim)
        transcript = transcripts.load_for_turn(session, agent)
        known = _read_known(session, agent) if agent.kind is AgentKind.LEAD else None
    toolbox = acting.toolbox_for(services, transcript)
    scene = Scene(agent.nonce, material.window_of(services, transcript), toolbox.sources())
    if known is not None:
        return _lead(services, agent, Draft(transcript, scene, toolbox.definitions(), agent.route), known)
    if agent.brief is not None:
        toolbox = toolbox.only(agent.brief.allows)
        scene = replace(scene, system=_sub_agents_prompt(agent.brief), task=_task(agent.brief, agent.nonce))
    draft = Draft(transcript, scene, toolbox.definitions(), agent.route, ending_of(agent.kind))
    return Part(agent, draft, toolbox, Purpose.SUBAGENT if agent.brief else Purpose.RCA)


@dataclass(frozen=True)
class _Known:
    """What a lead has to go by: what its sub-agents contributed, and which results there are."""

    contributions: tuple[Contribution, ...]
    evidence: frozenset[str]


def _read_known(session: Session, agent: Agent) -> _Known:
    return _Known(
        findings.of_investigation(session, agent.investigation_id),
        evidence.known_ids(session, agent.investigation_id),
    )


def _lead(services: Services, agent: Agent, draft: Draft, known: _Known) -> Part:
    """Return a lead's part: `draft` offers every tool there is for this incident, of which it has few itself."""
    roles = services.roles.offered(d.name for d in draft.tools)
    assigned = tuple(c.assignment for c in known.contributions)
    staff = Staff({card.name: card for card in roles}, assigned, known.evidence, agent.wave_no)
    offer = Offer(Toolbox([read_artifact()]), planning_tools(roles))
    answered = _answered(draft.transcript, agent, known.contributions)
    system = render_prompt("lead", roles=roles, max_sub_agents=MAX_SUB_AGENTS)
    own = replace(
        draft,
        transcript=_with(draft.transcript, answered),
        scene=replace(draft.scene, system=system),
        tools=offer.definitions(),
        forced=None if decisions.is_triaged(draft.transcript) else TRIAGE_TOOL,
    )
    return Part(
        agent,
        own,
        offer,
        Purpose.ORCHESTRATOR,
        staff=staff,
        contributions=known.contributions,
        answered=answered,
        has_commands=any(d.name == COMMAND_TOOL for d in draft.tools),
    )


def _answered(transcript: Transcript, agent: Agent, contributions: Sequence[Contribution]) -> tuple[ToolCall, ...]:
    """Return the plan of the last turn as a call whose result is what its wave found."""
    last = transcript.last_turn
    waiting = [c for c in last.calls if c.tool in PLANNING_TOOLS and not c.status.is_final] if last else []
    wave = [c for c in contributions if c.wave_no == agent.wave_no]
    window = agent.route.context_window
    limit = int(window * CHARS_PER_TOKEN * FINDINGS_SHARE) if window else FINDINGS_CHARS
    text = render_findings(wave, limit_chars=limit)
    return tuple(replace(c, status=ToolCallStatus.SUCCEEDED, text=text) for c in waiting)


def _with(transcript: Transcript, answered: tuple[ToolCall, ...]) -> Transcript:
    """Put the answered calls in the place of those that waited."""
    if not answered:
        return transcript
    by_seq = {call.seq: call for call in answered}
    *earlier, last = transcript.turns
    calls = tuple(by_seq.get(call.seq, call) for call in last.calls)
    return replace(transcript, turns=(*earlier, replace(last, calls=calls)))


def _sub_agents_prompt(brief: Brief) -> str:
    return render_prompt("sub_agent", role=brief.assignment.role, instructions=brief.instructions)


def _task(brief: Brief, nonce: str) -> str:
    known = json.dumps([p.model_dump() for p in brief.starting_points], ensure_ascii=False)
    return render_prompt(
        "assignment",
        assignment=brief.assignment,
        window=messages.told(brief.assignment.window) if brief.assignment.window else None,
        known=fence(known, nonce_for(nonce, "assignment")) if brief.starting_points else "",
    )
