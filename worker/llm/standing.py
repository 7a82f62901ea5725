"""What holds of models now: the settings, the operator's file, and what is stored, which counts first."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr

from worker.domain.model_state import ModelState
from worker.llm.config_file import ConfigFile, Pricing, read_config_file
from worker.llm.providers import PROVIDERS
from worker.settings import Settings


@dataclass(frozen=True)
class Standing:
    """One generation: the settings with what is stored laid over them, the file, and what operators have said."""

    settings: Settings
    file: ConfigFile = field(default_factory=ConfigFile)
    state: ModelState = field(default_factory=ModelState)
    sources: Mapping[str, str] = field(default_factory=dict)
    """Where the stored keys are from that count, by provider: `vault` or `database`."""

    @property
    def generation(self) -> int:
        return self.state.generation


@dataclass(frozen=True)
class StoredKeys:
    """The keys that are stored, by provider, and where each is from."""

    values: Mapping[str, SecretStr] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)


Source = Callable[[], Standing]
"""Return what holds now; the same object while nothing has changed."""


def read_standing(settings: Settings, state: ModelState | None = None, keys: "StoredKeys | None" = None) -> Standing:
    """Return what holds with this state. Raises ConfigError where the file cannot be read."""
    state, keys = state or ModelState(), keys or StoredKeys()
    file = read_config_file(settings.rca_llm_config)
    return Standing(lay_over(settings, state, keys.values), _with_prices(file, state), state, keys.sources)


def _with_prices(file: ConfigFile, state: ModelState) -> ConfigFile:
    """Return the file with the prices that were stored since, which count first."""
    if not state.prices:
        return file
    stored = {price.selector: Pricing.model_validate(price.pricing) for price in state.prices}
    content = file.content.model_copy(update={"prices": file.content.prices | stored})
    label = f"prices stored by generation {state.generation}"
    return ConfigFile(content, f"{file.label}, {label}" if file.label else label)


def constant(settings: Settings) -> Source:
    """Return the source of what holds where nothing is stored."""
    standing = read_standing(settings)
    return lambda: standing


KEY_FIELDS = {
    "openrouter": "openrouter_api_key",
    "openai": "openai_api_key",
    "anthropic": "anthropic_api_key",
    "google": "google_ai_api_key",
    "deepseek": "llm_deepseek_api_key",
    "azure": "azure_openai_api_key",
    "openai-compatible": "llm_openai_compatible_api_key",
}
"""The variable that a provider's stored key takes the place of."""
ADDRESS_FIELDS = {
    "openrouter": "openrouter_base_url",
    "openai": "openai_base_url",
    "anthropic": "anthropic_base_url",
    "deepseek": "llm_deepseek_base_url",
    "azure": "azure_openai_endpoint",
    "openai-compatible": "llm_openai_compatible_base_url",
    "ollama": "ollama_base_url",
    "vllm": "vllm_base_url",
}
_NAMED = ("rca_model", "rca_orchestrator_model", "rca_subagent_model")
_RECOMPUTED = ("secrets", "database", "calls")


def lay_over(settings: Settings, state: ModelState, keys: Mapping[str, SecretStr]) -> Settings:
    """Return the settings as they are with what is stored."""
    changes: dict[str, Any] = {KEY_FIELDS[name]: key for name, key in keys.items() if name in KEY_FIELDS}
    for backend in state.backends:
        provider = PROVIDERS[backend.provider]
        named = {
            provider.model_variable.lower(): backend.model,
            provider.orchestrator_variable.lower(): backend.orchestrator_model,
            ADDRESS_FIELDS.get(backend.provider, ""): backend.base_url,
        }
        changes |= {field: value for field, value in named.items() if field and value}
        if backend.provider == state.active and backend.model:
            changes |= dict.fromkeys(_NAMED)  # a stored model counts before a variable's
    if state.active:
        changes |= {"llm_provider_mode": state.active, "llm_backend": None}
    if not changes:
        return settings
    laid = settings.model_copy(update=changes)
    for name in _RECOMPUTED:
        laid.__dict__.pop(name, None)
    return laid
