"""Who can be asked: the providers by their canonical names, what configures each, which models it stands for."""

from dataclasses import dataclass

from worker.llm import accounts
from worker.llm.accounts import CHAT, Account, FindAccount, Value, keyed
from worker.llm.aws import find_bedrock
from worker.llm.vertex import find_vertex
from worker.settings import Settings


@dataclass(frozen=True)
class Provider:
    """One provider. `cheap` and `strong` are its pair of default models, empty where only the operator knows one.

    `needs` names the variables that configure it, for people.
    """

    name: str
    find_account: FindAccount
    needs: str
    cheap: str = ""
    strong: str = ""
    leaves_host: bool = True
    max_temperature: float = 2.0

    def is_configured(self, settings: Settings) -> bool:
        return self.find_account(settings, False) is not None

    @property
    def word(self) -> str:
        """What stands for it in `LLM_<P>_MODEL`."""
        return _WORDS.get(self.name, self.name).upper().replace("-", "_")

    @property
    def model_variable(self) -> str:
        return f"LLM_{self.word}_MODEL"

    @property
    def orchestrator_variable(self) -> str:
        return f"LLM_{self.word}_ORCHESTRATOR_MODEL"


CHEAP, STRONG = "anthropic/claude-haiku-4.5", "anthropic/claude-opus-4.6"
_WORDS = {"google": "gemini"}


def _find_offline(_settings: Settings, _asked: bool) -> Account:  # noqa: FBT001 - see FindAccount
    return Account("offline", Value(""))


OFFLINE = Provider("offline", _find_offline, "", leaves_host=False)
OPENROUTER = Provider(
    "openrouter", keyed(CHAT, accounts.OPENROUTER_SET), "OPENROUTER_API_KEY", cheap=CHEAP, strong=STRONG
)
ANTHROPIC = Provider(
    "anthropic",
    keyed("anthropic_messages", *accounts.ANTHROPIC_SETS),
    "ANTHROPIC_API_KEY",
    cheap=CHEAP,
    strong=STRONG,
    max_temperature=1.0,
)
OPENAI = Provider(
    "openai",
    accounts.find_openai,
    "OPENAI_API_KEY",
    cheap="openai/gpt-4.1-mini",
    strong="openai/gpt-4.1",
)
GOOGLE = Provider(
    "google",
    keyed("gemini_generate", *accounts.GOOGLE_SETS),
    "GOOGLE_AI_API_KEY",
    cheap="google/gemini-2.5-flash",
    strong="google/gemini-2.5-pro",
)
VERTEX = Provider(
    "vertex",
    find_vertex,
    "VERTEX_AI_PROJECT",
    cheap="vertex/gemini-2.5-flash",
    strong="vertex/gemini-2.5-pro",
)
BEDROCK = Provider(
    "bedrock",
    find_bedrock,
    "BEDROCK_REGION (or AWS_REGION or AWS_DEFAULT_REGION), or BEDROCK_BASE_URL for a gateway",
    cheap=CHEAP,
    strong=STRONG,
    max_temperature=1.0,
)
DEEPSEEK = Provider(
    "deepseek",
    keyed(CHAT, accounts.DEEPSEEK_SET),
    "LLM_DEEPSEEK_API_KEY",
    cheap="deepseek/deepseek-v4-flash",
    strong="deepseek/deepseek-v4-pro",
)
AZURE = Provider("azure", accounts.find_azure, "AZURE_OPENAI_ENDPOINT and AZURE_OPENAI_API_KEY")
OPENAI_COMPATIBLE = Provider("openai-compatible", accounts.find_compatible, "LLM_OPENAI_COMPATIBLE_BASE_URL")
VLLM = Provider("vllm", accounts.find_vllm, "VLLM_BASE_URL", leaves_host=False)
OLLAMA = Provider(
    "ollama",
    accounts.find_ollama,
    "OLLAMA_BASE_URL",
    cheap="ollama/llama3.1",
    strong="ollama/llama3.1:70b",
    leaves_host=False,
)

DIRECT = (ANTHROPIC, OPENAI, GOOGLE, VERTEX, BEDROCK, DEEPSEEK, AZURE, OPENAI_COMPATIBLE, VLLM, OLLAMA)
"""Asked without a gateway, in the order in which they give the default model."""

PROVIDERS: dict[str, Provider] = {provider.name: provider for provider in (OPENROUTER, *DIRECT)}
OTHER_NAMES = {"gemini": "google"}

OWN_ENDPOINTS = frozenset({OPENROUTER, OPENAI_COMPATIBLE, OLLAMA, VLLM, BEDROCK, AZURE})
"""What stands behind these names is the operator's own: never posted to a gateway or another provider instead."""


def find_provider(name: str) -> Provider | None:
    """Find a provider by its name or other name, in any case; None if there is no such."""
    word = name.lower()
    return PROVIDERS.get(OTHER_NAMES.get(word, word))
