"""How AWS Bedrock names models: which native id a pick has, and in which geographies its profiles exist.

Ids and geographies as on the model cards of the Bedrock user guide
(https://docs.aws.amazon.com/bedrock/latest/userguide/model-cards.html), read in September 2026; the models of 2024 as
in its table of inference profiles.
"""

import re

from worker.errors import RouteError
from worker.llm.catalogue import ModelCard, find_model

PREFIX_VARIABLE = "BEDROCK_INFERENCE_PROFILE_PREFIX"

_PROFILES: dict[str, tuple[str, frozenset[str]]] = {
    name: (native, frozenset(places.split()))
    for name, native, places in (
        ("claude-opus-5.5", "claude-opus-5-5", "us eu au jp global"),
        ("claude-opus-5", "claude-opus-5", "us eu au global"),
        ("claude-opus-4.8", "claude-opus-4-8", "us eu au jp global"),
        ("claude-opus-4.7", "claude-opus-4-7", "us eu au jp global"),
        ("claude-opus-4.6", "claude-opus-4-6-v1", "us eu au global"),
        ("claude-opus-4.5", "claude-opus-4-5-20251101-v1:0", "us eu global"),
        ("claude-sonnet-5", "claude-sonnet-5", "us eu au global"),
        ("claude-sonnet-4.6", "claude-sonnet-4-6", "us eu au jp global"),
        ("claude-sonnet-4.5", "claude-sonnet-4-5-20250929-v1:0", "us eu au jp us-gov global"),
        ("claude-haiku-4.5", "claude-haiku-4-5-20251001-v1:0", "us eu au jp global"),
        ("claude-3.5-sonnet", "claude-3-5-sonnet-20241022-v2:0", "us apac"),
        ("claude-3-haiku", "claude-3-haiku-20240307-v1:0", "us eu apac us-gov"),
    )
}
"""Dotted id of a model of Anthropic's: its id behind `<geography>.anthropic.`, and the geographies there are."""

_OPEN_WEIGHTS = {"gpt-oss-120b": "openai.gpt-oss-120b-1:0", "gpt-oss-20b": "openai.gpt-oss-20b-1:0"}
"""OpenAI's open models; they are asked for in the region itself."""

_GEOGRAPHIES: tuple[tuple[str, tuple[str, ...]], ...] = (  # the first beginning that fits a region decides
    ("us-gov-", ("us-gov",)),
    ("us-", ("us",)),
    ("eu-", ("eu",)),
    ("ap-northeast-1", ("jp", "apac")),
    ("ap-northeast-3", ("jp", "apac")),
    ("ap-southeast-2", ("au", "apac")),
    ("ap-southeast-4", ("au", "apac")),
    ("ap-southeast-6", ("au",)),
    ("ap-", ("apac",)),
)

_RELEASE = re.compile(r"20\d{6}")
_VENDORS = (
    "ai21|amazon|anthropic|cohere|deepseek|google|luma|meta|minimax|mistral|moonshot|nvidia|openai|qwen|stability"
    "|writer|zai"
)
_NATIVE = re.compile(rf"arn:aws[\w-]*:bedrock:|((us|eu|apac|jp|au|us-gov|ca|in|global)\.)?({_VENDORS})\.[a-z0-9]")
_ANTHROPIC = re.compile(r"(?P<before>(?:[a-z-]+\.)?anthropic\.)(?P<name>claude[a-z0-9.-]*?)(?:-v\d+(?::\d+)?)?$")


def is_native(name: str) -> bool:
    """Say whether a name is written as Bedrock writes its own: `us.anthropic.…`, or an ARN."""
    return _NATIVE.match(name.lower()) is not None


def serves(card: ModelCard | None, name: str) -> bool:
    """Say whether Bedrock has this model under an id that we know."""
    return name.lower() in _OPEN_WEIGHTS or (card is not None and card.vendor == "anthropic" and card.name in _PROFILES)


def native_id(card: ModelCard | None, name: str, *, region: str, prefix: str | None) -> str:
    """Return the id of a model that `serves`. Raises RouteError where that is another release, or has no profile."""
    if card is None:
        return _OPEN_WEIGHTS[name.lower()]
    native, places = _PROFILES[card.name]
    if (given := _RELEASE.search(name)) and (known := _RELEASE.search(native)) and given[0] != known[0]:
        raise RouteError(f"{name} is another release than the one known at Bedrock, {native}; write bedrock/<id>")
    wanted = (prefix,) if prefix else geographies(region)
    place = next((place for place in wanted if place in places), None)
    if place is None:
        raise RouteError(f"{card.pick} has no inference profile for {prefix or region}; {_ways_out(places)}")
    return f"{place}.anthropic.{native}"


def geographies(region: str) -> tuple[str, ...]:
    """Return the geographies that a region belongs to, the narrowest first; none where AWS has none for it."""
    return next((places for start, places in _GEOGRAPHIES if region.startswith(start)), ())


def _ways_out(places: frozenset[str]) -> str:
    if "global" in places:
        return f"set {PREFIX_VARIABLE}=global if its data may go anywhere, or one of {' '.join(sorted(places))}"
    return f"pick another model, or set {PREFIX_VARIABLE} to one of {' '.join(sorted(places))}"


def card_of(native: str) -> ModelCard | None:
    """Find the model that a native id names; None where it is not listed."""
    found = _ANTHROPIC.search(native)
    return find_model(f"anthropic/{found['name']}") if found else None


def suggested_id(native: str) -> str | None:
    """Return how AWS writes this id where it was written without its date or version; None where it was not."""
    found, card = _ANTHROPIC.search(native), card_of(native)
    if found is None or card is None or card.name not in _PROFILES:
        return None
    whole = found["before"] + _PROFILES[card.name][0]
    return None if native == whole or not whole.startswith(native.partition("-v")[0]) else whole
