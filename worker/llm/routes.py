"""A route, made of what a name was resolved to: address, credential, price, window, and where its data goes."""

from collections.abc import Collection
from urllib.parse import urlsplit

from worker.domain.conversation import Route
from worker.errors import ConfigError, RouteError
from worker.llm import bedrock_ids
from worker.llm.accounts import is_openai_api
from worker.llm.catalogue import ModelCard, find_model
from worker.llm.facts import Asked, Facts, find_facts
from worker.llm.providers import (
    AZURE,
    BEDROCK,
    OFFLINE,
    OLLAMA,
    OPENAI,
    OPENAI_COMPATIBLE,
    OPENROUTER,
    PROVIDERS,
    VERTEX,
    VLLM,
    find_provider,
)
from worker.llm.resolution import Resolved, Resolver
from worker.settings import Settings

FREE = "runs in this process"
OWN = "runs on a machine of your own"

_VENDORS = {VERTEX: "google", AZURE: "openai", OPENAI_COMPATIBLE: "openai", OPENROUTER: ""}


def build_route(resolved: Resolved, resolver: Resolver, *, origin: str) -> Route:
    """Return the route. Raises RouteError where the configured temperature is not one the provider takes."""
    account, provider, settings = resolved.account, resolved.provider, resolver.settings
    leaves, facts = leaves_host(resolved, settings), known_facts(resolved, resolver)
    address = account.address.text
    if account.azure:
        address = account.azure.base_url(wire=resolved.wire, deployment=resolved.model)
    return Route(
        provider=resolved.asked_of,
        kind=provider.name if resolved.endpoint else "",
        model=resolved.model,
        wire=resolved.wire,
        base_url=address,
        credential_ref=account.credential_ref,
        api_version=account.azure.api_version if account.azure else None,
        region=account.region.text if account.region else None,
        project=account.project.text if account.project else None,
        location=account.location.text if account.location else None,
        temperature=_temperature(resolved, settings),
        context_window=_window(resolved, facts, settings),
        max_output_tokens=(resolved.profile and resolved.profile.max_output_tokens) or facts.max_output_tokens,
        takes_tools=facts.tools,
        price=facts.price,
        data_leaves_host=leaves,
        picked=resolved.pick.text,
        alias=resolved.alias,
        origin=origin,
    )


def known_facts(resolved: Resolved, resolver: Resolver) -> Facts:
    """Return what is known of the model there."""
    leaves = leaves_host(resolved, resolver.settings)
    asked = Asked(
        resolved.provider.name,
        resolved.model,
        resolved.account.address.text,
        find_card(resolved),
        name=resolved.endpoint,
        own_price=FREE if resolved.provider is OFFLINE else None if leaves else OWN,
    )
    return find_facts(asked, file=resolver.file, settings=resolver.settings)


def _window(resolved: Resolved, facts: Facts, settings: Settings) -> int | None:
    """Return the window; Ollama's is what we ask of it, which is less where less was said."""
    if resolved.profile and resolved.profile.context_window:
        return resolved.profile.context_window
    if resolved.provider is OLLAMA:
        return min(settings.ollama_num_ctx, facts.context_window or settings.ollama_num_ctx)
    return facts.context_window


def find_card(resolved: Resolved) -> ModelCard | None:
    """Find the listed model behind a native id; None where it is not listed, or the name is an endpoint's own."""
    provider, account, model = resolved.provider, resolved.account, resolved.model
    if provider is BEDROCK:
        return bedrock_ids.card_of(model) if account.region else None
    if provider in {OFFLINE, VLLM, OLLAMA}:
        return None
    if provider is OPENAI_COMPATIBLE and not is_openai_api(account.address.text):
        return None  # a name there need not mean the vendor's model
    vendor = _VENDORS.get(provider, provider.name)
    card = find_model(f"{vendor}/{model}" if vendor else model)
    return card or (resolved.pick.card if provider is AZURE and resolved.pick.vendor is OPENAI else None)


def leaves_host(resolved: Resolved, settings: Settings) -> bool:
    """Say whether the conversation goes to somebody else's machine.

    An address of one's own keeps it where RCA_LOCAL_PROVIDERS says so. Ollama hands models called `…-cloud` on to
    its makers.
    """
    if resolved.account.is_own and _names(resolved) & local_providers(settings):
        return False
    if resolved.provider is OLLAMA:
        host = urlsplit(resolved.account.address.text).hostname or ""
        return resolved.model.endswith(("-cloud", ":cloud")) or host.endswith("ollama.com")
    return resolved.provider.leaves_host


def _names(resolved: Resolved) -> frozenset[str]:
    """Return what an operator may call it: an endpoint with a name of its own by that alone."""
    profile = resolved.profile.endpoint.name if resolved.profile else ""
    return frozenset({resolved.endpoint or profile or resolved.provider.name})


def local_providers(settings: Settings) -> frozenset[str]:
    """Return the names in RCA_LOCAL_PROVIDERS, providers by their canonical ones."""
    words = [word.strip() for word in (settings.rca_local_providers or "").split(",") if word.strip()]
    return frozenset(provider.name if (provider := find_provider(word)) else word for word in words)


def check_local_providers(settings: Settings, *, endpoints: Collection[str]) -> None:
    """Raise ConfigError for a name in RCA_LOCAL_PROVIDERS that is neither a provider nor one of these."""
    if unknown := local_providers(settings) - {*PROVIDERS, *endpoints}:
        known = ", ".join((*PROVIDERS, *endpoints))
        raise ConfigError(f"RCA_LOCAL_PROVIDERS: {min(unknown)} is no provider; there are {known}")


def _temperature(resolved: Resolved, settings: Settings) -> float | None:
    own = resolved.profile.temperature if resolved.profile else None
    wanted, provider = settings.rca_temperature if own is None else own, resolved.provider
    if provider is OFFLINE or wanted is None:
        return None
    if wanted > provider.max_temperature:
        limit = f"{provider.name} takes 0 to {provider.max_temperature:g}"
        raise RouteError(f"RCA_TEMPERATURE={wanted:g} is too high for {provider.name}/{resolved.model}: {limit}")
    return wanted
