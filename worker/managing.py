"""Changes of models while the product runs: each is one generation and one row of the audit chain, or refused whole.

What would leave the configuration unable to work is refused, and nothing of it is kept but the refusal's row.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from pydantic import SecretStr, ValidationError
from sqlalchemy.orm import Session

from worker.domain.incident import clean_user_path
from worker.domain.model_state import AccessRule, Alias, Backend, ModelState, PriceOverride
from worker.errors import ConfigError, NotFoundError, RouteError, UserError, WorkerError
from worker.llm.config_file import Pricing, locate
from worker.llm.providers import PROVIDERS, Provider, find_provider
from worker.llm.routing import Router
from worker.llm.sealing import Seals
from worker.llm.standing import ADDRESS_FIELDS, KEY_FIELDS, StoredKeys, read_standing
from worker.services import Services
from worker.settings import Settings
from worker.storage import audit, generations, provider_keys
from worker.storage.audit import Act
from worker.storage.provider_keys import SealedKey, last4_of

Apply = Callable[[ModelState], ModelState]
Beside = Callable[[Session], object]
"""What is written in the transaction of a change."""
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
    _delete(services, Act(actor, "alias.delete", name), "aliases", by="name", otherwise=f"there is no alias {name!r}")


# Access rules


def put_rule(services: Services, actor: str, rule: AccessRule) -> AccessRule:
    """Add or replace the rule of a selector. Raises UserError for paths that are none, or for none at all."""
    act = Act(actor, "access.put", rule.selector.strip())
    with _refusals_kept(services, act):
        clean = _clean_rule(rule)
    _put(services, replace(act, detail=clean.model_dump(mode="json")), "rules", clean)
    return clean


def _clean_rule(rule: AccessRule) -> AccessRule:
    try:
        paths = tuple(dict.fromkeys(clean_user_path(path) for path in rule.user_paths))
    except ValueError as error:
        raise UserError(str(error)) from error
    if not rule.selector.strip():
        raise UserError("a rule needs a selector: /, provider/, provider/model, or a model's or alias's name")
    if rule.enabled and not paths:
        raise UserError("an enabled rule needs user_paths, at least one; / stands for everybody")
    return rule.model_copy(update={"user_paths": paths, "selector": rule.selector.strip()})


def delete_rule(services: Services, actor: str, selector: str) -> None:
    """Take a rule away. Raises NotFoundError."""
    act = Act(actor, "access.delete", selector)
    _delete(services, act, "rules", by="selector", otherwise=f"there is no rule for {selector!r}")


# Prices


def put_price(services: Services, actor: str, price: PriceOverride) -> PriceOverride:
    """Add or replace the operator's price of a selector. Raises UserError that names the field that is wrong."""
    act = Act(actor, "price.put", price.selector.strip())
    with _refusals_kept(services, act):
        clean = _clean_price(price)
    _put(services, replace(act, detail=clean.pricing), "prices", clean)
    return clean


def _clean_price(price: PriceOverride) -> PriceOverride:
    try:
        pricing = Pricing.model_validate(price.pricing).model_dump(mode="json", exclude_none=True)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    return PriceOverride(selector=price.selector.strip(), pricing=pricing)


def delete_price(services: Services, actor: str, selector: str) -> None:
    """Take a price away. Raises NotFoundError."""
    act = Act(actor, "price.delete", selector)
    _delete(services, act, "prices", by="selector", otherwise=f"there is no price of {selector!r}")


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
    with _refusals_kept(services, Act(actor, "config.put", provider)):
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
    act = Act(actor, "key.put", provider, {"last4": last4_of(key.strip())})
    with _refusals_kept(services, act):
        name, where, beside = _store(services, provider, key.strip())
    act = replace(act, subject=name, detail={**act.detail, "where": where})
    _change(services, act, lambda state: state, beside=beside)


def _store(services: Services, provider: str, key: str) -> tuple[str, str, Beside]:
    """Seal a key, or put it into Vault; return whose it is, where it is kept, and what goes beside the change."""
    name = _require_keyed(provider).name
    if not key:
        raise UserError("api_key is blank; send the provider's key")
    services.redactor.learn([key])
    if services.models.vault.is_configured:
        services.models.vault.put(name, key)
        return name, "vault", _nothing
    sealed, seed_id = Seals(services.settings).seal(key)
    return name, "database", partial(provider_keys.put, key=SealedKey(name, sealed, seed_id))


def delete_key(services: Services, actor: str, provider: str) -> None:
    """Take a stored key away, from Vault and from the database; a variable's counts then.

    Raises UserError for a provider that takes none, ProviderError where Vault fails.
    """
    act = Act(actor, "key.delete", provider)
    with _refusals_kept(services, act):
        name = _require_keyed(provider).name
        if services.models.vault.is_configured:
            services.models.vault.remove(name)
    remove = partial(provider_keys.remove, provider=name)
    _change(services, replace(act, subject=name), lambda state: state, beside=remove, is_urgent=True)


def rotate_keys(services: Services, actor: str) -> int:
    """Seal all stored keys anew with the present seed; returns how many. SealError for an unknown seed."""
    act = Act(actor, "keys.rotate", "all")
    with _refusals_kept(services, act):
        anew = _seal_anew(services)

    def put(session: Session) -> None:
        for key in anew:
            provider_keys.put(session, key)

    _change(services, replace(act, detail={"count": len(anew)}), lambda state: state, beside=put)
    return len(anew)


def _seal_anew(services: Services) -> list[SealedKey]:
    seals = Seals(services.settings)
    with services.database.transaction() as session:
        stored = provider_keys.all_keys(session)
    return [SealedKey(key.provider, *seals.seal(seals.open(key.sealed, key.seed_id))) for key in stored]


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


def _put(services: Services, act: Act, field: str, new: AccessRule | PriceOverride) -> None:
    """Add one to a field of the state, in the place of what its selector has there."""

    def apply(state: ModelState) -> ModelState:
        others = (other for other in getattr(state, field) if other.selector != new.selector)
        return state.model_copy(update={field: (*others, new)})

    _change(services, act, apply)


def _delete(services: Services, act: Act, field: str, *, by: str, otherwise: str) -> None:
    """Take what goes by the act's subject out of a field of the state. Raises NotFoundError with `otherwise`."""

    def apply(state: ModelState) -> ModelState:
        before = getattr(state, field)
        left = tuple(one for one in before if getattr(one, by) != act.subject)
        if len(left) == len(before):
            raise NotFoundError(otherwise)
        return state.model_copy(update={field: left})

    _change(services, act, apply)


def _change(
    services: Services, act: Act, apply: Apply, *, beside: Beside = _nothing, is_urgent: bool = False
) -> ModelState:
    """Make the change, if what comes of it can work or it cannot wait."""
    with _refusals_kept(services, act):
        in_vault = {} if is_urgent else services.models.read_vault()
        with services.database.transaction() as session:
            state = generations.change(session, act, apply)
            beside(session)
            if not is_urgent:
                keys = services.models.open_keys(provider_keys.all_keys(session), in_vault)
                _require_working(services.settings, state, keys)
    services.models.tell(state.generation)
    services.models.refresh()
    return state


@contextmanager
def _refusals_kept(services: Services, act: Act) -> Iterator[None]:
    """Say in the chain what was refused, or could not be done."""
    try:
        yield
    except WorkerError as error:
        subject, reason = (services.redactor.scrub(text) for text in (act.subject[:300], str(error)[:500]))
        refused = replace(act, subject=subject, detail={"reason": reason}, outcome=audit.REFUSED)
        with services.database.transaction() as session:
            audit.append(session, refused)
        raise


def _require_working(settings: Settings, state: ModelState, keys: StoredKeys) -> None:
    """Raise UserError where no router can be built with it."""
    try:
        standing = read_standing(settings, state, keys)
        Router(standing.settings, source=lambda: standing)
    except ConfigError as error:
        raise UserError(f"it would not work: {locate(str(error), path=settings.rca_llm_config)}") from error


def current_key(services: Services, provider: Provider) -> SecretStr | None:
    """Return the key that counts now, stored or a variable's."""
    field = KEY_FIELDS.get(provider.name)
    value: SecretStr | None = getattr(services.models.latest().settings, field) if field else None
    return value
