"""Aliases, access rules, prices and the audit chain, over HTTP: `/admin/api/v1`."""

from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response

from worker import managing
from worker.domain.conversation import Route
from worker.domain.model_state import AccessRule, Alias, PriceOverride
from worker.llm.access import one_name
from worker.services import Services
from worker.storage import audit
from worker.web.answers import GUARDED, failures
from worker.web.identity import Here, Manager
from worker.web.model_answers import (
    AccessAnswer,
    AccessBody,
    AccessesAnswer,
    AliasAnswer,
    AliasBody,
    AliasesAnswer,
    AuditAnswer,
    AuditsAnswer,
    ModelAnswerLine,
    ModelsAnswer,
    PriceAnswer,
    PricesAnswer,
)
from worker.web.refusals import refusal


async def _require_switched_on(services: Here, _identity: Manager) -> None:
    if services.settings.aurora_master_key is None:
        raise refusal(503, "feature_unavailable", "the admin API is off; set AURORA_MASTER_KEY to switch it on")


router = APIRouter(prefix="/admin/api/v1", dependencies=[Depends(_require_switched_on)])

MAX_SEQ = 2**31 - 1  # what the column holds
NamePath = Annotated[str, Path(min_length=1, max_length=200)]
SelectorPath = Annotated[str, Path(min_length=1, max_length=300)]
GONE: dict[int | str, dict[str, Any]] = {204: {"description": "It is gone."}}


@router.get("/models", responses=failures(*GUARDED))
def get_models(services: Here, _identity: Manager) -> ModelsAnswer:
    """List every model that can be named now, with the rule that names it and its aliases."""
    rules = {rule.selector: rule for rule in services.models.get().state.rules}
    aliases = services.router.aliases()
    listed = services.router.listed(services.discovered.find)
    return ModelsAnswer(models=tuple(_line(services, route, rules=rules, aliases=aliases) for route in listed))


def _line(
    services: Services, route: Route, *, rules: dict[str, AccessRule], aliases: Iterable[Alias]
) -> ModelAnswerLine:
    selector = f"{route.provider}/{one_name(route.model)}"
    rule = rules.get(selector) or rules.get(route.label)
    return ModelAnswerLine(
        selector=selector,
        provider=route.provider,
        model=route.model,
        context_window=route.context_window,
        max_output_tokens=route.max_output_tokens,
        price_source=route.price.source if route.price else None,
        override=_access(services, rule) if rule else None,
        aliases=tuple(sorted(alias.name for alias in aliases if alias.target in {selector, route.label})),
    )


# Aliases


@router.get("/aliases", responses=failures(*GUARDED))
def get_aliases(services: Here, _identity: Manager) -> AliasesAnswer:
    """List the aliases, those of RCA_LLM_CONFIG too."""
    return AliasesAnswer(aliases=tuple(_alias(services, alias) for alias in services.router.aliases()))


@router.put("/aliases/{name:path}", responses=failures(400, 404, *GUARDED))
def put_alias(services: Here, identity: Manager, name: NamePath, body: AliasBody) -> AliasAnswer:
    """Add or replace an alias, for all workers at once. An alias leads one hop, to something that is known."""
    alias = Alias(name=name, target=body.selector, enabled=body.enabled, description=body.description)
    return _alias(services, managing.put_alias(services, identity.name, alias))


@router.delete("/aliases/{name:path}", status_code=204, responses=GONE | failures(404, *GUARDED))
def delete_alias(services: Here, identity: Manager, name: NamePath) -> Response:
    """Take an alias away, for all workers at once."""
    managing.delete_alias(services, identity.name, name)
    return Response(status_code=204)


def _alias(services: Services, alias: Alias) -> AliasAnswer:
    return AliasAnswer(**alias.model_dump(), valid=services.router.is_target(alias.target))


# Access rules


@router.get("/model-overrides", responses=failures(*GUARDED))
def get_overrides(services: Here, _identity: Manager) -> AccessesAnswer:
    """List the access rules."""
    return AccessesAnswer(overrides=tuple(_access(services, rule) for rule in services.models.get().state.rules))


@router.put("/model-overrides/{selector:path}", responses=failures(400, 404, *GUARDED))
def put_override(services: Here, identity: Manager, selector: SelectorPath, body: AccessBody) -> AccessAnswer:
    """Say who may use what the selector names (`/`, `provider/`, `provider/model`, a name), for all workers at once."""
    rule = AccessRule(selector=selector, enabled=body.enabled, user_paths=body.user_paths)
    return _access(services, managing.put_rule(services, identity.name, rule))


@router.delete("/model-overrides/{selector:path}", status_code=204, responses=GONE | failures(404, *GUARDED))
def delete_override(services: Here, identity: Manager, selector: SelectorPath) -> Response:
    """Take a rule away, for all workers at once."""
    managing.delete_rule(services, identity.name, selector)
    return Response(status_code=204)


def _access(services: Services, rule: AccessRule) -> AccessAnswer:
    return AccessAnswer(**rule.model_dump(), valid=services.router.is_selector(rule.selector))


# Prices


@router.get("/model-pricing", responses=failures(*GUARDED))
def get_prices(services: Here, _identity: Manager) -> PricesAnswer:
    """List the prices that operators have set."""
    return PricesAnswer(pricing=tuple(_price(services, price) for price in services.models.get().state.prices))


@router.put("/model-pricing/{selector:path}", responses=failures(400, 404, *GUARDED))
def put_price(services: Here, identity: Manager, selector: SelectorPath, body: dict[str, Any]) -> PriceAnswer:
    """Set the price of `provider/model` or of a model anywhere, in the words of RCA_LLM_CONFIG's `pricing`."""
    price = PriceOverride(selector=selector, pricing=body)
    return _price(services, managing.put_price(services, identity.name, price))


@router.delete("/model-pricing/{selector:path}", status_code=204, responses=GONE | failures(404, *GUARDED))
def delete_price(services: Here, identity: Manager, selector: SelectorPath) -> Response:
    """Take a price away; the lists below it count again."""
    managing.delete_price(services, identity.name, selector)
    return Response(status_code=204)


def _price(services: Services, price: PriceOverride) -> PriceAnswer:
    return PriceAnswer(**price.model_dump(), valid=services.router.is_selector(price.selector))


# The audit chain


@router.get("/audit", responses=failures(400, *GUARDED))
def get_audit(
    services: Here,
    _identity: Manager,
    *,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    before: Annotated[int | None, Query(ge=1, le=MAX_SEQ, description="Only rows before this one.")] = None,
) -> AuditsAnswer:
    """List what was done to models and keys and what was refused, newest first."""
    with services.database.transaction() as session:
        found = audit.page(session, limit=limit + 1, before=before)
    shown = found[:limit]
    following = shown[-1].seq if len(found) > limit else None
    return AuditsAnswer(entries=tuple(map(AuditAnswer.model_validate, shown)), next=following)
