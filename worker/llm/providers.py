"""Who can be asked: the providers by their canonical names, what configures each, which models it stands for."""

from dataclasses import dataclass

from worker.settings import Settings


@dataclass(frozen=True)
class Provider:
    """One provider. An empty `wire` means that this version cannot speak to it yet.

    `key_field` and `url_field` name fields of Settings. `cheap` and `strong` are its pair of default models.
    """

    name: str
    wire: str = ""
    key_field: str = ""
    url_field: str = ""
    cheap: str = ""
    strong: str = ""
    leaves_host: bool = True

    def base_url(self, settings: Settings) -> str:
        return (getattr(settings, self.url_field) or "").rstrip("/") if self.url_field else ""

    def credential_ref(self, settings: Settings) -> str | None:
        """Name the key, never its value; None where none is set."""
        given = self.key_field and getattr(settings, self.key_field) is not None
        return f"env:{self.key_field.upper()}" if given else None

    def is_configured(self, settings: Settings) -> bool:
        if self is OPENAI_COMPATIBLE:
            return bool(self.base_url(settings))
        return self.credential_ref(settings) is not None

    @property
    def variable(self) -> str:
        """The variable that configures it, for people."""
        return (self.url_field if self is OPENAI_COMPATIBLE else self.key_field).upper()


CHEAP, STRONG = "anthropic/claude-haiku-4.5", "anthropic/claude-opus-4.6"

OFFLINE = Provider("offline", "offline", leaves_host=False)
OPENROUTER = Provider("openrouter", "openai_chat", "openrouter_api_key", "openrouter_base_url", CHEAP, STRONG)
ANTHROPIC = Provider("anthropic", "anthropic_messages", "anthropic_api_key", "anthropic_base_url", CHEAP, STRONG)
OPENAI = Provider(  # its reasoning models want the Responses wire for tools, so none of them is a default
    "openai", "openai_chat", "openai_api_key", "openai_base_url", "openai/gpt-4.1-mini", "openai/gpt-4.1"
)
OPENAI_COMPATIBLE = Provider(
    "openai-compatible", "openai_chat", "llm_openai_compatible_api_key", "llm_openai_compatible_base_url"
)

DIRECT = (ANTHROPIC, OPENAI, OPENAI_COMPATIBLE)
"""Asked without a gateway, in the order in which they give the default model."""

_LATER = ("azure", "google", "vertex", "ollama", "bedrock", "deepseek", "vllm")

PROVIDERS: dict[str, Provider] = {
    provider.name: provider for provider in (OPENROUTER, *DIRECT, *(Provider(name) for name in _LATER))
}
AVAILABLE = tuple(name for name, provider in PROVIDERS.items() if provider.wire)
OTHER_NAMES = {"gemini": "google"}

OWN_ENDPOINTS = frozenset({"openrouter", "openai-compatible", "ollama", "vllm", "bedrock", "azure"})
"""What stands behind these names is the operator's own: never posted to a gateway instead."""


def find_provider(name: str) -> Provider | None:
    """Find a provider by its name or other name, in any case; None if there is no such."""
    word = name.strip().lower()
    return PROVIDERS.get(OTHER_NAMES.get(word, word))
