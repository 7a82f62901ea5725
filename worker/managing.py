"""Changes of models while the product runs: each is one generation and one row of the audit chain, or refused whole.

What would leave the configuration unable to work is refused, and nothing of it is kept but the refusal's row.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from pydantic import SecretStr, ValidationError
from sqlalchemy.orm import Session

from worker.domain.incident import clean_user_path
from worker.domain.model_state import AccessRule, Alias, Backend, ModelState, PriceOverride
from worker.errors import ConfigError, NotFoundError, RouteError, UserError
from worker.llm.config_file import Pricing
from worker.llm.providers import PROVIDERS, Provider, find_provider
from worker.llm.routing import Router
from worker.llm.sealing import Seals
from worker.llm.standing import ADDRESS_FIELDS, KEY_FIELDS, read_standing
from worker.services import Services
from worker.storage import audit, generations, provider_keys
from worker.storage.audit import Act
from worker.storage.provider_keys import SealedKey, last4_of

Apply = Callable[[ModelState], ModelState]
UNCHANGED: Any = object()
"""Stands for a field that was left out, where null means to clear it."""


def _nothing(_session: Session) -> None:
    """Do nothing beside the change."""


# Aliases


def put_alias(services: Services, actor: str, alias: Alias) -> Alias:
    """Add or replace an alias. Raises UserError for one that could not lead anywhere."""
    told = alias.model_dump(exclude={"name"})
    _change(services, Act(actor, "alias.put", alias.name, told), lambda state: _with_alias(services, state, alias))
    return alias


def _with_alias(services: Services, state: ModelState, alias: Alias) -> ModelState:
    if not alias.name.strip() or alias.name != alias.name.strip():
        raise UserError("an alias needs a name without blanks around it")
    if alias.target == alias.name:
        raise UserError(f"the alias {alias.name} cannot stand for itself; name a model")
    others = tuple(other for other in state.aliases if other.name != alias.name)
    if any(other.name == alias.target for other in others):
        raise UserError(f"{alias.target} is an alias itself; an alias leads one hop, so name the model behind it")
    if alias.enabled:
        _require_target(services, alias)
    return state.model_copy(update={"aliases": (*others, alias)})


def _require_target(services: Services, alias: Alias) -> None:
    try:
        services.router.require_target(alias.target)
    except RouteError as error:
        raise UserError(f"the alias {alias.name} would lead nowhere: {error}") from error


def delete_alias(services: Services, actor: str, name: str) -> None:
    """Take an alias away. Raises NotFoundError."""

    def apply(state: ModelState) -> ModelState:
        left = tuple(alias for alias in state.aliases if alias.name != name)
        return state.model_copy(update={"aliases": _shorter(left, state.aliases, f"there is no alias {name!r}")})

    _change(services, Act(actor, "alias.delete", name), apply)


# Access rules


def put_rule(services: Services, actor: str, rule: AccessRule) -> AccessRule:
    """Add or replace the rule of a selector. Raises UserError for paths that are none, or for none at all."""
    try:
        paths = tuple(dict.fromkeys(clean_user_path(path) for path in rule.user_paths))
    except ValueError as error:
        raise UserError(str(error)) from error
    clean = rule.model_copy(update={"user_paths": paths, "selector": rule.selector.strip()})

    def apply(state: ModelState) -> ModelState:
        if not clean.selector:
            raise UserError("a rule needs a selector: /, provider/, provider/model, or a model's or alias's name")
        if clean.enabled and not clean.user_paths:
            raise UserError("an enabled rule needs user_paths, at least one; / stands for everybody")
        others = (other for other in state.rules if other.selector != clean.selector)
        return state.model_copy(update={"rules": (*others, clean)})

    _change(services, Act(actor, "access.put", clean.selector, clean.model_dump(mode="json")), apply)
    return clean


def delete_rule(services: Services, actor: str, selector: str) -> None:
    """Take a rule away. Raises NotFoundError."""

    def apply(state: ModelState) -> ModelState:
        left = tuple(rule for rule in state.rules if rule.selector != selector)
        return state.model_copy(update={"rules": _shorter(left, state.rules, f"there is no rule for {selector!r}")})

    _change(services, Act(actor, "access.delete", selector), apply)


# Prices


def put_price(services: Services, actor: str, price: PriceOverride) -> PriceOverride:
    """Add or replace the operator's price of a selector. Raises UserError that names the field that is wrong."""
    try:
        pricing = Pricing.model_validate(price.pricing).model_dump(mode="json", exclude_none=True)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    clean = PriceOverride(selector=price.selector.strip(), pricing=pricing)

    def apply(state: ModelState) -> ModelState:
        others = (other for other in state.prices if other.selector != clean.selector)
        return state.model_copy(update={"prices": (*others, clean)})

    _change(services, Act(actor, "price.put", clean.selector, pricing), apply)
    return clean


def delete_price(services: Services, actor: str, selector: str) -> None:
    """Take a price away. Raises NotFoundError."""

    def apply(state: ModelState) -> ModelState:
        left = tuple(price for price in state.prices if price.selector != selector)
        return state.model_copy(update={"prices": _shorter(left, state.prices, f"there is no price of {selector!r}")})

    _change(services, Act(actor, "price.delete", selector), apply)


# The active backend and its keys


def put_backend(
    services: Services,
    actor: str,
    provider: str,
    *,
    model: str | None = UNCHANGED,
    orchestrator_model: str | None = UNCHANGED,
    base_url: str | None = UNCHANGED,
) -> tuple[Backend, str | None]:
    """Make a provider the active one, with its models and address. What is left out stays, null clears.

    Returns what is stored of it, and a warning where something was taken and does not count.
    """
    name = known_provider(provider).name
    given = {"model": model, "orchestrator_model": orchestrator_model, "base_url": base_url}
    changes = {field: value or None for field, value in given.items() if value is not UNCHANGED}
    warning = None
    if changes.get("base_url") and name not in ADDRESS_FIELDS:
        warning = f"{name} takes no base URL: it is ignored; leave it blank"
        changes.pop("base_url")

    def apply(state: ModelState) -> ModelState:
        before = next((b for b in state.backends if b.provider == name), Backend(provider=name))
        others = (b for b in state.backends if b.provider != name)
        new = before.model_copy(update=changes)
        return state.model_copy(update={"active": name, "backends": (*others, new)})

    state = _change(services, Act(actor, "config.put", name, changes), apply)
    return next(b for b in state.backends if b.provider == name), warning


def put_key(services: Services, actor: str, provider: str, key: str) -> None:
    """Store a provider's key: in Vault where that is configured, else sealed in the database.

    Raises UserError for a blank one, or a provider that takes none; ProviderError where Vault fails.
    """
    name, text = _require_keyed(provider).name, key.strip()
    if not text:
        raise UserError("api_key is blank; send the provider's key")
    services.redactor.learn([text])
    vault, beside = services.models.vault, _nothing
    if vault.is_configured:
        vault.put(name, text)
    else:
        sealed, seed_id = Seals(services.settings).seal(text)
        beside = partial(provider_keys.put, key=SealedKey(name, sealed, seed_id))
    act = Act(
        actor, "key.put", name, {"last4": last4_of(text), "where": "vault" if vault.is_configured else "database"}
    )
    _change(services, act, lambda state: state, beside=beside)


def delete_key(services: Services, actor: str, provider: str) -> None:
    """Take a stored key away, from Vault and from the database; a variable's counts then.

    Raises UserError for a provider that takes none, ProviderError where Vault fails.
    """
    name = _require_keyed(provider).name
    if services.models.vault.is_configured:
        services.models.vault.remove(name)
    remove = partial(provider_keys.remove, provider=name)
    _change(services, Act(actor, "key.delete", name), lambda state: state, beside=remove, is_urgent=True)


def rotate_keys(services: Services, actor: str) -> int:
    """Seal all stored keys anew with the present seed; returns how many. SealError for an unknown seed."""
    seals = Seals(services.settings)
    with services.database.transaction() as session:
        stored = provider_keys.all_keys(session)
    anew = [(key, *seals.seal(seals.open(key.sealed, key.seed_id))) for key in stored]

    def put(session: Session) -> None:
        for key, sealed, seed_id in anew:
            provider_keys.put(session, key._replace(sealed=sealed, seed_id=seed_id))

    _change(services, Act(actor, "keys.rotate", "all", {"count": len(anew)}), lambda state: state, beside=put)
    return len(anew)


def known_provider(name: str) -> Provider:
    """Return the provider of a name. Raises UserError that lists them."""
    found = find_provider(name)
    if found is None:
        raise UserError(f"{name!r} is no provider; use one of {', '.join(PROVIDERS)}")
    return found


def _require_keyed(name: str) -> Provider:
    provider = known_provider(name)
    if provider.name not in KEY_FIELDS:
        raise UserError(f"{provider.name} takes no key that is stored here; configure it by its variables")
    return provider


def reload(services: Services, actor: str) -> ModelState:
    """Let every process read its RCA_LLM_CONFIG again. Raises ConfigError where this one's cannot work."""
    return _change(services, Act(actor, "reload", "RCA_LLM_CONFIG"), lambda state: state)


def _shorter(left: tuple[Any, ...], before: tuple[Any, ...], otherwise: str) -> tuple[Any, ...]:
    if len(left) == len(before):
        raise NotFoundError(otherwise)
    return left


def _change(
    services: Services,
    act: Act,
    apply: Apply,
    *,
    beside: Callable[[Session], object] = _nothing,
    is_urgent: bool = False,
) -> ModelState:
    """Make the change, if what comes of it can work or it cannot wait; say a refusal in the chain too."""
    try:
        with services.database.transaction() as session:
            state = generations.change(session, act, apply)
            beside(session)
            if not is_urgent:
                _require_working(services, session, state)
    except UserError as error:
        with services.database.transaction() as session:
            refused = Act(act.actor, act.action, act.subject, {"reason": str(error)[:500]}, outcome=audit.REFUSED)
            audit.append(session, refused)
        raise
    services.models.tell(state.generation)
    services.models.refresh()
    return state


def _require_working(services: Services, session: Session, state: ModelState) -> None:
    """Raise UserError where no router can be built with it."""
    keys = services.models.open_keys(provider_keys.all_keys(session))
    try:
        standing = read_standing(services.settings, state, keys)
        Router(standing.settings, source=lambda: standing)
    except ConfigError as error:
        raise UserError(f"it would not work: {error}") from error


def current_key(services: Services, provider: Provider) -> SecretStr | None:
    """Return the key that counts now, stored or a variable's."""
    field = KEY_FIELDS.get(provider.name)
    value: SecretStr | None = getattr(services.models.latest().settings, field) if field else None
    return value
