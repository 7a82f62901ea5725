"""The routes of all roles in one mode, made at once: a configuration that cannot work is refused at the start."""

from dataclasses import dataclass, field

from worker.domain.conversation import Route
from worker.errors import ConfigError, RouteError
from worker.llm.accounts import find_disagreements
from worker.llm.catalogue import reasons
from worker.llm.choices import VARIABLES, Choice, Role, choices, find_home, judges_at
from worker.llm.modes import DIRECTLY, check_mode, find_overruled_backend
from worker.llm.providers import ANTHROPIC, OFFLINE, OPENROUTER, PROVIDERS
from worker.llm.resolution import Resolver
from worker.llm.routes import build_route, check_local_providers
from worker.llm.spelling import ANALYST

OFFLINE_PICK = f"{OFFLINE.name}/{ANALYST}"
BYPASSED = "RCA_MODEL is set and bypassed: with ORCHESTRATOR_ENABLED an agent that works alone uses RCA_SUBAGENT_MODEL"
TEAM = (Role.ORCHESTRATOR, Role.SUBAGENT)


def require_tools(route: Route, role: Role) -> Route:
    """Return the route. Raises RouteError for a model without tools in a role that works with them."""
    if not route.takes_tools and role is not Role.JUDGE:
        raise RouteError(
            f"{route.label} takes no tools (capabilities.tools in RCA_LLM_CONFIG) and {role} needs them; pick another"
        )
    return route


@dataclass(frozen=True)
class RoleRoutes:
    """Whose route is which. `notes` say what was chosen for the operator, `warnings` what is better mended."""

    agents: dict[Role, Route]
    judge: Route
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = field(default=())


def build_role_routes(resolver: Resolver) -> RoleRoutes:
    """Return all routes. Raises ConfigError that names the variable if one of them cannot be."""
    builder = _Builder(resolver)
    builder.check()
    agents = builder.agents()
    judge = builder.judge(agents[Role.RCA])
    return RoleRoutes(
        {role: builder.backed(route, role) for role, route in agents.items()},
        builder.backed(judge, Role.JUDGE),
        builder.notes(agents),
        builder.warnings(judge),
    )


class _Builder:
    def __init__(self, resolver: Resolver) -> None:
        self.resolver, self.settings = resolver, resolver.settings
        self.home = find_home(resolver)

    def check(self) -> None:
        """Look at everything that is set about providers, also at what no role uses now."""
        check_local_providers(
            self.settings, endpoints=(*self.resolver.directory.endpoints, *self.resolver.directory.profiles)
        )
        for provider in PROVIDERS.values():
            provider.find_account(self.settings, False)
        roles = TEAM if self.settings.orchestrator_enabled else (Role.RCA,)
        named = [self._named(role) for role in roles]
        is_offline = all(choice and choice.name == OFFLINE_PICK for choice in named)
        is_direct = self.resolver.mode.name == DIRECTLY
        if not is_offline and not (is_direct and all(named)):
            check_mode(self.resolver.mode, self.settings)

    def agents(self) -> dict[Role, Route]:
        """Return the routes of agents; one that works alone is a sub-agent where there is a lead."""
        if self.settings.orchestrator_enabled:
            found = self._team()
            found[Role.RCA] = found[Role.SUBAGENT]
        else:
            found = {Role.RCA: self._rca()}
        found[Role.MAIN] = self._main(found[Role.RCA])
        return found

    def _named(self, role: Role) -> Choice | None:
        return next((c for c in choices(role, self.home, self.resolver) if c.name), None)

    def _route(self, choice: Choice, role: Role) -> Route:
        """Raises ConfigError that names the origin where the choice leads nowhere, or to what the role cannot use."""
        try:
            resolved = self.resolver.resolve(choice.name or "", at=choice.at)
            return require_tools(build_route(resolved, self.resolver, origin=choice.origin), role)
        except RouteError as error:
            raise ConfigError(f"{choice.origin}: {error}") from error

    def backed(self, route: Route, role: Role) -> Route:
        """Return the route with those that may be asked in its place. Raises ConfigError where one leads nowhere."""
        if role is Role.RCA and self.settings.orchestrator_enabled:
            role = Role.SUBAGENT  # who works alone does so with their model
        variable = f"{VARIABLES[role]}_FALLBACK"
        names = (name.strip() for name in (getattr(self.settings, variable.lower()) or "").split(","))
        others = [self._route(Choice(variable, name), role) for name in names if name]
        if role is Role.JUDGE and any(other.wire == OFFLINE.name for other in others):
            raise ConfigError(f"{variable}: {OFFLINE_PICK} cannot judge; name a model of a provider")
        if route.wire == OFFLINE.name:
            return route  # it is always there
        return route.model_copy(update={"fallbacks": tuple(other for other in others if other.label != route.label)})

    def _team(self) -> dict[Role, Route]:
        chosen = {role: self._named(role) for role in TEAM}
        if missing := [VARIABLES[role] for role, choice in chosen.items() if choice is None]:
            how = "write provider/model, such as anthropic/claude-sonnet-4.6, or offline/analyst"
            raise ConfigError(f"ORCHESTRATOR_ENABLED needs {' and '.join(missing)}; {how}")
        return {role: self._route(choice, role) for role, choice in chosen.items() if choice}

    def _rca(self) -> Route:
        is_offline = self.resolver.mode.name == OFFLINE.name
        if is_offline and not self.settings.rca_model and not self.resolver.directory.has_default:
            return self._route(Choice(f"built-in: {self.resolver.mode.why}", OFFLINE_PICK), Role.RCA)
        if choice := self._named(Role.RCA):
            return self._route(choice, Role.RCA)
        name, variable = (self.home.name, self.home.model_variable) if self.home else ("any provider", "")
        raise ConfigError(f"No model configured for {name}. Set {variable or 'LLM_<P>_MODEL'} or RCA_MODEL.")

    def _main(self, rca: Route) -> Route:
        """Return the route of follow-up questions: the investigation's, where nothing better is known."""
        choice = self._named(Role.MAIN)
        if choice is None:
            return rca.model_copy(update={"origin": f"as investigations: {rca.origin}"})
        try:
            return self._route(choice, Role.MAIN)
        except ConfigError:
            if choice.name == self.settings.main_model:
                raise
            return rca.model_copy(update={"origin": f"as investigations: {rca.origin}"})

    def judge(self, asking: Route) -> Route:
        if choice := self._named(Role.JUDGE):
            return self._route(choice, Role.JUDGE)
        provider = PROVIDERS.get(asking.provider)
        choice = judges_at(provider, self.settings) if provider else None
        if choice is None or not choice.name:
            return asking
        try:
            return self._route(choice, Role.JUDGE)
        except ConfigError:
            return asking

    def notes(self, agents: dict[Role, Route]) -> tuple[str, ...]:
        mode, found = self.resolver.mode, []
        if not mode.variable and mode.name != OPENROUTER.name:
            found.append(f"provider mode is {mode.name}: {mode.why}")
        rca, home = agents[Role.RCA], self.home
        if rca.origin.startswith("built-in with") and home and home not in {OPENROUTER, ANTHROPIC}:
            found.append(f"the default model is {rca.label}: {home.name} takes the built-in model's place")
        return tuple(found)

    def warnings(self, judge: Route) -> tuple[str, ...]:
        found = [*find_disagreements(self.settings), *self.resolver.directory.warnings]
        if overruled := find_overruled_backend(self.resolver.mode, self.settings):
            found.append(overruled)
        if self.settings.orchestrator_enabled and self.settings.rca_model:
            found.append(BYPASSED)
        if reasons(judge.model):
            found.append(f"the judge's model {judge.label} reasons, slow and costly for a yes or no; pick a plain one")
        return tuple(found)
