"""The judge of commands that no rule decides: what it is asked, and how its answer is read. Pure; the caller asks.

Everything that is missing, malformed, doubled or unknown in an answer is a denial.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from worker.domain.conversation import (
    JsonObject,
    ModelAnswer,
    ModelRequest,
    SystemMessage,
    ToolDefinition,
    UserMessage,
)
from worker.domain.states import JudgeVerdict
from worker.guardrails.shell import parse

PROMPT_FILE = Path(__file__).parent / "prompts" / "judge.md"
TOOL_NAME = "decide_commands"
MAX_REASON_CHARS = 300
_OUTPUT_TOKENS_BASE, _OUTPUT_TOKENS_EACH = 400, 120


@dataclass(frozen=True)
class JudgedCommand:
    """One open command. `purpose` is the agent's kind of purpose, one of our own words, never text of the incident."""

    id: str
    command: str
    tool: str = "run_command"
    role: str = "single"
    purpose: str = "investigate an incident, read-only"


@dataclass(frozen=True)
class Judgement:
    """`is_answered` is False where the judge gave no readable decision: such a denial is not to be kept."""

    verdict: JudgeVerdict
    reason: str
    is_answered: bool = True

    @property
    def is_allowed(self) -> bool:
        return self.verdict is JudgeVerdict.ALLOW


@lru_cache(maxsize=1)
def prompt() -> str:
    return PROMPT_FILE.read_text(encoding="utf-8")


def prompt_version() -> str:
    """Return a short hash of the prompt, recorded with each verdict."""
    return hashlib.sha256(prompt().encode()).hexdigest()[:12]


def judge_request(commands: Sequence[JudgedCommand]) -> ModelRequest:
    """Ask for all open commands of one turn in one call. Raises `ToolDeniedError` for one that does not parse."""
    asked = [
        {"id": c.id, "tool": c.tool, "role": c.role, "purpose": c.purpose, "command": parse(c.command).text}
        for c in commands
    ]
    return ModelRequest(
        messages=(SystemMessage(text=prompt()), UserMessage(text=json.dumps({"commands": asked}, ensure_ascii=False))),
        tools=(_definition([c.id for c in commands]),),
        forced_tool=TOOL_NAME,
        max_output_tokens=_OUTPUT_TOKENS_BASE + _OUTPUT_TOKENS_EACH * len(commands),
        temperature=0.0,
        stable_messages=1,
    )


def _definition(ids: list[str]) -> ToolDefinition:
    decision = {
        "type": "object",
        "properties": {
            "id": {"type": "string", "enum": ids},
            "verdict": {"type": "string", "enum": [v.value for v in JudgeVerdict]},
            "reason": {"type": "string", "description": "At most twenty words."},
        },
        "required": ["id", "verdict", "reason"],
        "additionalProperties": False,
    }
    parameters = {
        "type": "object",
        "properties": {"decisions": {"type": "array", "items": decision}},
        "required": ["decisions"],
        "additionalProperties": False,
    }
    return ToolDefinition(name=TOOL_NAME, description="Hand in one decision per command.", parameters=parameters)


def parse_verdicts(answer: ModelAnswer, ids: Iterable[str]) -> dict[str, Judgement]:
    """Read the judge's answer: one judgement for every id asked about, a denial where there is none to read."""
    wanted = list(ids)
    decisions = _decisions(answer)
    if decisions is None:
        return denied_all(wanted, "the judge's answer could not be read")
    counts = Counter(_id_of(decision) for decision in decisions)
    if not set(counts) <= set(wanted):
        return denied_all(wanted, "the judge answered about a command it was not asked about")
    by_id = {_id_of(decision): decision for decision in decisions}
    return {i: _judgement(by_id.get(i), times=counts[i]) for i in wanted}


def denied_all(ids: Iterable[str], reason: str) -> dict[str, Judgement]:
    """Deny every command for one reason: the judge is down, late, out of budget, or there is none."""
    return {i: Judgement(JudgeVerdict.DENY, reason, is_answered=False) for i in ids}


def cache_key(
    command: JudgedCommand, *, user_path: str, policy_version: str, model: str, prompt: str | None = None
) -> str:
    """Return the key of a kept verdict: whatever could change the verdict is part of it."""
    parts = [
        parse(command.command).normalised,
        command.tool,
        command.role,
        command.purpose,
        user_path,
        policy_version,
        model,
        prompt or prompt_version(),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _decisions(answer: ModelAnswer) -> list[Any] | None:
    """Return the list inside the one forced call; a model without tools may have said the same as JSON text."""
    requests = answer.message.tool_requests
    if len(requests) > 1 or (requests and requests[0].name != TOOL_NAME):
        return None
    arguments = requests[0].arguments if requests else _json_object(answer.message.text)
    decisions = arguments.get("decisions") if arguments else None
    return decisions if isinstance(decisions, list) else None


def _json_object(text: str) -> JsonObject | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _id_of(decision: object) -> str:
    value = decision.get("id") if isinstance(decision, Mapping) else None
    return value if isinstance(value, str) else ""


def _judgement(decision: Mapping[str, Any] | None, *, times: int) -> Judgement:
    if decision is None or times != 1:
        problem = "did not decide this command" if decision is None else "decided this command more than once"
        return Judgement(JudgeVerdict.DENY, f"the judge {problem}", is_answered=False)
    verdict, reason = decision.get("verdict"), decision.get("reason")
    is_whole = isinstance(verdict, str) and isinstance(reason, str) and bool(reason.strip())
    if not is_whole or verdict not in set(JudgeVerdict):
        return Judgement(JudgeVerdict.DENY, "the judge's decision could not be read", is_answered=False)
    return Judgement(JudgeVerdict(str(verdict)), " ".join(str(reason).split())[:MAX_REASON_CHARS])
