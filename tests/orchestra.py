"""A scripted lead with its sub-agents, and an incident that gives them something to look at."""

import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.builders import incident
from tests.cases import CaseRows, write_case
from tests.fakes import Say, calls_tools
from worker.domain.conversation import AssistantMessage, Confirm, ModelAnswer, ModelRequest, Route, SystemMessage
from worker.domain.incident import IncidentEvent

Line = ModelAnswer | Exception | Say
ENABLED = {
    "orchestrator_enabled": True,
    "rca_orchestrator_model": "openai/gpt-4.1",
    "rca_subagent_model": "openai/gpt-4.1-mini",
    "llm_provider_mode": "direct",
    "openai_api_key": "test-key",
    "rca_verify": False,
}
CASE = "two_sources"
ERRORS, RUNTIME, CHANGES = "error_signal_investigator", "runtime_state_investigator", "recent_change_investigator"
DEPENDENCIES = "dependency_investigator"
GENERAL = "general_investigator"
LOOKS = calls_tools(("rank_metric_changes", {}))


def write_two_sources(root: Path) -> Path:
    """Write a recorded case with metrics, logs, a change and topology; return the folder it is in."""
    minutes = [f"2026-03-01T{11 + m // 60:02}:{m % 60:02}:00+00:00" for m in range(90)]
    metrics = [(at, "db", "latency_s", 1.0 if i >= 60 else 0.1 + i % 3 / 100) for i, at in enumerate(minutes)]
    logs = [(at, "db", "error", f"lock wait {i}", None, None) for i, at in enumerate(minutes) if i >= 60]
    change = {
        "id": "c1", "ts": minutes[58], "entity": "db", "kind": "config", "author": None, "title": "pool", "diff": None,
    }  # fmt: skip
    topology = {"nodes": ["api", "db"], "edges": [["api", "db"]]}
    write_case(root / CASE, CaseRows(metrics=metrics, logs=logs, changes=[change], topology=topology))
    return root


def orchestrated_incident(title: str = "checkout p99 is high", **fields: Any) -> IncidentEvent:
    return incident(title, severity="high", labels={"recorded_case": CASE}, **fields)


def sends(*roles: str, tool: str = "triage", **fields: Any) -> ModelAnswer:
    """Answer with a plan: one sub-agent of each role."""
    sub_agents = [{"role": role, "purpose": f"what {role} sees"} for role in roles]
    approach = {"approach": "fan_out"} if tool == "triage" else {}
    return calls_tools((tool, {**approach, "reason": "several signals", "sub_agents": sub_agents, **fields}))


def finds(summary: str = "Nothing of note.", **fields: Any) -> ModelAnswer:
    return calls_tools(("submit_finding", {"summary": summary, "strength": "moderate", **fields}))


class Orchestra:
    """Answers each part's n-th turn with the n-th line of its script: `lead`, a role, `single`, `verify`.

    `asked` counts the calls by part and turn, `routes` keeps the model each part was last asked on.
    """

    def __init__(self, scripts: Mapping[str, Sequence[Line]]) -> None:
        self._scripts = scripts
        self._mutex = threading.Lock()
        self._before: dict[str, Callable[[], object]] = {}
        self.asked: Counter[tuple[str, int]] = Counter()
        self.requests: dict[str, list[ModelRequest]] = {}
        self.routes: dict[str, str] = {}

    def before(self, part: str, work: Callable[[], object]) -> None:
        """Do this before the part answers."""
        self._before[part] = work

    def ask(
        self, request: ModelRequest, *, route: Route, timeout_s: float, confirm: Confirm | None = None
    ) -> ModelAnswer:
        part = part_of(request)
        turn = 1 + sum(isinstance(m, AssistantMessage) for m in request.messages)
        with self._mutex:
            self.asked[part, turn] += 1
            self.requests.setdefault(part, []).append(request)
            self.routes[part] = route.label
        self._before.get(part, lambda: None)()
        script = self._scripts[part]
        line = script[min(turn, len(script)) - 1]
        if isinstance(line, Exception):
            raise line
        return line(request) if callable(line) else line


def part_of(request: ModelRequest) -> str:
    """Say who is asked."""
    system = next((m.text for m in request.messages if isinstance(m, SystemMessage)), "")
    return part_by(system, [tool.name for tool in request.tools])


def part_by(system: str, tools: Sequence[str]) -> str:
    """Say who is asked, by what it is told that it is, and by what it has to hand in."""
    if list(tools) == ["submit_verification"]:
        return "verify"
    if system.startswith("You lead"):
        return "lead"
    role = re.search(r"^Your role: (\w+)$", system, re.MULTILINE)
    return role[1] if role else "single"
