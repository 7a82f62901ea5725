"""The directory of names: endpoints, profiles, aliases and lists of models, wherever they are said."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from worker.domain.model_state import Alias, ModelState
from worker.errors import ConfigError, RouteError
from worker.llm.access import one_name
from worker.llm.catalogue import find_model
from worker.llm.config_file import ConfigFile, literal_keys
from worker.llm.endpoints import (
    Endpoint,
    Profile,
    environment_endpoints,
    environment_lists,
    file_endpoints,
    file_profiles,
)

DEFAULT = "default"
"""The alias of what is used when nothing is named."""


@dataclass(frozen=True)
class Directory:
    """Who goes by which name. `lists` are the models that are configured of a provider or endpoint, by its name.

    With `is_closed` those are all it may be asked for. `halves` are endpoints that variables do not quite make, and
    what each lacks.
    """

    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    aliases: Mapping[str, Alias] = field(default_factory=dict)
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    is_closed: bool = False
    halves: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def has_default(self) -> bool:
        """Whether an alias says what is used when nothing is named."""
        return DEFAULT in self.aliases and self.aliases[DEFAULT].enabled

    def find_endpoint(self, name: str) -> tuple[Endpoint, str] | None:
        """Return the endpoint whose name stands before the first slash or colon, and the model behind it.

        Raises RouteError for half a one, which says what it lacks.
        """
        place = next((i for i, c in enumerate(name) if c in "/:"), None)
        if place is None:
            return None
        owner, model = name[:place].lower(), name[place + 1 :]
        endpoint = self.endpoints.get(owner)
        if endpoint is None and owner in self.halves:
            raise RouteError(f"{name}: {self.halves[owner]}")
        return (endpoint, model) if endpoint and model else None

    def require_listed(self, owner: str, model: str) -> None:
        """Raise RouteError for a model that is not among those configured, where only these may be asked for."""
        listed = self.lists.get(owner)
        if self.is_closed and listed and one_name(model) not in map(one_name, listed):
            raise RouteError(
                f"{owner}/{model} is not among the models configured for {owner}, and"
                " CONFIGURED_PROVIDER_MODELS_MODE=allowlist; add it, or name one of these: " + ", ".join(listed)
            )


def build_directory(
    file: ConfigFile, state: ModelState, *, variables: Mapping[str, str], is_closed: bool = False
) -> Directory:
    """Return the directory. Raises ConfigError that names what is wrong where."""
    endpoints: dict[str, Endpoint] = {}
    given, halves = environment_endpoints(variables)
    for endpoint in (*given, *file_endpoints(file)):
        if endpoint.name in endpoints:
            first = endpoints[endpoint.name].origin
            raise ConfigError(f"{endpoint.origin}: {endpoint.name} is already defined by {first}; rename one of them")
        endpoints[endpoint.name] = endpoint
    profiles = {profile.endpoint.name: profile for profile in file_profiles(file)}
    aliases = {name: Alias(name=name, target=target) for name, target in file.content.llm.aliases.items()}
    for alias in aliases.values():
        _check_target(alias, profiles)
    aliases |= {alias.name: alias for alias in state.aliases}
    lists, warnings = environment_lists(variables)
    return Directory(
        endpoints,
        profiles,
        aliases,
        _file_lists(file) | lists,
        is_closed,
        halves,
        (*map(_warn_of_half, halves.values()), *warnings, *map(_warn_of_literal, literal_keys(file))),
    )


def _warn_of_half(lack: str) -> str:
    return f"{lack}; so it is no endpoint"


def _warn_of_literal(owner: str) -> str:
    return f"RCA_LLM_CONFIG holds the key of {owner} itself; write env:VARIABLE and set that"


def _check_target(alias: Alias, profiles: Mapping[str, Profile]) -> None:
    """Raise ConfigError where an alias of the file names neither a profile nor anything that could be a model."""
    is_selector = "/" in alias.target or find_model(alias.target) is not None
    if alias.target not in profiles and not is_selector:
        known = ", ".join(profiles) or "none"
        raise ConfigError(
            f"RCA_LLM_CONFIG llm.aliases.{alias.name}: {alias.target} is no profile (there are {known}) and no"
            " provider/model"
        )


def _file_lists(file: ConfigFile) -> dict[str, tuple[str, ...]]:
    entries = file.content.providers.items()
    return {name.lower(): tuple(one.id for one in entry.models) for name, entry in entries if entry.models}
