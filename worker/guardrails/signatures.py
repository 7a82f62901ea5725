"""Known harm: a table of what attacks look like, each with its ATT&CK id."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator

from worker.guardrails.shell import Script

SIGNATURES_FILE = Path(__file__).parent / "signatures.yaml"
_SPACES = re.compile(r"\s+")


class Signature(BaseModel):
    """One kind of harm.

    `command` is searched in every simple command after quotes are taken off and folders taken off the program;
    `text` is searched in the whole source. No expression tries the
    same words in many ways: a part that may begin at many places is atomic or bound to one of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^T\d{4}(\.\d{3})?$")
    name: str
    command: re.Pattern[str] | None = None
    text: re.Pattern[str] | None = None

    @field_validator("command", "text", mode="before")
    @classmethod
    def _compiled(cls, value: object) -> object:
        return re.compile(value) if isinstance(value, str) else value


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    about: str
    signatures: tuple[Signature, ...]


@dataclass(frozen=True)
class Match:
    """A signature and what of the command bears it."""

    signature: Signature
    found: str = ""

    @property
    def reason(self) -> str:
        return f"{self.signature.id} {self.signature.name}"


@lru_cache(maxsize=1)
def builtin_signatures() -> tuple[Signature, ...]:
    return _File.model_validate(yaml.safe_load(SIGNATURES_FILE.read_text(encoding="utf-8"))).signatures


def find_harm(script: Script) -> Match | None:
    """Return the first signature that a script bears, or None."""
    commands = list(_spellings(script))
    text = _SPACES.sub(" ", script.text)
    for signature in builtin_signatures():
        if signature.text and (match := signature.text.search(text)):
            return Match(signature, match[0])
        if signature.command and (bearer := next(filter(signature.command.search, commands), None)):
            return Match(signature, bearer)
    return None


def _spellings(script: Script) -> Iterator[str]:
    """Every command as `program word word`, without the folder of the program."""
    for command in script.commands:
        if command.words:
            program, *rest = command.texts
            yield " ".join([program.rsplit("/", 1)[-1], *rest])
