"""What may be changed of models by form: its fields, how it stands now, and the change that is made of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qsl

from worker import managing
from worker.domain.model_state import AccessRule, Alias, PriceOverride
from worker.errors import UserError
from worker.llm.config_file import Pricing
from worker.services import Services

Values = dict[str, str]
"""What stands in a form's fields, by their names; a switch that is off holds nothing."""
ON = "yes"
MAX_FIELDS = 20
MAX_FIELD = 4000


@dataclass(frozen=True)
class Field:
    """One field; `lines` takes one word a line, `secret` is never shown again."""

    name: str
    label: str
    hint: str = ""
    kind: Literal["text", "lines", "switch", "secret"] = "text"


@dataclass(frozen=True)
class Form:
    """What is changed of one kind of thing; the first field is what it goes by.

    `read` returns how one stands, None where there is none of that name. Without `delete` it cannot be taken away.
    """

    kind: str
    """Its part of the address."""
    noun: str
    home: str
    """The page that lists them."""
    fields: tuple[Field, ...]
    read: Callable[[Services, str], Values | None]
    put: Callable[[Services, str, Values], None]
    delete: Callable[[Services, str, str], None] | None = None
    when_gone: str = ""
    """What counts once it is deleted."""

    @property
    def key(self) -> str:
        return self.fields[0].name

    @property
    def is_secret(self) -> bool:
        return any(field.kind == "secret" for field in self.fields)

    def clean(self, given: Mapping[str, str]) -> Values:
        """Return what was written into the fields, without blanks around it. Raises UserError for what is too long."""
        said = {field.name: given.get(field.name, "").strip() for field in self.fields}
        for field in self.fields:
            if len(said[field.name]) > MAX_FIELD:
                raise UserError(f"{field.label}: at most {MAX_FIELD} characters")
        return said

    def empty(self) -> Values:
        """Return a new one's values: its switches are on."""
        return {field.name: ON if field.kind == "switch" else "" for field in self.fields}


def read_fields(body: bytes) -> Values:
    """Return the fields of a form as a browser sends it. Raises UserError for anything else."""
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError as error:
        raise UserError("this is no form of these pages; open the page and press its button") from error


def _read_alias(services: Services, name: str) -> Values | None:
    found = next((alias for alias in services.router.aliases() if alias.name == name), None)
    if found is None:
        return None
    enabled = ON if found.enabled else ""
    return {"name": name, "target": found.target, "description": found.description, "enabled": enabled}


def _put_alias(services: Services, actor: str, said: Values) -> None:
    alias = Alias(**said | {"enabled": said["enabled"] == ON})
    managing.put_alias(services, actor, alias)


def _read_rule(services: Services, selector: str) -> Values | None:
    found = next((rule for rule in services.models.get().state.rules if rule.selector == selector), None)
    if found is None:
        return None
    return {"selector": selector, "user_paths": "\n".join(found.user_paths), "enabled": ON if found.enabled else ""}


def _put_rule(services: Services, actor: str, said: Values) -> None:
    paths = tuple(said["user_paths"].split())
    rule = AccessRule(selector=said["selector"], enabled=said["enabled"] == ON, user_paths=paths)
    managing.put_rule(services, actor, rule)


def _read_pricing(services: Services, selector: str) -> dict[str, Any] | None:
    prices = services.models.get().state.prices
    return next((price.pricing for price in prices if price.selector == selector), None)


def _read_price(services: Services, selector: str) -> Values | None:
    pricing = _read_pricing(services, selector)
    if pricing is None:
        return None
    return {"selector": selector} | {name: str(pricing.get(name, "")) for name in _PRICED}


def _put_price(services: Services, actor: str, said: Values) -> None:
    """Set what is said; the tiers that were set through the API stay."""
    before = _read_pricing(services, said["selector"]) or {}
    tiers = {"tiers": before["tiers"]} if "tiers" in before else {}
    pricing = {name: said[name] for name in _PRICED if said[name]}
    managing.put_price(services, actor, PriceOverride(selector=said["selector"], pricing=pricing | tiers))


def _read_backend(services: Services, provider: str) -> Values | None:
    name = managing.known_provider(provider).name
    found = next((backend for backend in services.models.get().state.backends if backend.provider == name), None)
    stored = found.model_dump(exclude_none=True) if found else {}
    return {field.name: stored.get(field.name, "") for field in _BACKEND} | {"provider": name}


def _put_backend(services: Services, actor: str, said: Values) -> None:
    managing.put_backend(services, actor, **said)


def _read_key(services: Services, provider: str) -> Values | None:
    """Say nothing of the key that is there but whose it would be."""
    del services
    return {"provider": managing.known_provider(provider).name, "api_key": ""}


def _put_key(services: Services, actor: str, said: Values) -> None:
    managing.put_key(services, actor, said["provider"], said["api_key"])


_PRICED = tuple(name for name in Pricing.model_fields if name != "tiers")
_PER_MTOK = "for a million tokens; blank: as the price lists say"
_BACKEND = (
    Field("provider", "Provider"),
    Field("model", "Model", "what it is asked for where nothing is named; blank: as its variable says"),
    Field("orchestrator_model", "Orchestrator's model", "blank: as its variable says"),
    Field("base_url", "Base URL", "blank: as its variable says, or the vendor's own"),
)
FORMS = (
    Form(
        kind="aliases",
        noun="alias",
        home="/models/aliases",
        fields=(
            Field("name", "Name", "what is written in its place; a model's own name makes a shadow alias"),
            Field("target", "Leads to", "provider/model, or the name of a model or profile"),
            Field("description", "Description"),
            Field("enabled", "Enabled", kind="switch"),
        ),
        read=_read_alias,
        put=_put_alias,
        delete=managing.delete_alias,
        when_gone="A model of that name is meant by it again; where there is none, the name is refused.",
    ),
    Form(
        kind="access",
        noun="access rule",
        home="/models/access",
        fields=(
            Field("selector", "Models", "/ for all, provider/, provider/model, or the name of a model or alias"),
            Field("user_paths", "User paths", "one a line; each stands for all below it, / for everybody", "lines"),
            Field("enabled", "Enabled", "switched off, nobody may use them", "switch"),
        ),
        read=_read_rule,
        put=_put_rule,
        delete=managing.delete_rule,
        when_gone="The next wider rule decides; where there is none, MODELS_ENABLED_BY_DEFAULT does.",
    ),
    Form(
        kind="prices",
        noun="price",
        home="/models/prices",
        fields=(
            Field("selector", "Model", "provider/model, or a model anywhere"),
            Field("currency", "Currency", "three letters, such as USD"),
            Field("input_per_mtok", "Input", _PER_MTOK),
            Field("output_per_mtok", "Output", _PER_MTOK),
            Field("cached_input_per_mtok", "Cached input", _PER_MTOK),
            Field("cache_write_per_mtok", "Cache write", _PER_MTOK),
        ),
        read=_read_price,
        put=_put_price,
        delete=managing.delete_price,
        when_gone="The price of RCA_LLM_CONFIG or of the price lists counts again.",
    ),
    Form(
        kind="backend",
        noun="active provider",
        home="/models/providers",
        fields=_BACKEND,
        read=_read_backend,
        put=_put_backend,
    ),
    Form(
        kind="keys",
        noun="key",
        home="/models/providers",
        fields=(
            Field("provider", "Provider"),
            Field("api_key", "Key", "stored sealed; it counts before a variable's, from the next call on", "secret"),
        ),
        read=_read_key,
        put=_put_key,
        delete=managing.delete_key,
        when_gone="A variable's key counts then; where there is none, what needs it fails and says so.",
    ),
)
