"""`rca llm`: which model is used for what, and why."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import click

from worker import managing
from worker.cli.aliases import access, alias
from worker.cli.managed import actor, find_router, find_standing, open_services
from worker.cli.system import open_redis
from worker.cli.tokens import UserPath
from worker.domain.conversation import Route
from worker.errors import ConfigError
from worker.investigation.roles import load_roles
from worker.llm.accounts import Account
from worker.llm.client import ProviderClient
from worker.llm.config_file import Limits, read_config_file
from worker.llm.discovery import find_discovered
from worker.llm.gate import Standing, account_of
from worker.llm.hello import HELLO
from worker.llm.providers import OFFLINE, PROVIDERS, Provider, find_provider
from worker.llm.routing import Role, RoleModel, Router
from worker.llm.shared_gate import SharedGate
from worker.reporting import words
from worker.settings import Settings, load_settings

TEST_S = 30.0
NOTHING_LISTED = "no listed model leads anywhere; offline/analyst does"


@click.group()
def llm() -> None:
    """See which models are used, and where a name leads; `test` alone calls one."""


llm.add_command(alias)
llm.add_command(access)


@llm.command()
@click.argument("name", required=False)
@click.option(
    "--role",
    type=click.Choice(list(Role), case_sensitive=False),
    default=Role.RCA,
    show_default=True,
    help="What the model is wanted for.",
)
@click.option("--user-path", type=UserPath(), help="Say too whether an incident of this path may use it.")
def explain(name: str | None, role: Role, user_path: str | None) -> None:
    """Show step by step how a model's name, or a role without one, becomes a route; exit code 1 where it does not.

    Example: rca llm explain anthropic/claude-haiku-4.5 --role judge
    """
    router = find_router(load_settings())
    steps = router.explain(name, role=role)
    if user_path is not None:
        steps.append(_access_of(router, name, role, user_path))
    click.echo("\n".join(steps))
    raise SystemExit(1 if any(step.startswith("refused: ") for step in steps) else 0)


def _access_of(router: Router, name: str | None, role: Role, user_path: str) -> str:
    route = router.find(name) if name else router.route(role)
    if route is None:
        return f"access: there is no model for {user_path} to use"
    verb = "may" if router.may_use(route, user_path=user_path) else "refused: it may not"
    return f"access of {user_path}: {verb} use {route.alias or route.label}"


@llm.command()
@click.option("--config", "file", type=click.Path(path_type=Path, exists=True), help="Look at this file first.")
def reload(*, file: Path | None) -> None:
    """Let every process read its RCA_LLM_CONFIG again; what cannot work is refused, and the one before serves on.

    Example: rca llm reload --config /etc/rca/llm.yaml
    """
    settings = load_settings()
    if file is not None and (settings.rca_llm_config is None or file.resolve() != settings.rca_llm_config.resolve()):
        raise ConfigError(f"RCA_LLM_CONFIG is {settings.rca_llm_config or 'unset'}: put {file} there, then reload")
    with open_services() as services:
        state = managing.reload(services, actor())
    click.echo(f"generation {state.generation} holds for new investigations")


@llm.command(name="list")
def list_all() -> None:
    """List the providers, whether and by what they are configured, and the models that can be named now.

    The endpoints are asked what they serve; one that does not say is named, and stands with the models known of it.

    Example: rca llm list
    """
    standing = find_standing(load_settings())
    router = Router(standing.settings, source=lambda: standing)
    discovered = find_discovered(standing.settings, lambda: standing)
    for provider in PROVIDERS.values():
        click.echo(f"{provider.name:<18} {_standing(provider, standing.settings)}")
    click.echo("")
    for line in [*_models(router.listed(discovered.find))] or [NOTHING_LISTED]:
        click.echo(line)


@llm.command()
@click.argument("name")
def test(name: str) -> None:
    """Call a model once with a few tokens: one that is named, or the default of a provider; exit code 1 if it fails.

    Example: rca llm test anthropic
    """
    settings = load_settings()
    router = find_router(settings)
    provider = find_provider(name)
    route = router.default_of(provider) if provider else router.route(Role.RCA, named=name)
    if route.wire == OFFLINE.name:
        click.echo(f"{route.label} is part of this program: there is nothing to call")
        return
    click.echo(call_once(settings, route))


def call_once(settings: Settings, route: Route) -> str:
    """Call a model with a few tokens and describe its answer. Raises the errors of the provider client."""
    standing = find_standing(settings)
    with closing(ProviderClient(standing.settings, source=lambda: standing)) as client:
        answer = client.ask(HELLO, route=route, timeout_s=TEST_S)
    used = f"{words.count(answer.usage.input_tokens)} tokens in, {words.count(answer.usage.output_tokens)} out"
    return f"{route.label} answered within {answer.latency_ms} ms over {route.wire}: {used}"


@llm.command()
def limits() -> None:
    """Show what the accounts in use have been sent in the last minute, of what they may be, and what holds them back.

    Example: rca llm limits
    """
    settings = load_settings()
    file = read_config_file(settings.rca_llm_config)
    router = find_router(settings)
    routes, _ = _agent_routes(router, load_roles(settings.rca_roles_dir).cards.values())
    used = [*routes.values(), router.route(Role.MAIN), router.judge_route()]
    asked = [one for route in used if route for one in (route, *route.fallbacks) if one.wire != OFFLINE.name]
    accounts = {account_of(route): route for route in asked}
    if not accounts:
        click.echo("no account is in use: offline/analyst is part of this program")
        return
    with open_redis(settings) as redis:
        redis.ping()  # without it the gate would tell what this process alone knows, which is nothing
        gate = SharedGate(redis)
        for route in accounts.values():
            bounds = file.limits(route.provider, address=route.base_url)
            click.echo(f"{route.provider:<18} {route.credential_ref or 'no key'}: {_used(gate.look(route), bounds)}")


def _used(standing: Standing, bounds: Limits) -> str:
    told = [
        f"{words.count(used)} of {words.count(limit)} {what}"
        for used, limit, what in (
            (standing.requests, bounds.requests_per_minute, "requests a minute"),
            (standing.tokens, bounds.tokens_per_minute, "tokens a minute"),
            (standing.running, bounds.concurrent, "at a time"),
        )
        if limit is not None
    ] or ["no limits"]
    if standing.cooldown_s:
        told.append(f"left alone for {standing.cooldown_s:.0f} s, as it asked")
    if standing.circuit_s:
        told.append(f"failing: tried again in {standing.circuit_s:.0f} s")
    return ", ".join(told)


@llm.command()
def routes() -> None:
    """Show the routes of investigations, of roles with a model of their own and of the judge, with what chose them.

    Example: RCA_MODEL=openai/gpt-4.1 rca llm routes
    """
    settings = load_settings()
    router = find_router(settings)
    chosen, notes = _agent_routes(router, load_roles(settings.rca_roles_dir).cards.values())
    judge = router.judge_route()
    told = {name: describe_route(route) for name, route in chosen.items()}
    told["judge"] = describe_route(judge) if judge else "none: commands that no rule allows are denied"
    told["questions"] = describe_route(router.route(Role.MAIN))
    for name, description in told.items():
        click.echo(f"{name:<{max(map(len, told))}}  {description}")
    for note in router.notes:
        click.echo(f"note: {note}", err=True)
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
    told = f"{route.label}  ({route.origin}; {route.wire}; key {route.credential_ref or 'none'}; {_where(route)})"
    return " else ".join([told, *(other.label for other in route.fallbacks)])


def describe_account(account: Account) -> str:
    """Return over what, where and with which key a provider is asked."""
    place = account.region.text if account.region else account.address.text
    return f"{account.wire}; {place}; key {account.credential_ref or 'none'}"


def _where(route: Route) -> str:
    return "data leaves this host" if route.data_leaves_host else "data stays on this host"


def _standing(provider: Provider, settings: Settings) -> str:
    account = provider.find_account(settings, False)
    if account is None:
        return f"not configured; set {provider.needs}"
    return f"configured: {describe_account(account)}"


def _models(routes: Iterable[Route]) -> Iterator[str]:
    """Describe each listed model that leads somewhere in the present mode, by the name to write."""
    for route in routes:
        price = f"${route.price.input_per_mtok:g}/${route.price.output_per_mtok:g}" if route.price else "price unknown"
        window = route.context_window or "unknown"
        yield f"{route.picked:<34} -> {route.label}  ({window} tokens; {price}; {_where(route)})"
