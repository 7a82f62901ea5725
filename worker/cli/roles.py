"""`rca roles`: which roles sub-agents can have, and whether the files that describe them can be used."""

from pathlib import Path

import click
import yaml

from worker.errors import NotFoundError
from worker.investigation.roles import SHIPPED, RoleCard, Roles, load_roles, read_files, read_folder
from worker.settings import load_settings


@click.group()
def roles() -> None:
    """See the roles of sub-agents, the shipped ones and those of RCA_ROLES_DIR, and check role files."""


@roles.command(name="list")
def list_all() -> None:
    """List the roles, the first to be offered first: name, model, limits, file, tools.

    Example: rca roles list
    """
    found = _configured()
    width = max(map(len, found.cards), default=0)
    for name, card in found.cards.items():
        click.echo(f"{name:<{width}}  {'  '.join(_facts(card, found.origins[name]))}")
    for problem in found.problems:
        click.echo(f"skipped: {problem}", err=True)


@roles.command()
@click.argument("name")
def show(name: str) -> None:
    """Show a role as a role file: a copy of it in RCA_ROLES_DIR takes its place and can be changed.

    Example: rca roles show runbook_lookup
    """
    found = _configured()
    if name not in found.cards:
        raise NotFoundError(f"there is no role {name}; there are: {', '.join(found.cards)}; see `rca roles check`")
    card = found.cards[name]
    front = yaml.safe_dump(card.model_dump(mode="json", exclude={"instructions"}), sort_keys=False, allow_unicode=True)
    click.echo(f"---\n# {_place(found.origins[name])}\n{front}---\n{card.instructions}")


@roles.command()
@click.argument("place", metavar="[FILE|FOLDER]", required=False, type=click.Path(exists=True, path_type=Path))
def check(place: Path | None) -> None:
    """Check role files, or without an argument those in use; exit code 1 if anything is wrong.

    Example: rca roles check my_roles/
    """
    found = _configured() if place is None else read_folder(place) if place.is_dir() else read_files([place])
    for problem in found.problems:
        click.echo(f"fail  {problem}", err=True)
    click.echo(f"{len(found.cards)} can be used: {', '.join(found.cards) or 'none'}")
    raise SystemExit(1 if found.problems else 0)


def _configured() -> Roles:
    return load_roles(load_settings().rca_roles_dir)


def _facts(card: RoleCard, file: Path) -> tuple[str, ...]:
    limits = f"{card.max_turns} turns, {card.max_seconds:g} s"
    return card.model or "RCA_SUBAGENT_MODEL", limits, _place(file), " ".join(card.tools)


def _place(file: Path) -> str:
    return "shipped" if file.parent == SHIPPED else str(file)
