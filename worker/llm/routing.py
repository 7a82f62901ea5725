"""Which model a role uses, and the route to it."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Protocol

from worker.domain.conversation import Price, Route
from worker.domain.orchestration import PinnedRoutes
from worker.errors import ConfigError, RouteError
from worker.llm.catalogue import find_model, reasons
from worker.llm.providers import ANTHROPIC, DIRECT, OFFLINE, OPENAI, OPENAI_COMPATIBLE, OPENROUTER, PROVIDERS, Provider
from worker.llm.resolution import ANALYST, DIRECTLY, Resolved, check_mode, choose_mode, resolve
from worker.settings import Settings

OFFLINE_PICK = f"{OFFLINE.name}/{ANALYST}"
BYPASSED = "RCA_MODEL is set and bypassed: with ORCHESTRATOR_ENABLED an agent that works alone uses RCA_SUBAGENT_MODEL"
FREE = Price(input_per_mtok=0.0, output_per_mtok=0.0, source="runs in this process")


class Role(StrEnum):
    """What a model is wanted for. Without an orchestrator there is no lead and there are no sub-agents."""

    RCA = "rca"
    ORCHESTRATOR = "orchestrator"
    SUBAGENT = "subagent"
    JUDGE = "judge"


ORCHESTRATED = {Role.ORCHESTRATOR: "RCA_ORCHESTRATOR_MODEL", Role.SUBAGENT: "RCA_SUBAGENT_MODEL"}
"""The variables that name the models of an orchestrated investigation."""


class RoleModel(Protocol):
    """A role of sub-agents, which may have a model of its own."""

    @property
    def name(self) -> str: ...
    @property
    def model(self) -> str | None: ...


class Router:
    """Resolves names with one configuration. Building it raises ConfigError if that configuration cannot work."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._mode, self._why_mode = choose_mode(settings)
        if _agent_models(settings) != {OFFLINE_PICK}:
            check_mode(self._mode, settings)
        self._agents = self._orchestrated() if settings.orchestrator_enabled else {Role.RCA: self._rca_route()}
        self._judge = self._judge_route()
        self.warnings: tuple[str, ...] = self._find_warnings()

    def route(self, role: Role, *, named: str | None = None, local_only: bool = False) -> Route:
        """Return the route of a role, or of the model somebody named.

        Raises RouteError if that leads nowhere, or off this host where data must not leave it.
        """
        return _allowed(self._find(role, named), local_only=local_only)

    def _find(self, role: Role, named: str | None) -> Route:
        if named and named.strip():
            return self._route(named, origin="named by the incident")
        if role is Role.JUDGE:
            return self._judge
        if role not in self._agents:
            raise RouteError(f"there is no {role}: ORCHESTRATOR_ENABLED is not set")
        return self._agents[role]

    def pinned(self, cards: Iterable[RoleModel], *, named: str | None, local_only: bool) -> PinnedRoutes | None:
        """Return all routes of an investigation; None without an orchestrator.

        `named` is the incident's model, for every role. A role whose own model cannot be used keeps that of the
        sub-agents, with a note. Raises RouteError where the lead or the sub-agents have no route that may be used.
        """
        if not self._settings.orchestrator_enabled:
            return None
        lead, subagent = (
            self.route(role, named=named, local_only=local_only) for role in (Role.ORCHESTRATOR, Role.SUBAGENT)
        )
        roles: dict[str, Route] = {}
        notes: list[str] = []
        for card in () if named and named.strip() else cards:
            if card.model is None:
                continue
            try:
                roles[card.name] = _allowed(self._route(card.model, origin=f"role {card.name}"), local_only=local_only)
            except RouteError as error:
                notes.append(f"role {card.name} uses the sub-agents' model {subagent.label}: {error}")
        return PinnedRoutes(orchestrator=lead, subagent=subagent, roles=roles, notes=tuple(notes))

    def judge_route(self) -> Route | None:
        """Return the judge's route; None where no model judges, because the offline analyst cannot."""
        return None if self._judge.wire == OFFLINE.wire else self._judge

    def explain(self, name: str) -> list[str]:
        """List the steps from a name to its route, or to what is wrong with it, for people."""
        steps = [f"mode: {self._mode}, because {self._why_mode}"]
        try:
            resolved = self._resolve(name)
        except RouteError as error:
            return [*steps, f"refused: {error}"]
        return [*steps, *resolved.steps, *_facts(self._route(name, origin="asked by name"))]

    def _resolve(self, name: str) -> Resolved:
        return resolve(name, mode=self._mode, settings=self._settings)

    def _route(self, name: str, *, origin: str) -> Route:
        resolved = self._resolve(name)
        provider, card = resolved.provider, find_model(resolved.model)
        listed = card if provider is not OPENAI_COMPATIBLE else None  # a name there need not mean the vendor's model
        return Route(
            provider=provider.name,
            model=resolved.model,
            wire=provider.wire,
            base_url=provider.base_url(self._settings),
            credential_ref=provider.credential_ref(self._settings),
            context_window=listed.context_window if listed else None,
            max_output_tokens=listed.max_output_tokens if listed else None,
            price=FREE if provider is OFFLINE else listed.price if listed else None,
            data_leaves_host=provider.leaves_host,
            picked=name,
            origin=origin,
        )

    def _set_route(self, variable: str, name: str) -> Route:
        try:
            return self._route(name, origin=variable)
        except RouteError as error:
            raise ConfigError(f"{variable}: {error}") from error

    def _orchestrated(self) -> dict[Role, Route]:
        """Return the routes of lead and sub-agents; an agent that works alone is a sub-agent without a lead."""
        named = {variable: getattr(self._settings, variable.lower()) for variable in ORCHESTRATED.values()}
        if missing := [variable for variable, name in named.items() if not name]:
            how = "write provider/model, such as anthropic/claude-sonnet-4.6, or offline/analyst"
            raise ConfigError(f"ORCHESTRATOR_ENABLED needs {' and '.join(missing)}; {how}")
        routes = {role: self._set_route(variable, named[variable]) for role, variable in ORCHESTRATED.items()}
        return {**routes, Role.RCA: routes[Role.SUBAGENT]}

    def _rca_route(self) -> Route:
        if self._settings.rca_model:
            return self._set_route("RCA_MODEL", self._settings.rca_model)
        if self._mode == OFFLINE.name:
            return self._route(OFFLINE_PICK, origin=f"built-in: {self._why_mode}")
        cheap = self._settings.rca_optimize_costs
        pick = _default_pick(self._home(), self._settings, cheap=cheap)
        if pick is None:
            raise ConfigError("no model is named for openai-compatible; set LLM_OPENAI_COMPATIBLE_MODEL or RCA_MODEL")
        return self._route(pick, origin=f"built-in with RCA_OPTIMIZE_COSTS={str(cheap).lower()}")

    def _home(self) -> Provider:
        """Return the provider whose pair of models is the default."""
        if self._mode != DIRECTLY:
            return PROVIDERS[self._mode]
        return next(provider for provider in DIRECT if provider.is_configured(self._settings))

    def _judge_route(self) -> Route:
        if self._settings.guardrails_llm_model:
            return self._set_route("GUARDRAILS_LLM_MODEL", self._settings.guardrails_llm_model)
        asking = self._agents[Role.RCA]
        provider = PROVIDERS.get(asking.provider)
        pick = _default_pick(provider, self._settings, cheap=True) if provider else None
        if pick is None:
            return asking
        if provider is OPENROUTER:
            pick = f"{provider.name}/{pick}"  # whatever the mode, the judge asks where the investigation asks
        return self._route(pick, origin=f"built-in: the cheap model of {asking.provider}")

    def _find_warnings(self) -> tuple[str, ...]:
        rca, found = self._agents[Role.RCA], []
        if self._settings.llm_provider_mode is None and self._mode != OPENROUTER.name:
            found.append(f"provider mode is {self._mode}: {self._why_mode}")
        if self._settings.orchestrator_enabled and self._settings.rca_model:
            found.append(BYPASSED)
        if rca.origin.startswith("built-in with") and self._home() not in {OPENROUTER, ANTHROPIC}:
            found.append(f"the default model is {rca.label}: {self._home().name} takes the built-in model's place")
        reasoning = {r.label: None for r in self._agents.values() if r.provider == OPENAI.name and reasons(r.model)}
        found += [
            f"{label} reasons: OpenAI's chat route forgets its reasoning between turns and may refuse"
            " tools with it; openai/gpt-4.1 or OpenRouter avoid that"
            for label in reasoning
        ]
        if reasons(self._judge.model):
            found.append(
                f"the judge's model {self._judge.label} reasons, slow and costly for a yes or no; pick a plain one"
            )
        return tuple(found)


def _agent_models(settings: Settings) -> set[str | None]:
    """Return what names the models of agents; None stands for the built-in."""
    if settings.orchestrator_enabled:
        return {settings.rca_orchestrator_model, settings.rca_subagent_model}
    return {settings.rca_model}


def _allowed(route: Route, *, local_only: bool) -> Route:
    """Return the route. Raises RouteError if the incident's data must not go there."""
    if local_only and route.data_leaves_host:
        raise RouteError(f"the incident is local_only and {route.label} is not on this host: name a local model")
    return route


def _default_pick(provider: Provider, settings: Settings, *, cheap: bool) -> str | None:
    """Return a provider's default model; None where only the operator can know one."""
    if provider is not OPENAI_COMPATIBLE:
        return provider.cheap if cheap else provider.strong
    model = settings.llm_openai_compatible_model
    return f"{provider.name}/{model}" if model else None


def _facts(route: Route) -> list[str]:
    """List what a route carries, unknown said as such."""
    price = route.price
    cost = (
        f"${price.input_per_mtok:g} in, ${price.output_per_mtok:g} out per million ({price.source})" if price else None
    )
    return [
        f"wire: {route.wire}",
        f"address: {route.base_url or 'none'}",
        f"credential: {route.credential_ref or 'none'}",
        f"price: {cost or 'unknown'}",
        f"context window: {route.context_window or 'unknown'}",
        f"data leaves the host: {'yes' if route.data_leaves_host else 'no'}",
    ]
