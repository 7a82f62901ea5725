"""How each provider spells models: which picks it can serve, and the id it knows a pick by."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from worker.errors import RouteError
from worker.llm import bedrock_ids
from worker.llm.accounts import Account, is_openai_api
from worker.llm.catalogue import find_model, is_dated
from worker.llm.picks import Pick
from worker.llm.providers import (
    ANTHROPIC,
    AZURE,
    BEDROCK,
    DEEPSEEK,
    GOOGLE,
    OFFLINE,
    OLLAMA,
    OPENAI,
    OPENAI_COMPATIBLE,
    OPENROUTER,
    VERTEX,
    VLLM,
    Provider,
)
from worker.settings import Settings

ANALYST = "analyst"
_OPEN_WEIGHTS = re.compile(r"gpt-oss|gemma", re.IGNORECASE)
"""Models that bear a vendor's name, but that the vendor's own API does not serve."""


@dataclass(frozen=True)
class Place:
    """Where a pick is to be spelled for."""

    provider: Provider
    account: Account
    settings: Settings


def serves(pick: Pick, place: Place) -> bool:
    """Say whether a provider, as the mode, takes a pick that names none of one's own endpoints."""
    if place.provider is BEDROCK:
        return place.account.region is not None and _bedrock_serves(pick)
    if place.provider in {VLLM, OPENAI_COMPATIBLE, OLLAMA}:
        return pick.vendor is None or _is_open(pick) or _is_openai_itself(pick, place)
    maker = {VERTEX: GOOGLE, AZURE: OPENAI}.get(place.provider, place.provider)
    return not _is_open(pick) and (pick.vendor is maker or (pick.vendor is None and "/" not in pick.model))


def spell(pick: Pick, place: Place) -> str:
    """Return the id that the provider knows the pick by. Raises RouteError where it has none."""
    return _SPELLERS[place.provider](pick, place)


def _is_open(pick: Pick) -> bool:
    return pick.provider is not None and _OPEN_WEIGHTS.match(pick.model) is not None


def _is_openai_itself(pick: Pick, place: Place) -> bool:
    return pick.vendor is OPENAI and is_openai_api(place.account.address.text)


def _bedrock_serves(pick: Pick) -> bool:
    return bedrock_ids.serves(pick.card, pick.model) or (pick.provider is None and bedrock_ids.is_native(pick.text))


def _for_openrouter(pick: Pick, _place: Place) -> str:
    """Spell as OpenRouter does: the vendor, the dotted id, then a variant such as `:free`."""
    maker = None if pick.provider is OPENROUTER else pick.vendor
    model, colon, variant = pick.model.partition(":")
    whole = f"{maker.name}/{model}" if maker else model
    card = find_model(whole)
    if card:
        return card.pick + colon + variant
    if "/" not in whole and pick.provider is OPENROUTER:
        whole = f"{OPENROUTER.name}/{whole}"  # its own routers, such as openrouter/auto
    if "/" not in whole:
        raise RouteError(f"no vendor is known for the model {whole}; write vendor/model as OpenRouter lists it")
    return whole + colon + variant


def _for_anthropic(pick: Pick, _place: Place) -> str:
    card = pick.card
    return card.native if card and not is_dated(pick.model) else pick.model.replace(".", "-")


def _for_vendor(pick: Pick, _place: Place) -> str:
    card = pick.card
    return card.native if card and not is_dated(pick.model) else pick.model


def _for_vertex(pick: Pick, place: Place) -> str:
    """Return Google's id: other makers' models are asked there in other words, which we do not speak."""
    made = find_model(pick.model)
    if pick.model.startswith("claude") or (made and made.vendor != GOOGLE.name):
        raise RouteError(f"{pick.text}: Vertex AI is asked for Gemini models alone; name another provider for this one")
    return _for_vendor(pick, place)


def _for_azure(pick: Pick, place: Place) -> str:
    """Return the deployment: the one that is named, else the one in the address, else one called like the model."""
    in_address = place.account.azure.deployment if place.account.azure else None
    return pick.model if pick.provider is AZURE else in_address or _for_vendor(pick, place)


def _for_bedrock(pick: Pick, place: Place) -> str:
    if pick.provider is BEDROCK:
        return pick.model
    if place.account.region is None:
        return pick.text
    if bedrock_ids.serves(pick.card, pick.model):
        prefix = place.settings.bedrock_inference_profile_prefix
        return bedrock_ids.native_id(pick.card, pick.model, region=place.account.region.text, prefix=prefix)
    if bedrock_ids.is_native(pick.text):
        return pick.text
    raise RouteError(f"no Bedrock id is known for {pick.text}; write bedrock/<id>")


def _for_own_server(pick: Pick, place: Place) -> str:
    """Return the name as it stands: an endpoint of one's own may call its models anything."""
    is_named = pick.provider is place.provider or _is_openai_itself(pick, place)
    return pick.model if is_named else pick.text


def _for_offline(pick: Pick, _place: Place) -> str:
    if pick.model != ANALYST:
        raise RouteError(f"offline/{pick.model} is no model; the built-in one is offline/{ANALYST}")
    return pick.model


_SPELLERS: dict[Provider, Callable[[Pick, Place], str]] = {
    OPENROUTER: _for_openrouter,
    ANTHROPIC: _for_anthropic,
    OPENAI: _for_vendor,
    GOOGLE: _for_vendor,
    VERTEX: _for_vertex,
    DEEPSEEK: _for_vendor,
    AZURE: _for_azure,
    BEDROCK: _for_bedrock,
    OPENAI_COMPATIBLE: _for_own_server,
    VLLM: _for_own_server,
    OLLAMA: _for_own_server,
    OFFLINE: _for_offline,
}
