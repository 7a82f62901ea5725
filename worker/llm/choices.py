"""Which name each role goes by: the variables in the order in which they count, then what is built in."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from worker.llm.directory import DEFAULT
from worker.llm.modes import DIRECTLY
from worker.llm.providers import CHEAP, DIRECT, OLLAMA, Provider
from worker.llm.resolution import Resolver
from worker.settings import Settings

QUESTIONS = "anthropic/claude-sonnet-4.6"
"""The built-in model of follow-up questions, wherever Claude is the default."""


class Role(StrEnum):
    """What a model is wanted for. Without an orchestrator there is no lead and there are no sub-agents."""

    MAIN = "main"
    RCA = "rca"
    ORCHESTRATOR = "orchestrator"
    SUBAGENT = "subagent"
    JUDGE = "judge"


@dataclass(frozen=True)
class Choice:
    """One place where a role's model may be named; `name` is None where it is not.

    `at` is the provider that such a name is meant for: the one whose default it is.
    """

    origin: str
    name: str | None
    at: Provider | None = None


VARIABLES = {
    Role.MAIN: "MAIN_MODEL",
    Role.RCA: "RCA_MODEL",
    Role.ORCHESTRATOR: "RCA_ORCHESTRATOR_MODEL",
    Role.SUBAGENT: "RCA_SUBAGENT_MODEL",
    Role.JUDGE: "GUARDRAILS_LLM_MODEL",
}


def find_home(resolver: Resolver) -> Provider | None:
    """Return the provider whose models are the defaults; None where nothing is configured.

    In direct mode it is the first that is configured: one whose default model is named, before one that has built-in
    ones, before any.
    """
    mode, settings = resolver.mode, resolver.settings
    if mode.provider or mode.name != DIRECTLY:
        return mode.provider
    configured = [provider for provider in DIRECT if provider.is_configured(settings)]
    named = [provider for provider in configured if default_model(provider, settings).name]
    paired = [provider for provider in configured if has_pair(provider, settings)]
    return next(iter((*named, *paired, *configured)), None)


def has_pair(provider: Provider, settings: Settings) -> bool:
    """Say whether it has a cheap and a strong model that we know: the names behind a gateway are its own."""
    account = provider.find_account(settings, True)
    return bool(provider.cheap) and not (account and account.region is None and provider.name == "bedrock")


def default_model(provider: Provider, settings: Settings) -> Choice:
    """Return LLM_<P>_MODEL, for Azure else the deployment in its address."""
    name = _value(settings, provider.model_variable)
    account = provider.find_account(settings, True) if name is None and provider.name == "azure" else None
    if account and account.azure and account.azure.deployment:
        return Choice(f"the deployment in {account.address.origin}", account.azure.deployment, provider)
    return Choice(provider.model_variable, name, provider)


def choices(role: Role, home: Provider | None, resolver: Resolver) -> tuple[Choice, ...]:
    """Return the places in order; the first with a name is the role's. What the judge falls back to is not here."""
    named = Choice(VARIABLES[role], _value(resolver.settings, VARIABLES[role]))
    return (named, *_defaults(role, home, resolver))


def _defaults(role: Role, home: Provider | None, resolver: Resolver) -> Iterator[Choice]:
    settings = resolver.settings
    if home is not None and role is not Role.JUDGE:
        if role is Role.ORCHESTRATOR:
            yield Choice(home.orchestrator_variable, _value(settings, home.orchestrator_variable), home)
        yield default_model(home, settings)
    if role is not Role.JUDGE and resolver.directory.has_default:
        yield Choice(f"alias {DEFAULT}", DEFAULT)
    if role is Role.RCA:
        yield from _built_in(home, settings)
    if role is Role.MAIN and home and home.cheap == CHEAP and has_pair(home, settings):
        yield Choice("built in", QUESTIONS, home)


def _built_in(home: Provider | None, settings: Settings) -> Iterator[Choice]:
    cheap = settings.rca_optimize_costs
    if home and has_pair(home, settings):
        how = f"built-in with RCA_OPTIMIZE_COSTS={str(cheap).lower()}"
        yield Choice(how, home.cheap if cheap else home.strong, home)
    yield Choice("MAIN_MODEL", settings.main_model)


def judges_at(provider: Provider, settings: Settings) -> Choice:
    """Return a provider's model for the judge: its cheap one, or the one that is named where only that is sure.

    What has been pulled into an Ollama only its operator knows.
    """
    if provider is not OLLAMA and has_pair(provider, settings):
        return Choice(f"built-in: the cheap model of {provider.name}", provider.cheap, provider)
    return default_model(provider, settings)


def _value(settings: Settings, variable: str) -> str | None:
    value: str | None = getattr(settings, variable.lower())
    return value
