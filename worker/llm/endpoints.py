"""Endpoints with a name of their own: one more account of a provider's kind, or one model of one, as a profile."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import SecretStr

from worker.errors import ConfigError
from worker.llm.accounts import (
    ANTHROPIC_API,
    CHAT,
    DEEPSEEK_API,
    GOOGLE_API,
    OLLAMA_LOCAL,
    OPENAI_API,
    OPENROUTER_API,
    RESPONSES,
    VLLM_LOCAL,
    Account,
    Value,
    is_openai_api,
)
from worker.llm.azure import is_azure, read_resource
from worker.llm.config_file import LITERAL, ConfigFile, ProviderEntry
from worker.llm.config_file import Profile as ProfileEntry
from worker.llm.providers import PROVIDERS, Provider, find_provider
from worker.settings import Settings, read_variable

_DEFAULTS = {
    "openrouter": OPENROUTER_API,
    "openai": OPENAI_API,
    "anthropic": ANTHROPIC_API,
    "google": GOOGLE_API,
    "deepseek": DEEPSEEK_API,
    "ollama": OLLAMA_LOCAL,
    "vllm": VLLM_LOCAL,
}
_WIRES = {"anthropic": "anthropic_messages", "google": "gemini_generate", "ollama": "ollama_chat"}
_BY_VARIABLES = frozenset({"vertex", "bedrock"})
_KEYLESS = frozenset({"ollama", "vllm", "openai-compatible", "bedrock"})
_SUFFIX = re.compile(r"(?P<name>[A-Z][A-Z0-9_]*?)_(?P<what>API_KEY|BASE_URL|MODELS)")


@dataclass(frozen=True)
class Said:
    """What somebody says of an endpoint: whose kind it is, where, and by which credential; `origin` says who.

    `version_field` is where they can say Azure's API version.
    """

    kind: Provider
    origin: str
    base_url: str | None = None
    credential_ref: str | None = None
    api_version: str | None = None
    version_field: str = "api_version beside it"


@dataclass(frozen=True)
class Endpoint:
    """One more account: its models are written `name/model`."""

    name: str
    kind: Provider
    account: Account
    origin: str


@dataclass(frozen=True)
class Profile:
    """One model of one endpoint, under a name; its parameters hold wherever it is used."""

    endpoint: Endpoint
    model: str
    max_output_tokens: int | None = None
    context_window: int | None = None
    temperature: float | None = None


def make_account(said: Said) -> Account:
    """Return the account. Raises ConfigError where what is said cannot be one."""
    kind = said.kind.name
    if kind in _BY_VARIABLES and not (kind == "bedrock" and said.base_url):
        raise ConfigError(f"{said.origin}: {kind} takes a set of credentials; configure it by its variables")
    if said.credential_ref is None and kind not in _KEYLESS:
        raise ConfigError(f"{said.origin}: {kind} needs an api_key, such as env:VARIABLE")
    text = (said.base_url or _DEFAULTS.get(kind, "")).rstrip("/")
    if kind == "google":
        text = GOOGLE_API  # Gemini takes no base URL
    if not text:
        raise ConfigError(f"{said.origin}: {kind} needs a base_url")
    if not re.match(r"https?://[^/@\s]+", text):
        raise ConfigError(f"{said.origin}: base_url has to be an address that begins with http:// or https://")
    return _account(said, Value(text, said.origin))


def _account(said: Said, address: Value) -> Account:
    kind, text, ref = said.kind.name, address.text, said.credential_ref
    is_openai_like = kind in {"openai", "azure", "openai-compatible"}
    if is_openai_like and (kind == "azure" or said.api_version or is_azure(text)):
        resource = read_resource(
            text, api_version=said.api_version, variable=said.origin, version_field=said.version_field
        )
        wire = RESPONSES if resource.offers_responses else None
        return Account(CHAT, address, ref, reasoning_wire=wire, azure=resource)
    is_own = text != _DEFAULTS.get(kind)
    if kind == "ollama":
        root = Value(text.removesuffix("/v1").removesuffix("/api"), address.origin)
        return Account("ollama_chat", root, ref, is_own=True)
    if kind == "vllm":
        return Account(CHAT, Value(f"{text.removesuffix('/v1')}/v1", address.origin), ref, is_own=True)
    reasoning = RESPONSES if is_openai_like and is_openai_api(text) else None
    return Account(_WIRES.get(kind, CHAT), address, ref, reasoning_wire=reasoning, is_own=is_own)


# The file's


def file_endpoints(file: ConfigFile) -> Iterator[Endpoint]:
    """Yield the endpoints among the file's providers. Raises ConfigError that names the entry and what is wrong."""
    for name, entry in file.content.providers.items():
        origin = f"RCA_LLM_CONFIG providers.{name}"
        if find_provider(name):
            if entry.api_key is not None:
                raise ConfigError(f"{origin}: api_key: {name} is configured by variables; give the entry another name")
            continue
        kind = _kind(entry, origin)
        ref = credential_ref(entry.api_key, owner=name, origin=origin)
        account = make_account(Said(kind, origin, entry.base_url, ref, entry.api_version))
        yield Endpoint(name.lower(), kind, account, origin)


def _kind(entry: ProviderEntry, origin: str) -> Provider:
    found = find_provider(entry.type or "")
    if found is None:
        given = entry.type or "nothing"
        raise ConfigError(f"{origin}: type: {given} is no provider; use one of {', '.join(PROVIDERS)}")
    return found


def file_profiles(file: ConfigFile) -> Iterator[Profile]:
    """Yield the profiles of the file. Raises ConfigError that names the entry and what is wrong."""
    for entry in file.content.llm.providers:
        origin = f"RCA_LLM_CONFIG llm.providers.{entry.name}"
        ref = credential_ref(entry.api_key, owner=entry.name, origin=origin)
        endpoint = Endpoint(entry.name, _profile_kind(entry, origin), _profile_account(entry, ref, origin), origin)
        if entry.temperature is not None and entry.temperature > endpoint.kind.max_temperature:
            limit = f"{endpoint.kind.name} takes 0 to {endpoint.kind.max_temperature:g}"
            raise ConfigError(f"{origin}: temperature: {entry.temperature:g} is too high; {limit}")
        yield Profile(endpoint, entry.model, entry.max_tokens, entry.context_window, entry.temperature)


def _profile_kind(entry: ProfileEntry, origin: str) -> Provider:
    found = find_provider(entry.type)
    if found is None:
        raise ConfigError(f"{origin}: type: {entry.type} is no provider; use one of {', '.join(PROVIDERS)}")
    is_own = found.name == "openai" and entry.base_url and not is_openai_api(entry.base_url)
    if is_own and not (is_azure(entry.base_url or "") or entry.api_version):
        return PROVIDERS["openai-compatible"]
    return PROVIDERS["azure"] if is_own else found


def _profile_account(entry: ProfileEntry, ref: str | None, origin: str) -> Account:
    return make_account(Said(_profile_kind(entry, origin), origin, entry.base_url, ref, entry.api_version))


def credential_ref(key: SecretStr | None, *, owner: str, origin: str) -> str | None:
    """Return the reference of a key as a file writes it. Raises ConfigError for a variable that is not set."""
    if key is None:
        return None
    text = key.get_secret_value().strip()
    scheme, _, rest = text.partition(":")
    if scheme == "env":
        if not read_variable(rest):
            raise ConfigError(f"{origin}: api_key: the variable {rest} is not set")
        return f"env:{rest}"
    return text if scheme == "vault" else f"{LITERAL}:{owner}"


# The environment's


def environment_endpoints(variables: Mapping[str, str]) -> tuple[list[Endpoint], dict[str, str]]:
    """Return the endpoints that variables such as OPENAI_EAST_API_KEY make; and what half ones lack, by their names.

    Half an endpoint is no error: other programs have variables of such names too.
    """
    found: dict[str, dict[str, str]] = {}
    for variable, value in variables.items():
        match = _SUFFIX.fullmatch(variable)
        if match and value.strip() and variable.lower() not in Settings.model_fields and _named_kind(match["name"]):
            found.setdefault(match["name"], {})[match["what"]] = value.strip()
    endpoints, halves = [], {}
    for word, parts in found.items():
        kind = _named_kind(word)
        if kind is None or (set(parts) == {"MODELS"} and _is_canonical(word)):
            continue
        name, origin = word.lower().replace("_", "-"), f"{word}_*"
        ref = f"env:{word}_API_KEY" if "API_KEY" in parts else None
        said = Said(kind, origin, parts.get("BASE_URL"), ref, version_field="?api-version= in its address")
        try:
            endpoints.append(Endpoint(name, kind, make_account(said), origin))
        except ConfigError as error:
            halves[name] = str(error)
    return endpoints, halves


def environment_lists(variables: Mapping[str, str]) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Return the lists of models in variables such as OPENAI_MODELS by provider, and warnings of unknown ones."""
    lists, warnings = {}, []
    for variable, value in variables.items():
        match = _SUFFIX.fullmatch(variable)
        if match is None or match["what"] != "MODELS" or variable.lower() in Settings.model_fields:
            continue
        models = tuple(dict.fromkeys(word.strip() for word in value.split(",") if word.strip()))
        kind = _named_kind(match["name"])
        if kind is None:
            warnings.append(f"{variable} is set and {match['name'].lower()} is no provider here")
            continue
        lists[kind.name if _is_canonical(match["name"]) else match["name"].lower().replace("_", "-")] = models
    return lists, warnings


def _is_canonical(word: str) -> bool:
    return find_provider(word.replace("_", "-")) is not None


def _named_kind(word: str) -> Provider | None:
    """Return the provider whose name a variable begins with, the longest; None where it begins with none."""
    names = sorted((*PROVIDERS, "gemini"), key=len, reverse=True)
    prefix = next((n for n in names if f"{word}_".startswith(n.upper().replace("-", "_") + "_")), None)
    return find_provider(prefix) if prefix else None
