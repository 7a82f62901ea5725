"""From a model's name, as people write it, to the provider that is asked and the id it knows the model by."""

from collections.abc import Callable
from dataclasses import dataclass

from worker.errors import ConfigError, RouteError
from worker.llm.catalogue import find_model, is_dated
from worker.llm.providers import (
    ANTHROPIC,
    AVAILABLE,
    DIRECT,
    OFFLINE,
    OPENAI,
    OPENAI_COMPATIBLE,
    OPENROUTER,
    OWN_ENDPOINTS,
    PROVIDERS,
    Provider,
    find_provider,
)
from worker.settings import Settings

DIRECTLY = "direct"
ANALYST = "analyst"


@dataclass(frozen=True)
class Pick:
    """A name taken apart. No provider: the whole of it is a model's id."""

    provider: Provider | None
    model: str


@dataclass(frozen=True)
class Resolved:
    """Whom to ask for what, and the steps that led there, for people."""

    provider: Provider
    model: str
    steps: tuple[str, ...] = ()


def choose_mode(settings: Settings) -> tuple[str, str]:
    """Return the mode and why. Raises ConfigError for a mode that is unknown or whose provider is not configured."""
    if settings.llm_provider_mode is not None:
        return _named_mode(settings), "LLM_PROVIDER_MODE"
    if OPENROUTER.is_configured(settings):
        return OPENROUTER.name, "LLM_PROVIDER_MODE is unset: its documented default"
    direct = [provider.name for provider in DIRECT if provider.is_configured(settings)]
    if direct:
        return DIRECTLY, f"LLM_PROVIDER_MODE and OPENROUTER_API_KEY are unset, {' and '.join(direct)} configured"
    return OFFLINE.name, "no provider is configured and LLM_PROVIDER_MODE is unset"


def _named_mode(settings: Settings) -> str:
    given = (settings.llm_provider_mode or "").lower()
    provider = find_provider(given)
    if given != DIRECTLY and provider is None:
        accepted = ", ".join((OPENROUTER.name, DIRECTLY, *(name for name in PROVIDERS if name != OPENROUTER.name)))
        raise ConfigError(f"LLM_PROVIDER_MODE={given} is not a mode; use one of {accepted}")
    if provider is None:
        return DIRECTLY
    if not provider.wire:
        raise ConfigError(f"LLM_PROVIDER_MODE={given}: {_not_yet(provider)}")
    return provider.name


def check_mode(mode: str, settings: Settings) -> None:
    """Raise ConfigError if the mode was asked for but nothing is configured that it could use."""
    wanted = DIRECT if mode == DIRECTLY else tuple(p for p in PROVIDERS.values() if p.name == mode)
    if wanted and not any(provider.is_configured(settings) for provider in wanted):
        variables = " or ".join(provider.variable for provider in wanted)
        raise ConfigError(f"LLM_PROVIDER_MODE={mode} needs a provider; set {variables}")


def split_pick(name: str) -> Pick:
    """Split at the first slash, or at a colon before it, if a known provider stands there."""
    text = name.strip()
    separator = next((c for c in text if c in "/:"), "")
    prefix, _, rest = text.partition(separator) if separator else (text, "", "")
    provider = OFFLINE if prefix.lower() == OFFLINE.name else find_provider(prefix)
    return Pick(provider, rest) if provider and rest else Pick(None, text)


def resolve(name: str, *, mode: str, settings: Settings) -> Resolved:
    """Find who serves a name in this mode. Raises RouteError that says how to write it or what to configure."""
    pick = split_pick(name)
    provider, why = _choose_provider(pick, mode)
    _check_usable(provider, name, settings)
    model = _SPELLINGS.get(provider.name, _verbatim)(pick)
    steps = (
        f"name: {name}",
        f"split: {_described(pick)}",
        f"provider: {provider.name}, {why}",
        f"model id there: {model}",
    )
    return Resolved(provider, model, steps)


def _described(pick: Pick) -> str:
    return f"provider {pick.provider.name}, model {pick.model}" if pick.provider else f"no provider, model {pick.model}"


def _choose_provider(pick: Pick, mode: str) -> tuple[Provider, str]:
    """Return the provider and the rule that chose it."""
    if pick.provider is OFFLINE:
        return OFFLINE, "named explicitly"
    if pick.provider and pick.provider.name in OWN_ENDPOINTS:
        return pick.provider, "an endpoint of one's own is never replaced by another"
    if mode == OPENROUTER.name:
        return OPENROUTER, "mode openrouter sends all picks there"
    vendor = pick.provider or _vendor(pick.model)
    if mode in {DIRECTLY, OFFLINE.name}:
        return _known(vendor, pick.model), "mode direct asks the model's own provider"
    chosen = PROVIDERS[mode]
    if vendor in {None, chosen} and ("/" not in pick.model or chosen is OPENAI_COMPATIBLE):
        return chosen, f"mode {mode} sends all picks there"
    return _known(vendor, pick.model), f"mode {mode} cannot serve it, so its own provider does"


def _vendor(model: str) -> Provider | None:
    card = find_model(model)
    return PROVIDERS[card.vendor] if card else None


def _known(vendor: Provider | None, model: str) -> Provider:
    if vendor is None:
        raise RouteError(f"no provider is known for the model {model}; write provider/model, with {_names()}")
    return vendor


def _check_usable(provider: Provider, name: str, settings: Settings) -> None:
    if provider is OFFLINE:
        return
    if not provider.wire:
        raise RouteError(f"{name}: {_not_yet(provider)}")
    if not provider.is_configured(settings):
        raise RouteError(f"{name} is served by {provider.name}, which is not configured; set {provider.variable}")


def _not_yet(provider: Provider) -> str:
    return f"{provider.name} is not available in this version; available: {', '.join(AVAILABLE)}"


def _names() -> str:
    return "one of " + ", ".join(AVAILABLE)


def _for_openrouter(pick: Pick) -> str:
    """Spell as OpenRouter does: the vendor, the dotted id, then a variant such as `:free`."""
    vendor = pick.provider.name if pick.provider else ""
    vendor = {"vertex": "google", OPENROUTER.name: ""}.get(vendor, vendor)
    model, colon, variant = pick.model.partition(":")
    whole = f"{vendor}/{model}" if vendor else model
    card = find_model(whole)
    if card:
        return card.pick + colon + variant
    if "/" not in whole and pick.provider is OPENROUTER:
        whole = f"{OPENROUTER.name}/{whole}"  # its own routers, such as openrouter/auto
    if "/" not in whole:
        raise RouteError(f"no vendor is known for the model {whole}; write vendor/model as OpenRouter lists it")
    return whole + colon + variant


def _for_anthropic(pick: Pick) -> str:
    card = find_model(pick.model)
    return card.native if card and not is_dated(pick.model) else pick.model.replace(".", "-")


def _for_openai(pick: Pick) -> str:
    card = find_model(pick.model)
    return card.native if card and not is_dated(pick.model) else pick.model


def _for_offline(pick: Pick) -> str:
    if pick.model != ANALYST:
        raise RouteError(f"offline/{pick.model} is no model; the built-in one is offline/{ANALYST}")
    return pick.model


def _verbatim(pick: Pick) -> str:
    return pick.model


_SPELLINGS: dict[str, Callable[[Pick], str]] = {
    OPENROUTER.name: _for_openrouter,
    ANTHROPIC.name: _for_anthropic,
    OPENAI.name: _for_openai,
    OFFLINE.name: _for_offline,
}
