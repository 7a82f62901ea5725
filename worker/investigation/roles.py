"""Roles of sub-agents: Markdown files with front matter, shipped and the operator's own."""

from worker.domain.conversation import Frozen


class RoleCard(Frozen):
    """One role. `tools` are names or patterns; `model` None: the sub-agents' model; low `rca_priority` comes first."""

    name: str
    description: str
    tools: tuple[str, ...]
    model: str | None = None
    max_turns: int = 12
    max_seconds: float = 600.0
    rca_priority: int = 50
    instructions: str = ""
