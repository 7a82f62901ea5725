"""`rca llm`: which model is used for what, and why."""

import click

from worker.domain.conversation import Route
from worker.llm.routing import Role, Router
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
    """Show the routes of investigations and of the command judge, with what chose them.

    Example: RCA_MODEL=openai/gpt-4.1 rca llm routes
    """
    router = Router(load_settings())
    click.echo(f"rca    {describe_route(router.route(Role.RCA))}")
    judge = router.judge_route()
    click.echo(f"judge  {describe_route(judge) if judge else 'none: commands that no rule allows are denied'}")
    for warning in router.warnings:
        click.echo(f"warning: {warning}", err=True)


def describe_route(route: Route) -> str:
    """Return model, origin, and whether data leaves the host."""
    where = "data leaves this host" if route.data_leaves_host else "data stays on this host"
    return f"{route.label}  ({route.origin}; {route.wire}; key {route.credential_ref or 'none'}; {where})"
