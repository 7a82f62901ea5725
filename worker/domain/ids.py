"""Typed identifiers: a prefix that says of what, then 96 bits of time and chance."""

import secrets
import time
from typing import NewType

IncidentId = NewType("IncidentId", str)
InvestigationId = NewType("InvestigationId", str)
AgentId = NewType("AgentId", str)
ArtifactId = NewType("ArtifactId", str)
EvidenceId = NewType("EvidenceId", str)


def new_id(prefix: str) -> str:
    """Return a new id such as `inv_0193ab…`; ids made later sort later (48 bits of milliseconds)."""
    milliseconds = time.time_ns() // 1_000_000
    return f"{prefix}_{milliseconds:012x}{secrets.token_hex(6)}"


def evidence_id(agent_no: int, turn_no: int, seq: int) -> EvidenceId:
    """Return the id by which a model cites one tool result, e.g. `e2.1` or, for agent 3, `a3e2.1`.

    It is made of positions, not chance, so that a retried investigation keeps its citations.
    """
    prefix = f"a{agent_no}" if agent_no else ""
    return EvidenceId(f"{prefix}e{turn_no}.{seq}")
