"""The answer of a guardrail layer, and the command it is asked about."""

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from worker.guardrails.shell import Script, parse


class DecisionVerdict(StrEnum):
    ALLOW = "allow"
    DENY = "deny"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Decision:
    """What a layer says; `layer` and `reason` are told to the model and shown in the report."""

    verdict: DecisionVerdict
    layer: str
    reason: str

    @property
    def is_final(self) -> bool:
        return self.verdict is not DecisionVerdict.UNDECIDED

    @property
    def is_allowed(self) -> bool:
        return self.verdict is DecisionVerdict.ALLOW


@dataclass(frozen=True)
class CommandCall:
    """A command on its way through the layers; it is parsed once."""

    command: str

    @cached_property
    def script(self) -> Script:
        """Raises `ToolDeniedError` for what is no command."""
        return parse(self.command)
