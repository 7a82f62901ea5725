"""`rca llm alias` and `rca llm access`: names that stand for models, and who may use which."""

import click

from worker import managing
from worker.cli.managed import actor, open_services
from worker.domain.model_state import AccessRule, Alias
from worker.reporting.inert import one_line


@click.group()
def alias() -> None:
    """Names that stand for models, changed for all workers at once."""


@alias.command(name="list")
def list_aliases() -> None:
    """List the aliases, those of RCA_LLM_CONFIG too.

    Example: rca llm alias list
    """
    with open_services() as services:
        for one in services.router.aliases():
            state = "" if one.enabled else "  (off)"
            leads = "" if services.router.is_target(one.target) else "  (leads nowhere now)"
            click.echo(f"{one_line(one.name)} -> {one_line(one.target)}{state}{leads}")


@alias.command(name="set")
@click.argument("name")
@click.argument("target")
@click.option("--off", is_flag=True, help="Keep it, but let it stand for nothing.")
def set_alias(name: str, target: str, *, off: bool) -> None:
    """Let NAME stand for TARGET: `provider/model`, a model's or a profile's name.

    Example: rca llm alias set regular anthropic/claude-haiku-4.5
    """
    with open_services() as services:
        managing.put_alias(services, actor(), Alias(name=name, target=target, enabled=not off))
    click.echo(f"{name} stands for {target}" if not off else f"{name} is off")


@alias.command(name="remove")
@click.argument("name")
def remove_alias(name: str) -> None:
    """Take an alias away.

    Example: rca llm alias remove regular
    """
    with open_services() as services:
        managing.delete_alias(services, actor(), name)
    click.echo(f"{name} is gone")


@click.group()
def access() -> None:
    """Who may use which model, changed for all workers at once."""


@access.command(name="list")
def list_rules() -> None:
    """List the access rules.

    Example: rca llm access list
    """
    with open_services() as services:
        for rule in services.models.get().state.rules:
            who = ", ".join(rule.user_paths) if rule.enabled else "nobody"
            click.echo(f"{one_line(rule.selector)}: {who}")


@access.command(name="set")
@click.argument("selector")
@click.option("--path", "paths", multiple=True, help="A user_path that may use it, with all below; may be repeated.")
@click.option("--nobody", is_flag=True, help="Let nobody use it.")
def set_rule(selector: str, *, paths: tuple[str, ...], nobody: bool) -> None:
    """Say who may use SELECTOR: `/`, `provider/`, `provider/model`, or a model's or an alias's name.

    Example: rca llm access set openai/gpt-5.4 --path /team/alpha
    """
    with open_services() as services:
        rule = managing.put_rule(services, actor(), AccessRule(selector=selector, enabled=not nobody, user_paths=paths))
    click.echo(f"{rule.selector}: {', '.join(rule.user_paths) if rule.enabled else 'nobody'}")


@access.command(name="remove")
@click.argument("selector")
def remove_rule(selector: str) -> None:
    """Take a rule away.

    Example: rca llm access remove openai/gpt-5.4
    """
    with open_services() as services:
        managing.delete_rule(services, actor(), selector)
    click.echo(f"there is no rule for {selector} any more")
