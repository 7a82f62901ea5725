"""`rca llm`: which model is used for what, and why."""

from collections.abc import Iterable

import click

from worker.domain.conversation import Route
from worker.investigation.roles import load_roles
from worker.llm.routing import Role, RoleModel, Router
from worker.settings import load_settings


@click.group()
def llm() -> None:
    """See which models are used, and where a name leads. No model is called."""


@llm.command()
@click.argument("name")
def explain(name: str) -> None:
    """Show step by step how a model's name becomes a route, or why it does not (exit code 1).

    Example: rca llm explain anthropic/claude-haiku-4.5
    """
    steps = Router(load_settings()).explain(name)
    click.echo("\n".join(steps))
    raise SystemExit(1 if steps[-1].startswith("refused: ") else 0)


@llm.command()
def routes() -> None:
    """Show the routes of investigations, of roles with a model of their own and of the judge, with what chose them.

    Example: RCA_MODEL=openai/gpt-4.1 rca llm routes
    """
    settings = load_settings()
    router = Router(settings)
    chosen, notes = _agent_routes(router, load_roles(settings.rca_roles_dir).cards.values())
    judge = router.judge_route()
    told = {name: describe_route(route) for name, route in chosen.items()}
    told["judge"] = describe_route(judge) if judge else "none: commands that no rule allows are denied"
    for name, description in told.items():
        click.echo(f"{name:<{max(map(len, told))}}  {description}")
    for warning in (*router.warnings, *notes):
        click.echo(f"warning: {warning}", err=True)


def _agent_routes(router: Router, cards: Iterable[RoleModel]) -> tuple[dict[str, Route], tuple[str, ...]]:
    """Return the routes of agents by name, and notes about roles that go without the model they name."""
    pinned = router.pinned(cards, named=None, local_only=False)
    if pinned is None:
        return {"rca": router.route(Role.RCA)}, ()
    roles = {f"role {name}": route for name, route in pinned.roles.items()}
    return {"orchestrator": pinned.orchestrator, "subagent": pinned.subagent, **roles}, pinned.notes


def describe_route(route: Route) -> str:
    """Return model, origin, and whether data leaves the host."""
    where = "data leaves this host" if route.data_leaves_host else "data stays on this host"
    return f"{route.label}  ({route.origin}; {route.wire}; key {route.credential_ref or 'none'}; {where})"
