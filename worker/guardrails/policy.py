"""The operator's own word: commands denied whatever else says yes, commands allowed without a judge, more programs.

The policy is YAML: `deny:` and `allow:`, lists of patterns over one simple command as it is spelled after quote removal
(`kubectl rollout status *`), and `paths:`, which gives the same for investigations of a `user_path` and of those below
it. `*` and `?` match as in a shell; a pattern matches the whole command. What is denied anywhere above stays denied.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import translate
from functools import lru_cache
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints

from worker.domain.incident import clean_user_path, covers_path
from worker.errors import ConfigError
from worker.guardrails.files import read_file
from worker.guardrails.shell import Script, Simple
from worker.guardrails.table import Table, builtin_table, table_with

MAX_STARS = 4
"""More in one pattern would make matching slow."""


def _few_stars(text: str) -> str:
    if text.count("*") > MAX_STARS:
        raise ValueError(f"more than {MAX_STARS} stars in {text!r}")
    return text


_Pattern = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500), AfterValidator(_few_stars)
]
_Path = Annotated[str, AfterValidator(clean_user_path)]


class _Rules(BaseModel):
    model_config = ConfigDict(extra="forbid")

    deny: tuple[_Pattern, ...] = ()
    allow: tuple[_Pattern, ...] = ()


class _PolicyFile(_Rules):
    paths: dict[_Path, _Rules] = {}


@dataclass(frozen=True)
class Policy:
    """What holds for one `user_path`; `fault` says why a file could not be read, and then every command is denied.

    `version` is a hash of the operator's files, part of the key under which a judge's verdict is kept.
    `paths` are the rules for paths below.
    """

    deny: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    fault: str | None = None
    version: str = "none"
    table: Table = field(default_factory=builtin_table, repr=False)
    paths: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = field(default_factory=dict)

    def for_path(self, user_path: str) -> "Policy":
        """Return the policy for one `user_path`: what stands above it, and what it has of its own."""
        met = [rules for path, rules in self.paths.items() if covers_path(path, user_path)]
        deny = (*self.deny, *(pattern for rules in met for pattern in rules[0]))
        allow = (*self.allow, *(pattern for rules in met for pattern in rules[1]))
        return replace(self, deny=deny, allow=allow, paths={}) if met else self

    def denies(self, script: Script) -> str | None:
        """Return the pattern that any command of the script matches, at whatever depth, or None."""
        spellings = [_plain(command) for command in script.commands] + [script.text, script.normalised]
        return next((p for p in self.deny if any(_compiled(p).fullmatch(s) for s in spellings)), None)

    def allows(self, command: Simple) -> str | None:
        """Return the pattern that allows one command, or None."""
        return next((p for p in self.allow if _compiled(p).fullmatch(_plain(command))), None)


def load_policy(file: Path | None, rules_dir: Path | None = None) -> Policy:
    """Read the operator's policy and rule files; none is an empty policy, a bad one is a policy with a fault."""
    try:
        table = table_with(rules_dir)
        read, text = read_file(file, _PolicyFile) if file else (_PolicyFile(), "")
    except ConfigError as error:
        return Policy(fault=f"the operator's rules cannot be read ({error})", version="unreadable")
    version = _hash(text + table.model_dump_json(exclude_defaults=True)) if file or rules_dir else "none"
    paths = {path: (rules.deny, rules.allow) for path, rules in read.paths.items()}
    return Policy(deny=read.deny, allow=read.allow, version=version, table=table, paths=paths)


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern))


def _plain(command: Simple) -> str:
    """Words after quote removal, one blank between: how an operator would write the command."""
    return " ".join(command.texts)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
