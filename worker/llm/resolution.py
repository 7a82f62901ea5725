"""From a model's name to the provider that is asked, the id it knows the model by, and the wire that is spoken."""

from dataclasses import dataclass, field, replace

from worker.domain.model_state import Alias
from worker.errors import ConfigError, RouteError
from worker.llm import bedrock_ids
from worker.llm.accounts import Account
from worker.llm.callers import CallersAccount
from worker.llm.catalogue import reasons
from worker.llm.config_file import ConfigFile
from worker.llm.directory import Directory
from worker.llm.endpoints import Endpoint, Profile
from worker.llm.modes import Mode
from worker.llm.picks import Pick, split_pick
from worker.llm.providers import (
    AZURE,
    BEDROCK,
    OFFLINE,
    OPENAI_COMPATIBLE,
    OPENROUTER,
    OWN_ENDPOINTS,
    PROVIDERS,
    Provider,
)
from worker.llm.spelling import Place, serves, spell
from worker.settings import Settings


@dataclass(frozen=True)
class Resolved:
    """Whom to ask for what, over which wire, and the steps that led there, for people."""

    pick: Pick
    provider: Provider
    account: Account
    model: str
    wire: str
    steps: tuple[str, ...] = ()
    endpoint: str = ""
    """The endpoint's own name, where it is not the provider's account."""
    profile: Profile | None = None
    alias: str = ""

    @property
    def asked_of(self) -> str:
        """Who is asked, by the name that its models are written with."""
        return self.endpoint or self.provider.name


@dataclass(frozen=True)
class Resolver:
    """Resolves names in one mode."""

    settings: Settings
    mode: Mode
    file: ConfigFile = field(default_factory=ConfigFile)
    directory: Directory = field(default_factory=Directory)

    def resolve(self, name: str, *, at: Provider | None = None) -> Resolved:
        """Find who serves a name, or how the provider `at` calls it; an alias leads to another name, once.

        Raises RouteError that says how to write it or what to configure.
        """
        alias = self.directory.aliases.get(name.strip())
        if alias is None or not alias.enabled:
            return self._resolve(name, at)
        step = f"alias: {alias.name} stands for {alias.target}"
        try:
            found = self._resolve(alias.target, at)
        except RouteError as error:
            return self._instead(alias, error)
        return replace(found, steps=(step, *found.steps), alias=alias.name)

    def _instead(self, alias: Alias, error: RouteError) -> Resolved:
        """Take the name of an alias that leads nowhere for a model's. Raises RouteError where it is none either."""
        try:
            found = self._resolve(alias.name, None)
        except RouteError:
            raise RouteError(
                f"the alias {alias.name} stands for {alias.target}, which leads nowhere: {error}"
            ) from error
        return replace(found, steps=(f"alias: {alias.name} leads nowhere ({error})", *found.steps))

    def resolve_target(self, name: str) -> Resolved:
        """Find who serves a name that is no alias. Raises RouteError."""
        return self._resolve(name, None)

    def _resolve(self, name: str, at: Provider | None) -> Resolved:
        if profile := self.directory.profiles.get(name.strip()):
            return self._of_profile(name, profile)
        if named := self.directory.find_endpoint(name.strip()):
            return self._of_endpoint(name, *named)
        found = self._of_provider(name, at)
        self.directory.require_listed(found.provider.name, found.model)
        return found

    def _of_profile(self, name: str, profile: Profile) -> Resolved:
        endpoint = profile.endpoint
        steps = (
            f"name: {name}",
            f"profile: {endpoint.origin}, which bypasses the mode",
            f"model id there: {profile.model}",
        )
        pick = Pick(name, endpoint.kind, profile.model)
        wire = _wire(endpoint.account, profile.model)
        return Resolved(pick, endpoint.kind, endpoint.account, profile.model, wire, steps, profile=profile)

    def _of_endpoint(self, name: str, endpoint: Endpoint, model: str) -> Resolved:
        pick = Pick(name, endpoint.kind, model)
        native = spell(pick, Place(endpoint.kind, endpoint.account, self.settings))
        self.directory.require_listed(endpoint.name, native)
        steps = (f"name: {name}", f"endpoint: {endpoint.name}, by {endpoint.origin}", f"model id there: {native}")
        wire = _wire(endpoint.account, native)
        return Resolved(pick, endpoint.kind, endpoint.account, native, wire, steps, endpoint=endpoint.name)

    def of_account(self, callers: CallersAccount) -> Resolved:
        """Return how a caller's own account is asked for the model that the caller named."""
        provider, account = callers.provider, callers.account
        if account.azure:
            provider = AZURE
        pick = Pick(callers.model, provider, callers.model)
        native = spell(pick, Place(provider, account, self.settings))
        return Resolved(pick, provider, account, native, _wire(account, native))

    def _of_provider(self, name: str, at: Provider | None) -> Resolved:
        pick = split_pick(name)
        is_meant = at is not None and self._may_mean(pick, at)
        provider, why = (at, "whose default this is") if at and is_meant else self._choose(pick)
        account = self._account(provider, pick)
        if account.azure and provider is not AZURE:
            provider, why = AZURE, f"{why}; {account.address.origin} is Azure's"
        model = spell(pick, Place(provider, account, self.settings))
        steps = (
            f"name: {name}",
            f"split: {_described(pick)}",
            f"provider: {provider.name}, {why}",
            f"model id there: {model}",
        )
        return Resolved(pick, provider, account, model, _wire(account, model), steps)

    def _may_mean(self, pick: Pick, at: Provider) -> bool:
        """Say whether a default of `at` is its own model, and not one that names another provider."""
        if pick.provider in {None, at} or at in OWN_ENDPOINTS:
            return True
        return serves(pick, Place(at, self._account(at, pick), self.settings))

    def _choose(self, pick: Pick) -> tuple[Provider, str]:
        """Return the provider and the rule that chose it."""
        if pick.provider is OFFLINE:
            return OFFLINE, "named explicitly"
        if pick.provider and pick.provider in OWN_ENDPOINTS:
            return pick.provider, "an endpoint of one's own is never replaced by another"
        chosen = self.mode.provider
        if chosen is None:
            named = pick.provider or pick.vendor
            return self._known(named, pick), "mode direct asks the model's own provider"
        if chosen is OPENROUTER:
            return chosen, "mode openrouter sends all picks there"
        return self._choose_beside(pick, chosen)

    def _choose_beside(self, pick: Pick, chosen: Provider) -> tuple[Provider, str]:
        """Choose between the mode's provider and, for what it cannot serve, the model's own."""
        mode = f"mode {chosen.name}"
        account = self._account(chosen, pick)
        if chosen is BEDROCK and account.region is None:
            raise RouteError(
                f"{mode} with a gateway (BEDROCK_BASE_URL) cannot translate {pick.text}: its models have names of its"
                " own; write bedrock/<name>"
            )
        if serves(pick, Place(chosen, account, self.settings)):
            return chosen, f"{mode} sends all picks there"
        own = pick.provider or pick.vendor
        if own is not None and own.is_configured(self.settings):
            return own, f"{mode} cannot serve it, so its own provider does"
        if chosen is OPENAI_COMPATIBLE:
            return chosen, f"{mode} sends there what no other configured provider makes"
        raise RouteError(f"{mode} cannot serve {pick.text}, {_elsewhere(own)}{_hint(chosen)}")

    def _known(self, provider: Provider | None, pick: Pick) -> Provider:
        if provider is not None:
            return provider
        if bedrock_ids.is_native(pick.text):
            raise RouteError(f"{pick.text} is an id of Bedrock's; write bedrock/{pick.text}")
        raise RouteError(
            f"no provider is known for the model {pick.text}; write provider/model, with one of {', '.join(PROVIDERS)}"
        )

    def _account(self, provider: Provider, pick: Pick) -> Account:
        try:
            account = provider.find_account(self.settings, True)
        except ConfigError as error:
            raise RouteError(f"{pick.text}: {error}") from error
        if account is None:
            raise RouteError(f"{pick.text} is served by {provider.name}, which is not configured; set {provider.needs}")
        return account


def _wire(account: Account, model: str) -> str:
    return account.reasoning_wire if account.reasoning_wire and reasons(model) else account.wire


def _described(pick: Pick) -> str:
    return f"provider {pick.provider.name}, model {pick.model}" if pick.provider else f"no provider, model {pick.model}"


def _elsewhere(own: Provider | None) -> str:
    if own is None:
        return "and no other provider is known for it"
    return f"and its own provider {own.name} is not configured; set {own.needs}"


def _hint(chosen: Provider) -> str:
    return ", or write bedrock/<id> for an id of Bedrock's" if chosen is BEDROCK else ""
