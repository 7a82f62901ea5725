"""The table of programs: what is written in `rules/*.yaml`, checked when it is loaded."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from worker.errors import ConfigError
from worker.guardrails import kinds
from worker.guardrails.files import read_file

RULES_DIR = Path(__file__).parent / "rules"


class CommandClass(StrEnum):
    READ = "read"
    SECRET = "secret"  # noqa: S105 -- the name of a class, not a password
    WRITE = "write"


class Style(StrEnum):
    GNU = "gnu"  # -a -b may be written -ab; --long=value
    WORDS = "words"  # find -name, openssl -in: one dash, never bundled
    GO = "go"  # like GNU, and -o=json is -o json
    LITERAL = "literal"  # echo: a word that looks like an option is text


class Rule(BaseModel):
    """A program or subcommand. What is not named here is not allowed.

    Lists of options are one string, blanks between. `takes` maps the kind of a value to the options that take one;
    `optional` are options whose value, if any, is attached (`--color=always`); `pairs` take two words.
    `operands` are kinds by position, the last with `*` for any number. Where an option of `instead_of_first` is
    given, the first operand is not expected (`grep -e`). `needs` must hold one option that is given; `requires` says
    the same of a single option (`curl --data-urlencode` without `-G` would post). `no_input`: the
    program sends away what it reads, so it must be said that this is nothing: `</dev/null`, or an empty `echo |`.
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
    requires: dict[str, str] = {}
    together: str = Field(default="", description="The kind of all its words, a blank between each.")
    options_first: bool = Field(default=False, description="Whether what follows the first operand is no option.")
    operands_need: str = Field(default="", description="Options of which one must be given where an operand is.")
    needs_operand: bool = Field(default=False, description="Whether it would read commands from its input without.")
    no_input: bool = False
    network: bool = Field(default=False, description="Whether it needs the network where commands run in a sandbox.")
    alone: bool = Field(default=False, description="Whether it may stand without a subcommand.")
    everywhere: bool = Field(default=True, description="Whether its options also count after the subcommand.")
    commands: dict[str, "Rule"] = {}

    @model_validator(mode="after")
    def _known_kinds(self) -> "Rule":
        named = [*self.takes, *(operand.rstrip("*") for operand in self.operands), *filter(None, [self.together])]
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
        """Return this subcommand's rule, with the options of its program where those count after it too.

        What the subcommand says of an option itself stands.
        """
        if not parent.everywhere:
            return self
        own = {option for options in self.takes.values() for option in options.split()}
        takes = dict(self.takes)
        for kind, options in parent.takes.items():
            kept = " ".join(option for option in options.split() if option not in own)
            takes[kind] = f"{takes.get(kind, '')} {kept}"
        joined = {
            "flags": f"{parent.flags} {self.flags}",
            "optional": f"{parent.optional} {self.optional}",
            "takes": takes,
            "style": parent.style,
        }
        return self.model_copy(update=joined)


_Host = Annotated[str, StringConstraints(pattern=r"^(\*\.)?[a-z0-9][a-z0-9._-]*(:\d+)?$")]


class Table(BaseModel):
    """One file of the table, and all of them together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    about: str = ""
    hosts: tuple[_Host, ...] = Field(default=(), description="Hosts, `*.suffix` too, that may be asked over HTTP.")
    programs: dict[str, Rule] = {}
    network: bool = Field(default=False, description="Whether all programs of the file do.")
    networked: frozenset[str] = Field(default=frozenset(), exclude=True, description="Which do; set when joined.")
    origins: dict[str, str] = Field(default={}, exclude=True, description="File of each program; set when joined.")

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


def load_table(files: Iterable[Path], *, over: Table | None = None) -> Table:
    """Read and join rule files, `over` a table that they add to.

    Raises `ConfigError` for a file that does not fit or a program named twice: nobody's file may loosen what is there.
    """
    programs = dict(over.programs) if over else {}
    origins = dict(over.origins) if over else {}
    networked = set(over.networked) if over else set()
    hosts = list(over.hosts) if over else []
    for file in files:
        read, _ = read_file(file, Table)
        for names, rule in read.programs.items():
            known = [name for name in names.split() if name in origins]
            if known:
                raise ConfigError(f"{file}: programs.{names}: {known[0]} is already in {origins[known[0]]}")
            programs[names] = rule
            networked |= set(names.split()) if rule.network or read.network else set()
        origins |= {name: str(file) for names in read.programs for name in names.split()}
        hosts += read.hosts
    return Table(programs=programs, hosts=tuple(hosts), networked=frozenset(networked), origins=origins)


@lru_cache(maxsize=1)
def builtin_table() -> Table:
    """Return the table that comes with the product, read once per process."""
    return load_table(sorted(RULES_DIR.glob("*.yaml")))


def table_with(folder: Path | None) -> Table:
    """Return the shipped table with the operator's rule files. Raises `ConfigError` for a folder without any."""
    if folder is None:
        return builtin_table()
    files = sorted(folder.glob("*.yaml"))
    if not files:
        raise ConfigError(f"{folder}: holds no rule file (*.yaml)")
    return load_table(files, over=builtin_table())
