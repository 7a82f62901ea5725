"""What a lead, its sub-agents and a verifier say over HTTP, and the settings under which they are asked."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.acceptance.system import OPENAI_MODEL, reports
from tests.model_server import Reply
from tests.orchestra import CHANGES, DEPENDENCIES, ERRORS, GENERAL, RUNTIME

OWN, OWN_S = "own_investigator", 20
ROLES = (ERRORS, RUNTIME, CHANGES, DEPENDENCIES, GENERAL, OWN)
CITED = [{"evidence_id": "a1e1.1", "quote": None}]
CAUSE = {"entity": "db", "category": "latency", "statement": "It waits for its pool.", "evidence": CITED}


def write_own_role(folder: Path) -> Path:
    """Write one role more than is shipped for such incidents; return its folder."""
    roles = folder / "roles"
    roles.mkdir()
    front = f"name: {OWN}\ndescription: Ours.\ntools: ['*']\nmax_seconds: {OWN_S}"
    (roles / "own.md").write_text(f"---\n{front}\n---\nLook at what is left.\n")
    return roles


def environment(recorded_root: Path, roles: Path) -> dict[str, str]:
    return {
        "ORCHESTRATOR_ENABLED": "true",
        "RCA_ORCHESTRATOR_MODEL": OPENAI_MODEL,
        "RCA_SUBAGENT_MODEL": OPENAI_MODEL,
        "RCA_ROLES_DIR": str(roles),
        "RCA_RECORDED_ROOT": str(recorded_root),
    }


def sends(*roles: str, **fields: Any) -> Reply:
    sub_agents = [{"role": role, "purpose": f"what {role} sees"} for role in roles]
    plan = {"approach": "fan_out", "reason": "several signals", "sub_agents": sub_agents}
    return Reply(tool_calls=[("triage", plan)], **fields)


def looks(turn: int = 1, **fields: Any) -> Reply:
    """Ask for what every role may ask, in other words each turn."""
    return Reply(tool_calls=[("read_artifact", {"id": "art_none", "start_line": turn})], **fields)


def measures(**fields: Any) -> Reply:
    return Reply(tool_calls=[("rank_metric_changes", {})], **fields)


def finds(summary: str = "Nothing of note.", **fields: Any) -> Reply:
    return Reply(tool_calls=[("submit_finding", {"summary": summary, "strength": "moderate"})], **fields)


def holds(**fields: Any) -> Reply:
    check = {"cause": 1, "entity": "db", "outcome": "holds", "reason": "The series says so."}
    return Reply(tool_calls=[("submit_verification", {"checks": [check]})], **fields)


def claims_a_cause(**fields: Any) -> Reply:
    claimed = reports(verdict="likely", confidence="medium", root_causes=[CAUSE])
    return replace(claimed, **fields)
