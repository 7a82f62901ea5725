"""The mode: whether picks go through OpenRouter, to their own provider, or all to one."""

from collections.abc import Callable
from dataclasses import dataclass

from worker.errors import ConfigError
from worker.llm.backends import AUTO, named_backend
from worker.llm.providers import DIRECT, OFFLINE, OPENROUTER, PROVIDERS, Provider, find_provider
from worker.settings import Settings

DIRECTLY = "direct"


@dataclass(frozen=True)
class Mode:
    """The name of the mode, what chose it, and the variable that asked for it (empty where none did)."""

    name: str
    why: str
    variable: str = ""

    @property
    def provider(self) -> Provider | None:
        """The one provider that all picks go to; None in direct mode, and where nothing is configured."""
        return PROVIDERS.get(self.name)


def choose_mode(settings: Settings, *, find_auto: Callable[[], Provider]) -> Mode:
    """Return the mode. Raises ConfigError for one that is unknown, or an `auto` that nobody answers."""
    if settings.llm_provider_mode is not None:
        return Mode(_checked(settings.llm_provider_mode), "LLM_PROVIDER_MODE", "LLM_PROVIDER_MODE")
    if settings.llm_backend == AUTO:
        return Mode(find_auto().name, "LLM_BACKEND=auto and it answers", "LLM_BACKEND")
    if backend := named_backend(settings):
        return Mode(backend.name, f"LLM_BACKEND={settings.llm_backend}", "LLM_BACKEND")
    if OPENROUTER.is_configured(settings):
        return Mode(OPENROUTER.name, "LLM_PROVIDER_MODE is unset: its documented default")
    direct = [provider.name for provider in DIRECT if provider.is_configured(settings)]
    if direct:
        return Mode(DIRECTLY, f"LLM_PROVIDER_MODE and OPENROUTER_API_KEY are unset, {' and '.join(direct)} configured")
    return Mode(OFFLINE.name, "no provider is configured and LLM_PROVIDER_MODE is unset")


def _checked(given: str) -> str:
    provider = find_provider(given)
    if given.lower() != DIRECTLY and provider is None:
        accepted = ", ".join((OPENROUTER.name, DIRECTLY, *(name for name in PROVIDERS if name != OPENROUTER.name)))
        raise ConfigError(f"LLM_PROVIDER_MODE={given} is not a mode; use one of {accepted}")
    return provider.name if provider else DIRECTLY


def check_mode(mode: Mode, settings: Settings) -> None:
    """Raise ConfigError if the mode was asked for but nothing is configured that it could use."""
    if not mode.variable:
        return
    wanted = (mode.provider,) if mode.provider else DIRECT
    if not any(provider.find_account(settings, mode.provider is not None) for provider in wanted):
        given = settings.llm_backend if mode.variable == "LLM_BACKEND" else mode.name
        needs = " or ".join(provider.needs for provider in wanted)
        raise ConfigError(f"{mode.variable}={given} needs a provider; set {needs}")


def find_overruled_backend(mode: Mode, settings: Settings) -> str | None:
    """Say that LLM_PROVIDER_MODE wins over an LLM_BACKEND that says something else; None where it does not."""
    if mode.variable != "LLM_PROVIDER_MODE" or settings.llm_backend is None:
        return None
    backend = named_backend(settings)
    if backend is not None and mode.name in {backend.name, find_name(settings.llm_backend)}:
        return None
    return f"LLM_PROVIDER_MODE={mode.name} wins over LLM_BACKEND={settings.llm_backend}: unset one of them"


def find_name(word: str) -> str:
    """Return the canonical name of a provider that is called otherwise, such as `gemini`."""
    provider = find_provider(word)
    return provider.name if provider else word
