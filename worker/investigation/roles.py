"""Roles of sub-agents: Markdown files with front matter, shipped and the operator's own."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BeforeValidator, Field, StringConstraints, ValidationError

from worker.domain.conversation import Frozen

SHIPPED = Path(__file__).parent / "roles"
AIDS = frozenset({"read_artifact", "list_entities"})
"""Tools that only serve others: a role is not worth offering for them alone."""

_FRONT = re.compile(r"---[ \t]*\n(?P<front>.*?)^---[ \t]*(?:\n|\Z)(?P<body>.*)", re.DOTALL | re.MULTILINE)
_YAML_ERRORS = (yaml.YAMLError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError)
"""What PyYAML raises: besides its own, whatever its readers of tagged values (`!!int x`) and of deep nesting do."""

Pattern = Annotated[str, StringConstraints(pattern=r"^[^\s,]{1,100}$")]


def _unless_blank(value: object) -> object:
    return (value.strip() or None) if isinstance(value, str) else value


class FrontMatter(Frozen):
    """What stands above a role's instructions. The descriptions say what is accepted."""

    name: str = Field(
        pattern=r"^[a-z][a-z0-9_]{0,59}$", description="a lower-case letter, then at most 59 more, digits or _"
    )
    description: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)] = Field(
        description="one to 1000 characters that say what the role is for"
    )
    tools: tuple[Pattern, ...] = Field(
        min_length=1, description="a list of at least one tool's name or pattern such as rank_* or *"
    )
    model: Annotated[str | None, BeforeValidator(_unless_blank)] = Field(
        default=None, max_length=300, description="a model as in RCA_SUBAGENT_MODEL, or nothing"
    )
    max_turns: int = Field(default=12, strict=True, ge=1, le=100, description="a whole number from 1 to 100")
    max_seconds: float = Field(
        default=600.0, strict=True, ge=10, le=7200, allow_inf_nan=False, description="a number from 10 to 7200"
    )
    rca_priority: int = Field(
        default=50, strict=True, ge=0, le=100, description="a whole number from 0, offered first, to 100"
    )


class RoleCard(FrontMatter):
    """One role. `tools` are names or patterns; `model` None: the sub-agents' model; low `rca_priority` comes first."""

    instructions: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=20_000)] = Field(
        default="", description="one to 20000 characters below the front matter"
    )

    def allows(self, tool_name: str) -> bool:
        return any(fnmatchcase(tool_name, pattern) for pattern in self.tools)


@dataclass(frozen=True)
class Roles:
    """Roles by name, the first to offer first, and where each was read.

    `problems` name file and field of what was skipped, and what would be accepted.
    """

    cards: Mapping[str, RoleCard] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    origins: Mapping[str, Path] = field(default_factory=dict)

    def offered(self, tool_names: Iterable[str]) -> tuple[RoleCard, ...]:
        """Return the roles that could ask something: one of their tools exists, aids aside."""
        names = frozenset(tool_names) - AIDS
        return tuple(card for card in self.cards.values() if any(map(card.allows, names)))


def load_roles(folder: Path | None = None) -> Roles:
    """Return the shipped roles, with those of the folder added or in the place of the same name. Never raises."""
    shipped, own = _read_shipped(), read_folder(folder) if folder else Roles()
    cards = sorted({**shipped.cards, **own.cards}.values(), key=lambda card: (card.rca_priority, card.name))
    return Roles(
        cards={card.name: card for card in cards},
        problems=shipped.problems + own.problems,
        origins={**shipped.origins, **own.origins},
    )


@cache
def _read_shipped() -> Roles:
    """Read what does not change while this program runs."""
    return read_folder(SHIPPED)


def read_folder(folder: Path) -> Roles:
    """Read every Markdown file of a folder, hidden ones aside."""
    try:
        files = sorted(file for file in folder.iterdir() if file.suffix == ".md" and file.name[0] != ".")
    except OSError as error:
        return Roles(problems=(f"{folder}: cannot be read ({error.strerror}); accepted: a folder of Markdown files",))
    return read_files(files)


def read_files(files: Iterable[Path]) -> Roles:
    """Read role files; of two with the same name the later is a problem."""
    cards: dict[str, RoleCard] = {}
    origins: dict[str, Path] = {}
    problems: list[str] = []
    for file in files:
        card, found = _read(file)
        problems += found
        if card is None:
            continue
        if card.name in cards:
            taken = f"{card.name} is already the role of {origins[card.name].name}"
            problems.append(f"{file}: name: {taken}; accepted: a name of its own")
            continue
        cards[card.name], origins[card.name] = card, file
    return Roles(cards, tuple(problems), origins)


def _read(file: Path) -> tuple[RoleCard | None, tuple[str, ...]]:
    """Return the role, or None with what is wrong with the file."""
    try:
        front, body = _split(file.read_text(encoding="utf-8-sig"))
        above = FrontMatter.model_validate(front)
        return RoleCard(**above.model_dump(), instructions=body), ()
    except ValidationError as error:
        return None, tuple(f"{file}: {told}" for told in _faults(error))
    except OSError as error:
        return None, (f"{file}: cannot be read ({error.strerror}); accepted: a text file",)
    except UnicodeDecodeError:
        return None, (f"{file}: is not UTF-8; accepted: a text file in UTF-8",)
    except _YAML_ERRORS as error:
        return None, (f"{file}: front matter: {_where(error)}; accepted: {_fields()} between two lines of ---",)


def _split(text: str) -> tuple[dict[Any, Any], str]:
    """Return front matter and the text below it. Raises one of `_YAML_ERRORS` where there is no such thing."""
    match = _FRONT.match(text)
    front = yaml.safe_load(match["front"]) if match else None
    if match is None or not isinstance(front, dict):
        raise ValueError
    return front, match["body"]


def _faults(error: ValidationError) -> Iterator[str]:
    """Say once for each field what is wrong and what is accepted."""
    errors = error.errors(include_input=False, include_url=False)
    first = {str(next(iter(one["loc"]), "front matter")): one for one in reversed(errors)}
    for name, one in sorted(first.items()):
        known = RoleCard.model_fields.get(name)
        accepted = known.description if known and one["type"] != "extra_forbidden" else _fields()
        yield f"{name if known else repr(name)[:80]}: {one['msg']}; accepted: {accepted}"


def _where(error: Exception) -> str:
    """Say what is wrong with front matter that is no YAML mapping; lines are counted in the file."""
    mark = getattr(error, "problem_mark", None)
    return f"no YAML fields, see line {mark.line + 2}" if mark else "no YAML fields there"


def _fields() -> str:
    return ", ".join(FrontMatter.model_fields)
