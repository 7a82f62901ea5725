"""The table of programs: what is written in `rules/*.yaml`, checked when it is loaded."""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from worker.errors import ConfigError
from worker.guardrails import kinds

RULES_DIR = Path(__file__).parent / "rules"


class CommandClass(StrEnum):
    READ = "read"
    SECRET = "secret"  # noqa: S105 -- the name of a class, not a password
    WRITE = "write"


class Style(StrEnum):
    GNU = "gnu"  # -a -b may be written -ab; --long=value
    WORDS = "words"  # find -name, openssl -in: one dash, never bundled
    GO = "go"  # like GNU, and -o=json is -o json


class Rule(BaseModel):
    """A program or subcommand. What is not named here is not allowed.

    Lists of options are one string, blanks between. `takes` maps the kind of a value to the options that take one;
    `optional` are options whose value, if any, is attached (`--color=always`); `pairs` take two words.
    `operands` are kinds by position, the last with `*` for any number. Where an option of `instead_of_first` is
    given, the first operand is not expected (`grep -e`). `needs` must hold one option that is given.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    command_class: CommandClass = Field(default=CommandClass.READ, alias="class")
    style: Style = Style.GNU
    flags: str = ""
    takes: dict[str, str] = {}
    optional: str = ""
    pairs: str = ""
    numeric: bool = Field(default=False, description="Whether `-20` is an option.")
    operands: tuple[str, ...] = ()
    instead_of_first: str = ""
    needs: str = ""
    alone: bool = Field(default=False, description="Whether it may stand without a subcommand.")
    everywhere: bool = Field(default=True, description="Whether its options also count after the subcommand.")
    commands: dict[str, "Rule"] = {}

    @model_validator(mode="after")
    def _known_kinds(self) -> "Rule":
        named = [*self.takes, *(operand.rstrip("*") for operand in self.operands)]
        unknown = [kind for kind in named if not kinds.is_known(kind)]
        if unknown:
            raise ValueError(f"unknown kinds of values: {', '.join(unknown)}")
        return self

    @cached_property
    def flag_set(self) -> frozenset[str]:
        return frozenset(self.flags.split())

    @cached_property
    def optional_set(self) -> frozenset[str]:
        return frozenset(self.optional.split())

    @cached_property
    def pair_set(self) -> frozenset[str]:
        return frozenset(self.pairs.split())

    @cached_property
    def value_kinds(self) -> Mapping[str, str]:
        return {option: kind for kind, options in self.takes.items() for option in options.split()}

    @cached_property
    def by_name(self) -> Mapping[str, "Rule"]:
        """Subcommands by name: a key of several words is several subcommands with one rule."""
        return {name: rule for names, rule in self.commands.items() for name in names.split()}

    def over(self, parent: "Rule") -> "Rule":
        """Return this subcommand's rule, with the options of its program where those count after it too."""
        if not parent.everywhere:
            return self
        takes = {kind: f"{parent.takes.get(kind, '')} {self.takes.get(kind, '')}" for kind in {*parent.takes}}
        joined = {
            "flags": f"{parent.flags} {self.flags}",
            "optional": f"{parent.optional} {self.optional}",
            "takes": self.takes | takes,
            "style": parent.style,
        }
        return self.model_copy(update=joined)


class Table(BaseModel):
    """One file of the table, and all of them together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    about: str = ""
    programs: dict[str, Rule]

    @cached_property
    def by_name(self) -> Mapping[str, Rule]:
        found: dict[str, Rule] = {}
        for names, rule in self.programs.items():
            for name in names.split():
                found[name] = _flattened(rule)
        return found


def _flattened(rule: Rule) -> Rule:
    """Give every subcommand the options of what is above it, once, so that a look-up costs nothing."""
    children = {names: _flattened(child.over(rule)) for names, child in rule.commands.items()}
    return Rule(**{**_fields(rule), "commands": children})


def _fields(rule: Rule) -> dict[str, Any]:
    return {name: getattr(rule, name) for name in Rule.model_fields}


def load_table(files: Iterable[Path]) -> Table:
    """Read and join rule files. Raises `ConfigError` for one that does not fit or a program named twice."""
    programs: dict[str, Rule] = {}
    for file in files:
        for names, rule in _load_file(file).programs.items():
            if set(names.split()) & {name for known in programs for name in known.split()}:
                raise ConfigError(f"{file.name}: {names} is already in the table")
            programs[names] = rule
    return Table(programs=programs)


def _load_file(file: Path) -> Table:
    try:
        return Table.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
        first = re.split(r"\n(?=\S)", str(error))[-1][:500]
        raise ConfigError(f"rule file {file.name}: {first}") from error


@lru_cache(maxsize=1)
def builtin_table() -> Table:
    """Return the table that comes with the product, read once per process."""
    return load_table(sorted(RULES_DIR.glob("*.yaml")))
