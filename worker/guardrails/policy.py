"""The operator's own rules: commands denied whatever else says yes, and commands allowed without a judge.

The file is YAML: `deny:` and `allow:`, lists of patterns over one simple command as it is spelled after quote removal
(`kubectl rollout status *`). `*` and `?` match as in a shell; a pattern matches the whole command.
"""

import hashlib
import re
from dataclasses import dataclass, field
from fnmatch import translate
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from worker.guardrails.shell import Script, Simple

_Pattern = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
MAX_STARS = 4
"""More in one pattern would make matching slow."""


class _PolicyFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    deny: tuple[_Pattern, ...] = ()
    allow: tuple[_Pattern, ...] = ()


@dataclass(frozen=True)
class Policy:
    """The operator's policy; `fault` says why it could not be read, and then every command is denied.

    `version` is a hash of the file, part of the key under which a judge's verdict is kept.
    """

    deny: tuple[re.Pattern[str], ...] = ()
    allow: tuple[re.Pattern[str], ...] = ()
    fault: str | None = None
    version: str = "none"
    sources: dict[re.Pattern[str], str] = field(default_factory=dict, compare=False)

    def denies(self, script: Script) -> str | None:
        """Return the pattern that any command of the script matches, at whatever depth, or None."""
        spellings = [_plain(command) for command in script.commands] + [script.text, script.normalised]
        return next((self.sources[p] for p in self.deny if any(p.fullmatch(s) for s in spellings)), None)

    def allows(self, command: Simple) -> bool:
        return any(pattern.fullmatch(_plain(command)) for pattern in self.allow)


def load_policy(file: Path | None) -> Policy:
    """Read the policy; no file is an empty policy, a bad one is a policy with a fault."""
    if file is None:
        return Policy()
    try:
        text = file.read_text(encoding="utf-8")
        return _compiled(_PolicyFile.model_validate(yaml.safe_load(text)), version=_hash(text))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError, ValueError) as error:
        return Policy(fault=f"the operator's policy cannot be read ({type(error).__name__})", version="unreadable")


def _compiled(read: _PolicyFile, *, version: str) -> Policy:
    sources = {_pattern(text): text for text in (*read.deny, *read.allow)}
    return Policy(
        deny=tuple(_pattern(text) for text in read.deny),
        allow=tuple(_pattern(text) for text in read.allow),
        version=version,
        sources=sources,
    )


def _pattern(text: str) -> re.Pattern[str]:
    if text.count("*") > MAX_STARS:
        raise ValueError(f"more than {MAX_STARS} stars in {text!r}")
    return re.compile(translate(text))


def _plain(command: Simple) -> str:
    """Words after quote removal, one blank between: how an operator would write the command."""
    return " ".join(command.texts)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
