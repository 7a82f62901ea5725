"""A model's name, as people write it, taken apart."""

from dataclasses import dataclass

from worker.llm.catalogue import ModelCard, find_model
from worker.llm.providers import GOOGLE, OFFLINE, PROVIDERS, VERTEX, Provider, find_provider


@dataclass(frozen=True)
class Pick:
    """A name taken apart; `text` is all of it. No provider: the whole of it is a model's id."""

    text: str
    provider: Provider | None
    model: str

    @property
    def card(self) -> ModelCard | None:
        """The listed model that it names; None where it names none."""
        if self.provider is None:
            return find_model(self.model)
        return find_model(f"{self.vendor.name if self.vendor else ''}/{self.model}")

    @property
    def vendor(self) -> Provider | None:
        """The provider whose own model it is: Google for a model on Vertex; None where the name does not tell."""
        if self.provider is None:
            card = find_model(self.model)
            return PROVIDERS[card.vendor] if card else None
        return GOOGLE if self.provider is VERTEX else self.provider


def split_pick(name: str) -> Pick:
    """Split at the first slash, or at a colon before it, if a known provider stands there."""
    text = name.strip()
    separator = next((c for c in text if c in "/:"), "")
    prefix, _, rest = text.partition(separator) if separator else (text, "", "")
    provider = OFFLINE if prefix.lower() == OFFLINE.name else find_provider(prefix)
    return Pick(text, provider, rest) if provider and rest else Pick(text, None, text)
