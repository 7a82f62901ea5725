"""What is known of a model where it is asked: its window, its limits, whether it takes tools, what it costs.

Three layers, the later ones before the earlier, field by field: the list prices that ship with the product, what
RCA_LLM_CONFIG says of a provider's model, and the operator's own prices in it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from worker.domain.conversation import JsonObject, Price
from worker.llm import bedrock_ids
from worker.llm.accounts import COMPATIBLE_SET, is_openai_api
from worker.llm.catalogue import ModelCard
from worker.llm.config_file import USD, ConfigFile, Metadata
from worker.llm.price_list import Listed, find_listed
from worker.settings import Settings

_LISTS = {
    "openrouter": "openrouter",
    "anthropic": "anthropic",
    "openai": "openai",
    "google": "google",
    "vertex": "google",
    "deepseek": "deepseek",
    "azure": "azure",
}


@dataclass(frozen=True)
class Asked:
    """A model as a provider is asked for it: by this id, at this address (None: wherever it is).

    `name` is that of an endpoint with one of its own.

    `card` is the listed model that it is taken for; `own_price` says why it costs nothing, where it does not.
    """

    provider: str
    model: str
    address: str | None = None
    card: ModelCard | None = None
    name: str = ""
    own_price: str | None = None


@dataclass(frozen=True)
class Facts:
    """What is known; None: unknown. `unpriced` says why there is no price, for people."""

    price: Price | None
    context_window: int | None = None
    max_output_tokens: int | None = None
    tools: bool = True
    unpriced: str = ""


def find_facts(asked: Asked, *, file: ConfigFile, settings: Settings) -> Facts:
    said = file.metadata(asked.name or asked.provider, asked.model, address=asked.address) or Metadata()
    listed, card = _listed(asked, settings), asked.card
    price, unpriced = _price(list(_layers(asked, listed, said, file)), file)
    return Facts(
        price,
        said.context_window or (card.context_window if card else None) or (listed.context_window if listed else None),
        said.max_output_tokens or (card.max_output_tokens if card else None),
        said.capabilities.get("tools", True),
        unpriced,
    )


def _listed(asked: Asked, settings: Settings) -> Listed | None:
    name = _list_of(asked.provider, settings)
    if name is None or asked.own_price:
        return None
    return next((found for model in _spellings(asked) if (found := find_listed(name, model))), None)


def _spellings(asked: Asked) -> Iterator[str]:
    """Yield what a list may know the model by: its id as it is asked for, as AWS writes it whole, the maker's."""
    yield asked.model
    if asked.provider == "bedrock" and (whole := bedrock_ids.suggested_id(asked.model)):
        yield whole
    if asked.card:
        yield asked.card.native


def _list_of(provider: str, settings: Settings) -> str | None:
    """Return the list that speaks of a provider's models; None where a name there need not mean the vendor's model."""
    if provider == "bedrock":
        return None if settings.bedrock_base_url else "aws"
    if provider == "openai-compatible":
        return "openai" if is_openai_api(COMPATIBLE_SET.find_address(settings).text) else None
    return _LISTS.get(provider)


@dataclass(frozen=True)
class _Layer:
    currency: str
    rates: JsonObject
    source: str


def _layers(asked: Asked, listed: Listed | None, said: Metadata, file: ConfigFile) -> Iterator[_Layer]:
    if asked.own_price:
        yield _Layer(USD, {"input_per_mtok": 0.0, "output_per_mtok": 0.0}, asked.own_price)
    if listed:
        yield _Layer(USD, listed.rates, listed.source)
    for pricing in (said.pricing, file.price(asked.name or asked.provider, asked.model)):
        if pricing is not None:
            rate = file.dollars_for(pricing.currency)
            yield _Layer(pricing.currency, pricing.in_dollars(rate) if rate else {}, file.label)


def _price(layers: list[_Layer], file: ConfigFile) -> tuple[Price | None, str]:
    """Merge the layers; what one says in a currency that nobody can convert leaves the price unknown."""
    strange = [layer.currency for layer in layers if file.dollars_for(layer.currency) is None]
    if strange:
        return None, f"it is priced in {strange[0]}; set exchange_rates.{strange[0]} in RCA_LLM_CONFIG"
    rates: JsonObject = {}
    for layer in layers:
        rates |= layer.rates
    if "input_per_mtok" not in rates or "output_per_mtok" not in rates:
        return None, "no list has it; set its price in RCA_LLM_CONFIG"
    source = " + ".join(dict.fromkeys(layer.source for layer in layers if layer.rates))
    return Price(**rates, source=source), ""
