"""Reads RCA_LLM_CONFIG: what the operator says, in YAML, of providers and of what their models can do and cost."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, SecretStr, StringConstraints, ValidationError, model_validator

from worker.domain.conversation import Frozen, JsonObject
from worker.errors import ConfigError

USD = "USD"
LITERAL = "literal"
"""The scheme of references to keys that stand in the file itself."""
Money = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Tokens = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Word = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class TierPricing(Frozen):
    """What a call costs once its input is larger than so many tokens."""

    above_input_tokens: Tokens
    input_per_mtok: Money
    output_per_mtok: Money
    cached_input_per_mtok: Money | None = None
    cache_write_per_mtok: Money | None = None


class Pricing(Frozen):
    """Per million tokens, in its currency; what is not said is left as a lower layer has it."""

    currency: Currency
    input_per_mtok: Money | None = None
    output_per_mtok: Money | None = None
    cached_input_per_mtok: Money | None = None
    cache_write_per_mtok: Money | None = None
    tiers: tuple[TierPricing, ...] | None = None

    def in_dollars(self, rate: float) -> JsonObject:
        """Return what is said, by the names of `Price`; `rate` is dollars for one of the currency."""
        said = self.model_dump(exclude={"currency", "tiers"}, exclude_none=True)
        converted: JsonObject = {name: value * rate for name, value in said.items()}
        if self.tiers is not None:
            tiers = sorted(self.tiers, key=lambda tier: tier.above_input_tokens)
            converted["tiers"] = [_converted(tier, rate) for tier in tiers]
        return converted


def _converted(tier: TierPricing, rate: float) -> JsonObject:
    said = tier.model_dump(exclude_none=True)
    return {name: value * (1 if name == "above_input_tokens" else rate) for name, value in said.items()}


class Metadata(Frozen):
    """What is said of one model. A capability that is not named is there."""

    display_name: str | None = None
    context_window: Tokens | None = None
    max_output_tokens: Tokens | None = None
    modes: tuple[str, ...] = ()
    capabilities: dict[str, bool] = Field(default_factory=dict)
    pricing: Pricing | None = None


class Listed(Frozen):
    id: Word
    metadata: Metadata = Metadata()

    @model_validator(mode="before")
    @classmethod
    def _named(cls, given: object) -> object:
        """Take a bare id for a model of which nothing is said."""
        return {"id": given} if isinstance(given, str) else given


class Limits(Frozen):
    """What one account of the provider may be sent, by the whole fleet; None: no limit, 0: nothing at all."""

    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    concurrent: Count | None = None

    @property
    def is_closed(self) -> bool:
        return 0 in {self.requests_per_minute, self.tokens_per_minute, self.concurrent}


class ProviderEntry(Frozen):
    """One provider, or one server of its `type`; with a `base_url` it speaks of that server alone."""

    type: Word | None = None
    base_url: Word | None = None
    api_key: SecretStr | None = None
    api_version: Word | None = None
    limits: Limits | None = None
    models: tuple[Listed, ...] = ()


class Profile(Frozen):
    """One endpoint with one model, under a name."""

    name: Word
    type: Word
    model: Word
    api_key: SecretStr | None = None
    base_url: Word | None = None
    api_version: Word | None = None
    max_tokens: Tokens | None = None
    context_window: Tokens | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None


class _Llm(Frozen):
    """Profiles, and the names by which others call them."""

    providers: tuple[Profile, ...] = ()
    aliases: dict[Word, Word] = Field(default_factory=dict)


class Content(Frozen):
    """All that may stand in the file."""

    providers: dict[Word, ProviderEntry] = Field(default_factory=dict)
    llm: _Llm = _Llm()
    prices: dict[Word, Pricing] = Field(default_factory=dict)
    exchange_rates: dict[Currency, Rate] = Field(default_factory=dict)


@dataclass(frozen=True)
class ConfigFile:
    """What the file says; `label` names it with its version, for whoever asks where a price comes from."""

    content: Content = field(default_factory=Content)
    label: str = ""

    def metadata(self, provider: str, model: str, *, address: str | None) -> Metadata | None:
        """Return what is said of a provider's model, that of its very server before that of any."""
        listed = (one for entry in self._entries(provider, address) for one in entry.models)
        return next((one.metadata for one in listed if one.id == model), None)

    def limits(self, provider: str, *, address: str) -> Limits:
        """Return what an account there may be sent."""
        return next((entry.limits for entry in self._entries(provider, address) if entry.limits), Limits())

    def _entries(self, provider: str, address: str | None) -> list[ProviderEntry]:
        """Return what speaks of a provider, that of the very server before that of any."""
        entries = [
            entry
            for name, entry in self.content.providers.items()
            if provider in {name.lower(), entry.type or name} and _is_there(entry.base_url, address)
        ]
        return sorted(entries, key=lambda entry: entry.base_url is None)

    def price(self, provider: str, model: str) -> Pricing | None:
        """Return the operator's own price: that of the provider's model before that of the model anywhere."""
        prices = self.content.prices
        return prices.get(f"{provider}/{model}") or prices.get(model)

    def dollars_for(self, currency: str) -> float | None:
        """Return what one of the currency is in dollars; None where nobody said."""
        return 1.0 if currency == USD else self.content.exchange_rates.get(currency)


def _is_there(base_url: str | None, address: str | None) -> bool:
    return base_url is None or address is None or _root(base_url) == _root(address)


def _root(url: str) -> str:
    return url.rstrip("/").removesuffix("/v1")


def literal_keys(file: ConfigFile) -> dict[str, SecretStr]:
    """Return the keys that stand in the file itself, by their owner."""
    given = {name: entry.api_key for name, entry in file.content.providers.items()}
    given |= {entry.name: entry.api_key for entry in file.content.llm.providers}
    return {
        owner: key for owner, key in given.items() if key and not key.get_secret_value().startswith(("env:", "vault:"))
    }


def read_config_file(path: Path | None) -> ConfigFile:
    """Read the file; no path: a file that says nothing. Raises ConfigError that names the line."""
    if path is None:
        return ConfigFile()
    try:
        text = path.read_text(encoding="utf-8")
        return parse_config(text)
    except OSError as error:
        raise ConfigError(f"RCA_LLM_CONFIG: {path} cannot be read ({error.strerror})") from error
    except (ConfigError, UnicodeDecodeError) as error:
        raise ConfigError(f"RCA_LLM_CONFIG: {path}: {error}") from error


def parse_config(text: str) -> ConfigFile:
    """Parse the text. Raises ConfigError that says what is wrong in which line."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        content = Content.model_validate(yaml.safe_load(text) or {})
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"line {line}: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"it is no YAML: {error}") from error
    except ValidationError as error:
        raise ConfigError("; ".join(_problems(error, root))) from error
    return ConfigFile(content, f"RCA_LLM_CONFIG {hashlib.sha256(text.encode()).hexdigest()[:8]}")


def _problems(error: ValidationError, root: yaml.Node | None) -> Iterator[str]:
    for problem in error.errors():
        place = ".".join(map(str, problem["loc"])) or "the file"
        line = _line(root, problem["loc"]) if root else 1
        yield f"line {line}: {place}: {problem['msg']}"


_ENTRY = re.compile(r"RCA_LLM_CONFIG (?P<part>llm\.providers|llm\.aliases|providers|prices)\.(?P<name>\S+?):?(?= )")


def locate(message: str, *, path: Path | None) -> str:
    """Add file and line to a message that begins with an entry of the file, as far as they can be found."""
    entry = _ENTRY.search(message)
    if entry is None or path is None:
        return message
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return message  # it was changed meanwhile
    line = _line(root, (*entry["part"].split("."), entry["name"])) if root else 1
    return f"{path}: line {line}: {message}"


def _line(node: yaml.Node, path: Sequence[Any]) -> int:
    """Return the line of what a path leads to, or as far as it leads."""
    line = node.start_mark.line + 1
    for step in path:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == str(step)), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and (entry := _entry(node, step)):
            node = entry
            line = node.start_mark.line + 1
        else:
            break
    return line


def _entry(node: yaml.SequenceNode, step: Any) -> yaml.Node | None:
    """Return what stands at a place of a list, by its number or its `name`."""
    if isinstance(step, int):
        return node.value[step] if step < len(node.value) else None
    named = (one for one in node.value if isinstance(one, yaml.MappingNode))
    return next((one for one in named if any(k.value == "name" and v.value == step for k, v in one.value)), None)
