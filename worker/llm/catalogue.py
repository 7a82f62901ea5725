"""What is publicly known of a model: how it is spelled where, its window, its list price.

Prices and windows are the vendors' public lists as collected by genai-prices 0.2.3 (November 2026), output limits come
from the vendors' model pages. Where a vendor charges more for long prompts, the first tier stands here; where it
charges more at some hours, the dearer. None: unknown.
"""

import re
from dataclasses import dataclass

from worker.domain.conversation import Price

SOURCE = "public list prices, genai-prices 0.2.3"


@dataclass(frozen=True)
class ModelCard:
    """One model. `name` is the dotted id of gateways, `native` the vendor's own id for it."""

    vendor: str
    name: str
    native: str
    context_window: int
    max_output_tokens: int | None
    price: Price

    @property
    def pick(self) -> str:
        return f"{self.vendor}/{self.name}"


def find_model(name: str) -> ModelCard | None:
    """Find a model by any spelling (dotted, dashed, dated; with or without its vendor); None if it is not listed."""
    vendor, _, bare = name.lower().rpartition("/")
    card = _BY_SPELLING.get(_dashed(bare)) or _BY_SPELLING.get(_dashed(undated(bare)))
    return card if card and vendor in {"", card.vendor} else None


def undated(name: str) -> str:
    """Take the release date (or `-latest`) off a model's id."""
    return _DATE.sub("", name)


def is_dated(name: str) -> bool:
    return _DATE.search(name) is not None


def reasons(model: str) -> bool:
    """Say whether this is one of OpenAI's reasoning models: they want other parameters than the older ones."""
    return _REASONING.match(model.rpartition("/")[2]) is not None


_DATE = re.compile(r"-(20\d{6}|20\d\d-\d\d-\d\d|latest)$")
_REASONING = re.compile(r"(o\d|gpt-[5-9])(?!.*-chat)")


def _dashed(name: str) -> str:
    return name.replace(".", "-")


def _price(spec: str) -> Price:
    """Read `input output cached-input cache-write`, dollars per million tokens, `-` where there is none."""
    numbers = [None if word == "-" else float(word) for word in spec.split()]
    given, made, cached, written = (*numbers, None, None)[:4]
    if given is None or made is None:
        raise ValueError(spec)
    return Price(
        input_per_mtok=given,
        output_per_mtok=made,
        cached_input_per_mtok=cached,
        cache_write_per_mtok=written,
        source=SOURCE,
    )


_ANTHROPIC = (  # dotted id, native id, window, output limit, price
    ("claude-opus-5.5", "claude-opus-5-5", 1_000_000, None, "4 20 0.2 5"),
    ("claude-opus-5", "claude-opus-5", 1_000_000, None, "5 25 0.5 6.25"),
    ("claude-opus-4.8", "claude-opus-4-8", 1_000_000, None, "5 25 0.5 6.25"),
    ("claude-opus-4.7", "claude-opus-4-7", 1_000_000, 128_000, "5 25 0.5 6.25"),
    ("claude-opus-4.6", "claude-opus-4-6", 1_000_000, 128_000, "5 25 0.5 6.25"),
    ("claude-opus-4.5", "claude-opus-4-5", 200_000, 64_000, "5 25 0.5 6.25"),
    ("claude-sonnet-5.5", "claude-sonnet-5-5", 1_000_000, None, "2 10 0.1 2.5"),
    ("claude-sonnet-5", "claude-sonnet-5", 1_000_000, None, "2 10 0.2 2.5"),
    ("claude-sonnet-4.6", "claude-sonnet-4-6", 1_000_000, 64_000, "3 15 0.3 3.75"),
    ("claude-sonnet-4.5", "claude-sonnet-4-5", 200_000, 64_000, "3 15 0.3 3.75"),
    ("claude-haiku-4.5", "claude-haiku-4-5", 200_000, 64_000, "1 5 0.1 1.25"),
    ("claude-3.5-sonnet", "claude-3-5-sonnet-20241022", 200_000, 8_192, "3 15 0.3 3.75"),
    ("claude-3-haiku", "claude-3-haiku-20240307", 200_000, 4_096, "0.25 1.25 0.03 0.3"),
)

_OPENAI = (
    ("gpt-5.4", 1_050_000, 128_000, "2.5 15 0.25"),
    ("gpt-5.2", 400_000, 128_000, "1.75 14 0.175"),
    ("gpt-5.1", 400_000, 128_000, "1.25 10 0.125"),
    ("gpt-5", 400_000, 128_000, "1.25 10 0.125"),
    ("gpt-5-mini", 400_000, 128_000, "0.25 2 0.025"),
    ("gpt-5-nano", 400_000, 128_000, "0.05 0.4 0.005"),
    ("o3", 200_000, 100_000, "2 8 0.5"),
    ("o4-mini", 200_000, 100_000, "1.1 4.4 0.275"),
    ("o3-mini", 200_000, 100_000, "1.1 4.4 0.55"),
    ("gpt-4.1", 1_000_000, 32_768, "2 8 0.5"),
    ("gpt-4.1-mini", 1_000_000, 32_768, "0.4 1.6 0.1"),
    ("gpt-4.1-nano", 1_000_000, 32_768, "0.1 0.4 0.025"),
    ("gpt-4o", 128_000, 16_384, "2.5 10 1.25"),
    ("gpt-4o-2024-05-13", 128_000, 4_096, "5 15"),  # older than the price cut: a model of its own
    ("gpt-4o-mini", 128_000, 16_384, "0.15 0.6 0.075"),
)

_GOOGLE = (
    ("gemini-3.1-pro-preview", 1_048_576, 65_536, "2 12 0.2"),
    ("gemini-3-flash-preview", 1_000_000, 65_536, "0.5 3 0.05"),
    ("gemini-2.5-pro", 1_048_576, 65_536, "1.25 10 0.125"),
    ("gemini-2.5-flash", 1_048_576, 65_536, "0.3 2.5 0.03"),
    ("gemini-2.5-flash-lite", 1_000_000, 65_536, "0.1 0.4 0.01"),
)

_DEEPSEEK = (
    ("deepseek-v4-flash", 1_000_000, None, "0.3 1.2 0.006"),
    ("deepseek-v4-pro", 1_000_000, None, "1.32 3.96 0.044"),
)

CARDS: tuple[ModelCard, ...] = (
    *(ModelCard("anthropic", name, native, window, limit, _price(p)) for name, native, window, limit, p in _ANTHROPIC),
    *(ModelCard("openai", name, name, window, limit, _price(price)) for name, window, limit, price in _OPENAI),
    *(ModelCard("google", name, name, window, limit, _price(price)) for name, window, limit, price in _GOOGLE),
    *(ModelCard("deepseek", name, name, window, limit, _price(price)) for name, window, limit, price in _DEEPSEEK),
)

_BY_SPELLING = {_dashed(card.name): card for card in CARDS}
