"""A model that plays an investigation by the turn, in the mood that it is in, and notes what it should not be asked."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import structlog

from tests.builders import submits_report
from tests.fakes import calls_tools, says
from tests.orchestra import CHANGES, ERRORS, GENERAL, RUNTIME, finds, part_of, sends
from worker.domain.conversation import Confirm, ModelAnswer, ModelRequest, Route
from worker.errors import ProviderAuthError, ProviderUnavailableError
from worker.storage.tables import AgentRow, TurnRow

if TYPE_CHECKING:
    from worker.services import Services

SHORT = "disk is full"
SHORTER = f"{SHORT}er"
MOODS = {
    "well": None,
    "away": ProviderUnavailableError("refused"),
    "defective": ZeroDivisionError("a defect"),
    "refusing": ProviderAuthError("the key was rejected"),
}
Play = Callable[[ModelRequest, str, int], ModelAnswer]
"""Answers the turn of an agent."""


class WatchedModel:
    """Answers as the play says while it is well, and notes every call that should not have been made."""

    def __init__(self, play: Play) -> None:
        self.mood = "well"
        self.faults: list[str] = []
        self.services: Services | None = None
        self._play = play

    def ask(
        self, request: ModelRequest, *, route: Route, timeout_s: float, confirm: Confirm | None = None
    ) -> ModelAnswer:
        asking = structlog.contextvars.get_contextvars()
        agent, turn_no = str(asking["agent"]), int(asking["turn_no"])
        self._watch(request.forced_tool, agent, turn_no)
        error = MOODS[self.mood]
        if error is not None:
            raise error
        return _judge(request) if request.forced_tool == "decide_commands" else self._play(request, agent, turn_no)

    def _watch(self, forced_tool: str | None, agent: str, turn_no: int) -> None:
        assert self.services is not None
        with self.services.database.transaction() as session:
            row = session.get_one(AgentRow, agent)
            is_verify = forced_tool == "submit_verification"
            is_aside = is_verify or forced_tool == "decide_commands"
            if not is_aside and session.get(TurnRow, (agent, turn_no)) is not None:
                self.faults.append(f"{agent} was asked for turn {turn_no} again")
            if is_verify and row.verification is not None:
                self.faults.append(f"{agent} had its report verified again")
            if row.cancel_requested_at is not None:
                self.faults.append(f"{agent} asked after it was cancelled")


def play_alone(request: ModelRequest, agent: str, turn_no: int) -> ModelAnswer:
    """Play one agent: commands to be judged, stored outputs, and a report after two turns; a short one at once."""
    is_short = any(SHORT in str(message) for message in request.messages[:2])
    if turn_no > 2 or is_short:
        return submits_report()
    commands = _commands(agent) if turn_no == 1 else []
    return calls_tools(("read_artifact", {"id": f"art_{turn_no}"}), ("read_artifact", {"id": "art_other"}), *commands)


def play_together(request: ModelRequest, agent: str, turn_no: int) -> ModelAnswer:
    """Play a lead with two waves, its sub-agents and its verifier."""
    if request.forced_tool == "submit_report":
        return submits_report()
    part = part_of(request)
    if part == "single":
        return play_alone(request, agent, turn_no)
    if part == "verify":
        return calls_tools(("submit_verification", {"checks": [HOLDS]}))
    if part == "lead":
        return _lead(request, turn_no)
    lines = SUB_AGENTS[part]
    commands = _commands(agent) if part == GENERAL and turn_no == 1 else []
    line = lines[-1] if request.forced_tool == "submit_finding" else lines[min(turn_no, len(lines)) - 1]
    return calls_tools(*((r.name, r.arguments or {}) for r in line.message.tool_requests), *commands)


LISTS, READS = ("list_changes", {}), ("read_artifact", {"id": "a1e1.1"})
SUB_AGENTS = {
    CHANGES: [calls_tools(LISTS), finds("A pool was cut.", evidence=["a1e1.1"])],
    GENERAL: [calls_tools(LISTS, READS), calls_tools(READS, LISTS), finds("So it is.", evidence=["a1e1.1"])],
    ERRORS: [calls_tools(READS), calls_tools(("submit_finding", {}))],
    RUNTIME: [finds("It is slow.")],
}
"""One hands in nothing that is valid. The same calls of several are shared."""
CAUSE = {
    "entity": "db",
    "category": "config_change",
    "statement": "The pool was cut.",
    "evidence": [{"evidence_id": "a1e1.1", "quote": None}],
}
GOES_ON = {"role": RUNTIME, "purpose": "whether the pool is empty", "evidence": ["a1e1.1"]}
HOLDS = {"cause": 1, "entity": "db", "outcome": "holds", "reason": "The change is there.", "evidence": []}


def _lead(request: ModelRequest, turn_no: int) -> ModelAnswer:
    """Send two waves; where the incident is short, one."""
    told = str(request.messages[1])
    if request.forced_tool == "triage":
        return _triage(told, turn_no)
    if SHORT not in told and turn_no == 2:
        return sends(tool="dispatch", sub_agents=[GOES_ON])
    if turn_no == 2:
        return calls_tools(READS)
    return submits_report(verdict="likely", confidence="high", root_causes=[CAUSE])


def _triage(told: str, turn_no: int) -> ModelAnswer:
    """Send three, or one; of the shortest incidents two or nobody, after a plan that cannot be followed."""
    if SHORT not in told:
        return sends(CHANGES, GENERAL, ERRORS)
    if SHORTER not in told:
        return sends(GENERAL)
    if turn_no == 1:
        return sends("astrology")
    is_alone = '"medium"' in told
    return calls_tools(("triage", {"approach": "single", "reason": "short"})) if is_alone else sends(CHANGES, RUNTIME)


def _commands(agent: str) -> list[tuple[str, dict[str, Any]]]:
    commands = [f"frobnicate --{word} {agent}" for word in ("judged", "harmful")]
    return [("run_command", {"command": command, "purpose": "to see"}) for command in commands]


def _judge(request: ModelRequest) -> ModelAnswer:
    asked = json.loads(str(request.messages[-1].text))["commands"]  # type: ignore[union-attr]  # the user's message
    verdicts = ["deny" if "harmful" in one["command"] else "allow" for one in asked]
    decisions = [{"id": o["id"], "verdict": v, "reason": "seen"} for o, v in zip(asked, verdicts, strict=True)]
    return says(json.dumps({"decisions": decisions}))
