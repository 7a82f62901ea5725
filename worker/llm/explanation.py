"""How a name or a role became a route, step by step and with the origin of each value, for people."""

from worker.domain.conversation import Price, Route
from worker.errors import RouteError
from worker.llm import bedrock_ids
from worker.llm.accounts import Value
from worker.llm.choices import VARIABLES, Choice, Role, choices, find_home
from worker.llm.providers import BEDROCK, PROVIDERS
from worker.llm.resolution import Resolved, Resolver
from worker.llm.role_routes import RoleRoutes
from worker.llm.routes import build_route, known_facts, local_providers


def explain_name(name: str, role: Role, resolver: Resolver) -> list[str]:
    """Explain a name somebody asks for; it counts before whatever the role would use."""
    role_line = f"role: {role}; a name that is asked for counts before {VARIABLES[role]}"
    return [_mode(resolver), role_line, *_resolved(Choice("asked by name", name), resolver)]


def explain_role(role: Role, resolver: Resolver, roles: RoleRoutes) -> list[str]:
    """Explain what a role uses where nobody names a model."""
    lines = [_mode(resolver), f"role: {role}"]
    route = roles.judge if role is Role.JUDGE else roles.agents.get(role)
    if route is None:
        return [*lines, f"refused: there is no {role}: ORCHESTRATOR_ENABLED is not set"]
    for choice in choices(role, find_home(resolver), resolver):
        if choice.name and choice.origin == route.origin:
            told = [*_resolved(choice, resolver), *_fallbacks(route)]
            return [*lines, f"{choice.origin}: {choice.name}", *told]
        lines.append(f"{choice.origin}: {choice.name or 'unset'}")
    used = Choice(route.origin, route.picked, PROVIDERS.get(route.provider))
    return [*lines, f"{used.origin}: {used.name}", *_resolved(used, resolver), *_fallbacks(route)]


def _fallbacks(route: Route) -> list[str]:
    return [f"while it cannot be asked: {other.label} ({other.origin})" for other in route.fallbacks]


def _mode(resolver: Resolver) -> str:
    return f"mode: {resolver.mode.name}, because {resolver.mode.why}"


def _resolved(choice: Choice, resolver: Resolver) -> list[str]:
    try:
        resolved = resolver.resolve(choice.name or "", at=choice.at)
        route = build_route(resolved, resolver, origin=choice.origin)
    except RouteError as error:
        return [f"refused: {error}"]
    return [*resolved.steps, *_facts(resolved, route, resolver)]


def _facts(resolved: Resolved, route: Route, resolver: Resolver) -> list[str]:
    """List what a route carries, unknown said as such."""
    account = resolved.account
    places = {"region": account.region, "project": account.project, "location": account.location}
    return [
        _wire(resolved),
        f"address: {route.base_url or 'none'}" + (f" ({account.address.origin})" if route.base_url else ""),
        f"credential: {route.credential_ref or 'none'}",
        *(f"{name}: {_told(value)}" for name, value in places.items() if value),
        *(
            [f"api version: {route.api_version} (the address, or AZURE_OPENAI_API_VERSION)"]
            if route.api_version
            else []
        ),
        *([f"temperature: {route.temperature:g} (RCA_TEMPERATURE)"] if route.temperature is not None else []),
        f"price: {_cost(route.price) or _unpriced(resolved, resolver)}",
        f"context window: {route.context_window or 'unknown'}",
        f"data leaves the host: {'yes' if route.data_leaves_host else 'no'}{_declared(resolved, resolver)}",
        *_advice(resolved),
    ]


def _wire(resolved: Resolved) -> str:
    reason = ", for models that reason" if resolved.wire == resolved.account.reasoning_wire else ""
    return f"wire: {resolved.wire}{reason}"


def _told(value: Value) -> str:
    return f"{value.text} ({value.origin})"


def _cost(price: Price | None) -> str:
    if price is None:
        return ""
    dearer = "".join(
        f"; over {tier.above_input_tokens} tokens ${tier.input_per_mtok:g} and ${tier.output_per_mtok:g}"
        for tier in price.tiers
    )
    return f"${price.input_per_mtok:g} in, ${price.output_per_mtok:g} out per million{dearer} ({price.source})"


def _unpriced(resolved: Resolved, resolver: Resolver) -> str:
    return f"unknown: {known_facts(resolved, resolver).unpriced}"


def _declared(resolved: Resolved, resolver: Resolver) -> str:
    is_declared = resolved.account.is_own and resolved.provider.name in local_providers(resolver.settings)
    return " (RCA_LOCAL_PROVIDERS)" if is_declared else ""


def _advice(resolved: Resolved) -> list[str]:
    """Return how AWS writes an id that was shortened: it will refuse the short form."""
    is_native = resolved.provider is BEDROCK and resolved.account.region
    better = bedrock_ids.suggested_id(resolved.model) if is_native else None
    return [f"advice: AWS writes this id {better}"] if better else []
