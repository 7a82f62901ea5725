"""Where a provider is asked and as whom: each account is one set of variables, never mixed with another's."""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from worker.llm.azure import Resource, is_azure, read_resource
from worker.settings import Settings

OPENAI_API = "https://api.openai.com/v1"
GOOGLE_API = "https://generativelanguage.googleapis.com"
ANTHROPIC_API = "https://api.anthropic.com"
OPENROUTER_API = "https://openrouter.ai/api/v1"
DEEPSEEK_API = "https://api.deepseek.com"
OLLAMA_LOCAL, VLLM_LOCAL = "http://localhost:11434", "http://localhost:8000"
CHAT, RESPONSES = "openai_chat", "openai_responses"


@dataclass(frozen=True)
class Value:
    """A value with where it comes from: the variable, or `built in`."""

    text: str
    origin: str = "built in"


@dataclass(frozen=True)
class Account:
    """One way to ask a provider. Holds the credential's name, never its value.

    `reasoning_wire` is the wire of models that reason, where it is another. `is_own` says that the address is not
    the vendor's but one that the operator named.
    """

    wire: str
    address: Value
    credential_ref: str | None = None
    reasoning_wire: str | None = None
    is_own: bool = False
    azure: Resource | None = None
    region: Value | None = None
    project: Value | None = None
    location: Value | None = None


@dataclass(frozen=True)
class KeySet:
    """A key and where it goes, both fields of Settings; `default` is the vendor's address."""

    key: str
    address: str = ""
    default: str = ""

    def find_address(self, settings: Settings) -> Value:
        given = getattr(settings, self.address) if self.address else None
        return Value(given, self.address.upper()) if given and given != self.default else Value(self.default)

    def find_ref(self, settings: Settings) -> str | None:
        return f"env:{self.key.upper()}" if getattr(settings, self.key) is not None else None


FindAccount = Callable[[Settings, bool], Account | None]
"""Return the account; None where nothing configures the provider. The second argument says that somebody asks for
this very provider, by mode or name. Raises ConfigError where what is set cannot work."""

OPENROUTER_SET = KeySet("openrouter_api_key", "openrouter_base_url", OPENROUTER_API)
ANTHROPIC_SETS = (
    KeySet("anthropic_api_key", "anthropic_base_url", ANTHROPIC_API),
    KeySet("llm_anthropic_api_key", "llm_anthropic_base_url", ANTHROPIC_API),
)
GOOGLE_SETS = (KeySet("google_ai_api_key", default=GOOGLE_API), KeySet("llm_gemini_api_key", default=GOOGLE_API))
DEEPSEEK_SET = KeySet("llm_deepseek_api_key", "llm_deepseek_base_url", DEEPSEEK_API)
OPENAI_SET = KeySet("openai_api_key", "openai_base_url", OPENAI_API)
COMPATIBLE_SET = KeySet("llm_openai_compatible_api_key", "llm_openai_compatible_base_url")
AZURE_SET = KeySet("azure_openai_api_key", "azure_openai_endpoint")

ALTERNATIVES = (ANTHROPIC_SETS, GOOGLE_SETS)
"""Sets that mean the same provider, the one that counts first."""


def keyed(wire: str, *sets: KeySet) -> FindAccount:
    """Return what finds the first set whose key is given."""

    def find(settings: Settings, _asked: bool) -> Account | None:  # noqa: FBT001 - see FindAccount
        for one in sets:
            if ref := one.find_ref(settings):
                address = one.find_address(settings)
                return Account(wire, address, ref, is_own=address.text != one.default)
        return None

    return find


def find_openai(settings: Settings, _asked: bool) -> Account | None:  # noqa: FBT001 - see FindAccount
    ref = OPENAI_SET.find_ref(settings)
    return _open_ai_like(settings, OPENAI_SET.find_address(settings), ref) if ref else None


def find_compatible(settings: Settings, _asked: bool) -> Account | None:  # noqa: FBT001 - see FindAccount
    """Find the compatible endpoint. S1 calls it `openai`, with OpenAI's own address as the default."""
    address = COMPATIBLE_SET.find_address(settings)
    if not address.text and settings.llm_backend == "openai" and settings.llm_openai_compatible_api_key:
        address = Value(OPENAI_API, "built in, with LLM_BACKEND=openai")
    return _open_ai_like(settings, address, COMPATIBLE_SET.find_ref(settings)) if address.text else None


def find_azure(settings: Settings, _asked: bool) -> Account | None:  # noqa: FBT001 - see FindAccount
    """Find Azure by its own variables, or by another OpenAI address that is one of Azure's."""
    ref, address = AZURE_SET.find_ref(settings), AZURE_SET.find_address(settings)
    if ref and address.text:
        return _azure(settings, address, ref)
    others = (find_openai(settings, False), find_compatible(settings, False))
    return next((account for account in others if account and account.azure), None)


def _open_ai_like(settings: Settings, address: Value, ref: str | None) -> Account:
    if is_azure(address.text) or (settings.azure_openai_api_version and _is_lent_to_azure(settings, address)):
        return _azure(settings, address, ref)
    is_openai = is_openai_api(address.text) or address.origin == OPENAI_SET.address.upper()
    return Account(
        CHAT, address, ref, reasoning_wire=RESPONSES if is_openai else None, is_own=not is_openai_api(address.text)
    )


def _is_lent_to_azure(settings: Settings, address: Value) -> bool:
    """Say whether the API version can only be meant for this address: Azure's own variable names none."""
    return settings.azure_openai_endpoint is None and not is_openai_api(address.text)


def _azure(settings: Settings, address: Value, ref: str | None) -> Account:
    resource = read_resource(address.text, api_version=settings.azure_openai_api_version, variable=address.origin)
    return Account(CHAT, address, ref, reasoning_wire=RESPONSES if resource.offers_responses else None, azure=resource)


def is_openai_api(address: str) -> bool:
    """Say whether this is OpenAI itself, whose data residency has hosts such as `eu.api.openai.com`."""
    host = urlsplit(address).hostname or ""
    return host == "api.openai.com" or host.endswith(".api.openai.com")


def find_ollama(settings: Settings, _asked: bool) -> Account | None:  # noqa: FBT001 - see FindAccount
    address = _own_address(settings, "ollama_base_url", local=OLLAMA_LOCAL)
    return Account("ollama_chat", address, is_own=True) if address else None


def find_vllm(settings: Settings, _asked: bool) -> Account | None:  # noqa: FBT001 - see FindAccount
    address = _own_address(settings, "vllm_base_url", local=VLLM_LOCAL)
    if address is None:
        return None
    ref = "env:VLLM_API_KEY" if settings.vllm_api_key else None
    return Account(CHAT, Value(f"{address.text}/v1", address.origin), ref, is_own=True)


def _own_address(settings: Settings, field: str, *, local: str) -> Value | None:
    """Return the root of a server of one's own; LLM_BACKEND alone means the one on this machine."""
    if given := getattr(settings, field):
        return Value(given.removesuffix("/v1").removesuffix("/api").rstrip("/"), field.upper())
    is_meant = settings.llm_backend in {field.removesuffix("_base_url"), "auto"}
    return Value(local, f"built in, with LLM_BACKEND={settings.llm_backend}") if is_meant else None


def find_disagreements(settings: Settings) -> list[str]:
    """List what is set and not used, because another name of the same thing counts first."""
    found = []
    for sets in ALTERNATIVES:
        used = next((one for one in sets if one.find_ref(settings)), sets[0])
        for other in (one for one in sets if one is not used):
            if other.find_ref(settings) and getattr(settings, other.key) != getattr(settings, used.key):
                found.append(f"{used.key.upper()} and {other.key.upper()} differ; the first is used")
            address = other.find_address(settings)
            if address.text != other.default and address.text != used.find_address(settings).text:
                owner = f"it belongs to {other.key.upper()}, and {used.key.upper()} is used"
                found.append(f"{address.origin} is not used: {owner}")
    if settings.llm_gemini_base_url:
        found.append("LLM_GEMINI_BASE_URL is ignored: Gemini takes no base URL; leave it blank")
    return found
