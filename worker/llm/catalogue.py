"""The models that people call by many names: how each is spelled where, its window, its limit of output.

Windows and limits come from the vendors' model pages (November 2026); None: unknown. What a model costs stands in
`price_list`.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class ModelCard:
    """One model. `name` is the dotted id of gateways, `native` the vendor's own id for it."""

    vendor: str
    name: str
    native: str
    context_window: int
    max_output_tokens: int | None

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


_ANTHROPIC = (  # dotted id, native id, window, output limit
    ("claude-opus-5.5", "claude-opus-5-5", 1_000_000, None),
    ("claude-opus-5", "claude-opus-5", 1_000_000, None),
    ("claude-opus-4.8", "claude-opus-4-8", 1_000_000, None),
    ("claude-opus-4.7", "claude-opus-4-7", 1_000_000, 128_000),
    ("claude-opus-4.6", "claude-opus-4-6", 1_000_000, 128_000),
    ("claude-opus-4.5", "claude-opus-4-5", 200_000, 64_000),
    ("claude-sonnet-5.5", "claude-sonnet-5-5", 1_000_000, None),
    ("claude-sonnet-5", "claude-sonnet-5", 1_000_000, None),
    ("claude-sonnet-4.6", "claude-sonnet-4-6", 1_000_000, 64_000),
    ("claude-sonnet-4.5", "claude-sonnet-4-5", 200_000, 64_000),
    ("claude-haiku-4.5", "claude-haiku-4-5", 200_000, 64_000),
    ("claude-3.5-sonnet", "claude-3-5-sonnet-20241022", 200_000, 8_192),
    ("claude-3-haiku", "claude-3-haiku-20240307", 200_000, 4_096),
)

_OPENAI = (
    ("gpt-5.4", 1_050_000, 128_000),
    ("gpt-5.2", 400_000, 128_000),
    ("gpt-5.1", 400_000, 128_000),
    ("gpt-5", 400_000, 128_000),
    ("gpt-5-mini", 400_000, 128_000),
    ("gpt-5-nano", 400_000, 128_000),
    ("o3", 200_000, 100_000),
    ("o4-mini", 200_000, 100_000),
    ("o3-mini", 200_000, 100_000),
    ("gpt-4.1", 1_000_000, 32_768),
    ("gpt-4.1-mini", 1_000_000, 32_768),
    ("gpt-4.1-nano", 1_000_000, 32_768),
    ("gpt-4o", 128_000, 16_384),
    ("gpt-4o-2024-05-13", 128_000, 4_096),  # older than the price cut: a model of its own
    ("gpt-4o-mini", 128_000, 16_384),
)

_GOOGLE = (
    ("gemini-3.1-pro-preview", 1_048_576, 65_536),
    ("gemini-3-flash-preview", 1_000_000, 65_536),
    ("gemini-2.5-pro", 1_048_576, 65_536),
    ("gemini-2.5-flash", 1_048_576, 65_536),
    ("gemini-2.5-flash-lite", 1_000_000, 65_536),
)

_DEEPSEEK = (
    ("deepseek-v4-flash", 1_000_000, None),
    ("deepseek-v4-pro", 1_000_000, None),
)

CARDS: tuple[ModelCard, ...] = (
    *(ModelCard("anthropic", name, native, window, limit) for name, native, window, limit in _ANTHROPIC),
    *(ModelCard("openai", name, name, window, limit) for name, window, limit in _OPENAI),
    *(ModelCard("google", name, name, window, limit) for name, window, limit in _GOOGLE),
    *(ModelCard("deepseek", name, name, window, limit) for name, window, limit in _DEEPSEEK),
)

_BY_SPELLING = {_dashed(card.name): card for card in CARDS}
