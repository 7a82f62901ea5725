"""Which model a role uses, and the route to it."""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from worker.domain.conversation import Price, Route
from worker.domain.model_state import Alias
from worker.domain.orchestration import PinnedRoutes
from worker.errors import ConfigError, RouteError
from worker.llm.access import Access, one_name
from worker.llm.backends import AutoBackend, Probe, answers
from worker.llm.callers import CallersAccount
from worker.llm.catalogue import CARDS, find_model
from worker.llm.choices import Role as Role
from worker.llm.choices import default_model
from worker.llm.directory import build_directory
from worker.llm.discovery import FindLists, find_owners
from worker.llm.explanation import explain_name, explain_role
from worker.llm.facts import Asked, find_facts
from worker.llm.modes import choose_mode
from worker.llm.providers import OFFLINE, PROVIDERS, Provider
from worker.llm.resolution import Resolver
from worker.llm.role_routes import RoleRoutes, build_role_routes, require_tools
from worker.llm.routes import FREE, OWN, build_route
from worker.llm.standing import Source, Standing, constant
from worker.settings import Settings, read_environment


class RoleModel(Protocol):
    """A role of sub-agents, which may have a model of its own."""

    @property
    def name(self) -> str: ...
    @property
    def model(self) -> str | None: ...


@dataclass(frozen=True)
class _Built:
    """What was made of one standing; `auto` is asked again and again, the rest stays."""

    standing: Standing
    auto: AutoBackend
    access: Access
    resolver: Resolver
    roles: RoleRoutes


class Router:
    """Resolves names with what holds now. Building it raises ConfigError if that cannot work.

    `source` says what holds, `variables` are where OPENAI_EAST_API_KEY and the like may stand; `probe` says whether an
    address answers, for LLM_BACKEND=auto.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        source: Source | None = None,
        variables: Mapping[str, str] | None = None,
        probe: Probe = answers,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source or constant(settings)
        self._variables = read_environment() if variables is None else variables
        self._probe, self._clock = probe, clock
        self._built = self._build(self._source())

    def _build(self, standing: Standing, auto: AutoBackend | None = None) -> _Built:
        settings, state = standing.settings, standing.state
        auto = auto or AutoBackend(settings, probe=self._probe, clock=self._clock)
        is_closed = settings.configured_provider_models_mode == "allowlist"
        directory = build_directory(standing.file, state, variables=self._variables, is_closed=is_closed)
        resolver = Resolver(settings, choose_mode(settings, find_auto=auto.find), standing.file, directory)
        access = Access(state.rules, is_open=settings.models_enabled_by_default)
        return _Built(standing, auto, access, resolver, build_role_routes(resolver))

    def _current(self) -> _Built:
        """Return what holds now: something was stored meanwhile, or with LLM_BACKEND=auto another server answers.

        What cannot work is not taken: the former choice stays.
        """
        standing, built = self._source(), self._built
        with suppress(ConfigError):
            if standing is not built.standing:
                self._built = self._build(standing)
            elif choose_mode(standing.settings, find_auto=built.auto.find) != built.resolver.mode:
                self._built = self._build(standing, built.auto)
        return self._built

    @property
    def generation(self) -> int:
        """The number of what operators have said that holds now."""
        return self._current().standing.generation

    @property
    def notes(self) -> tuple[str, ...]:
        """What was chosen for the operator."""
        return self._current().roles.notes

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is better mended."""
        return self._current().roles.warnings

    def route(self, role: Role, *, named: str | None = None, local_only: bool = False) -> Route:
        """Return the route of a role, or of the model somebody named.

        Raises RouteError if that leads nowhere, or off this host where data must not leave it.
        """
        return _allowed(require_tools(self._find(role, named), role), local_only=local_only)

    def _find(self, role: Role, named: str | None) -> Route:
        if named and named.strip():
            return self._route(named, origin="named by the incident")
        roles = self._current().roles
        if role is Role.JUDGE:
            return roles.judge
        if role not in roles.agents:
            raise RouteError(f"there is no {role}: ORCHESTRATOR_ENABLED is not set")
        return roles.agents[role]

    def pinned(self, cards: Iterable[RoleModel], *, named: str | None, local_only: bool) -> PinnedRoutes | None:
        """Return all routes of an investigation; None without an orchestrator.

        `named` is the incident's model, for every role. A role whose own model cannot be used keeps that of the
        sub-agents, with a note. Raises RouteError where the lead or the sub-agents have no route that may be used.
        """
        if not self._current().standing.settings.orchestrator_enabled:
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
                route = require_tools(self._route(card.model, origin=f"role {card.name}"), Role.SUBAGENT)
                others = tuple(other for other in subagent.fallbacks if other.label != route.label)
                roles[card.name] = _allowed(route.model_copy(update={"fallbacks": others}), local_only=local_only)
            except RouteError as error:
                notes.append(f"role {card.name} uses the sub-agents' model {subagent.label}: {error}")
        return PinnedRoutes(orchestrator=lead, subagent=subagent, roles=roles, notes=tuple(notes))

    def require_target(self, name: str) -> None:
        """Raise RouteError where a name, that of an alias left out, leads nowhere."""
        self._current().resolver.resolve_target(name)

    def require_access(self, routes: Iterable[Route], *, user_path: str | None) -> None:
        """Raise ModelAccessDeniedError for the first of the routes that the caller may not use."""
        access = self._current().access
        for route in routes:
            access.require(route, user_path=user_path)

    def callers_route(self, callers: CallersAccount, *, local_only: bool = False) -> Route:
        """Return the route to a caller's own account, which nobody stands in for. Raises RouteError."""
        resolver = self._current().resolver
        route = build_route(resolver.of_account(callers), resolver, origin="the caller's own account")
        own = {"billed_to": "caller", "ip": callers.ip, "data_leaves_host": True}
        return _allowed(route.model_copy(update=own), local_only=local_only)

    def judge_route(self, *, local_only: bool = False) -> Route | None:
        """Return the judge's route; None where no model judges.

        The offline analyst cannot, and one off this host may not where data must not leave it.
        """
        judge = self._current().roles.judge
        if judge.wire == OFFLINE.name or (local_only and judge.data_leaves_host):
            return None
        return _allowed(judge, local_only=local_only)

    def explain(self, name: str | None, *, role: Role = Role.RCA) -> list[str]:
        """List the steps from a name, or from a role, to its route, or to what is wrong with it, for people."""
        resolver, roles = self._current().resolver, self._current().roles
        if name is not None:
            return explain_name(name, role, resolver)
        return explain_role(role, resolver, roles)

    def default_of(self, provider: Provider) -> Route:
        """Return the route of a provider's default model. Raises RouteError where it has none, or is not configured."""
        named = default_model(provider, self._current().standing.settings)
        name = named.name or provider.cheap
        if not name:
            raise RouteError(f"No model configured for {provider.name}. Set {provider.model_variable}.")
        resolver = self._current().resolver
        return build_route(resolver.resolve(name, at=provider), resolver, origin=f"default of {provider.name}")

    def price(self, provider: str, model: str, *, booked_by: str | None = None) -> Price | None:
        """Return what a provider's model costs, wherever it is asked; None where nobody knows.

        `booked_by` is the source of a price before: what ran on a machine of one's own did so for nothing.
        """
        own = next((why for why in (FREE, OWN) if booked_by and booked_by.startswith(why)), None)
        asked = Asked(provider, model, card=find_model(model), own_price=own)
        resolver = self._current().resolver
        return find_facts(asked, file=resolver.file, settings=resolver.settings).price

    def aliases(self) -> list[Alias]:
        """Return the aliases that are known, in the order of their names."""
        aliases = self._current().resolver.directory.aliases
        return [aliases[name] for name in sorted(aliases)]

    def listed(self, find: FindLists | None = None) -> list[Route]:
        """Return a route for each model that is listed and leads anywhere now, by the name to write.

        `find` asks the endpoints: what one lists itself counts, else its configured list, else those of the vendor
        that we know.
        """
        resolver = self._current().resolver
        upstream = find(find_owners(resolver)) if find else {}
        lists, owners = {**resolver.directory.lists, **upstream}, {*PROVIDERS, *resolver.directory.endpoints}
        routes = [
            route
            for owner, models in lists.items()
            for route in self._find_targets(f"{owner}/{model}" for model in models if owner in owners)
            if owner not in upstream or route.provider == owner  # else another is asked for its models in this mode
        ]
        known = self._find_targets(card.pick for card in CARDS if card.vendor not in lists)
        served = {owner: {one_name(model) for model in models} for owner, models in upstream.items()}
        routes += [r for r in known if r.provider not in served or one_name(r.model) in served[r.provider]]
        routes += self._find_targets(resolver.directory.profiles)
        return list({route.picked: route for route in routes}.values())

    def _find_targets(self, names: Iterable[str]) -> list[Route]:
        return [route for name in names if (route := self._find_target(name))]

    def is_target(self, name: str) -> bool:
        """Say whether a name that is no alias leads anywhere now."""
        return self._find_target(name) is not None

    def is_selector(self, selector: str) -> bool:
        """Say whether a selector of rules and prices names anything that is known now."""
        provider, slash, model = selector.partition("/")
        directory = self._current().resolver.directory
        if slash and not model:
            return not provider or provider in {*PROVIDERS, *directory.endpoints}
        return selector in directory.aliases or self.is_target(selector)

    def may_use(self, route: Route, *, user_path: str | None) -> bool:
        access = self._current().access
        return access.allows(provider=route.provider, model=route.model, user_path=user_path, alias=route.alias)

    def _find_target(self, name: str) -> Route | None:
        resolver = self._current().resolver
        try:
            return build_route(resolver.resolve_target(name), resolver, origin="asked by name")
        except RouteError:
            return None

    def find(self, name: str) -> Route | None:
        """Return the route of a name; None where it leads nowhere."""
        try:
            return self._route(name, origin="asked by name")
        except RouteError:
            return None

    def _route(self, name: str, *, origin: str) -> Route:
        resolver = self._current().resolver
        return build_route(resolver.resolve(name), resolver, origin=origin)


def _allowed(route: Route, *, local_only: bool) -> Route:
    """Return the route, without fallbacks that may not be. Raises RouteError if data must not go where it leads."""
    if not local_only:
        return route
    if route.data_leaves_host:
        raise RouteError(f"the incident is local_only and {route.label} is not on this host: name a local model")
    return route.model_copy(update={"fallbacks": tuple(o for o in route.fallbacks if not o.data_leaves_host)})
