"""Pages to manage models: what there is, and forms that show what they change before they do."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from worker.errors import NotFoundError, UserError
from worker.llm.standing import KEY_FIELDS
from worker.services import Services
from worker.storage import audit
from worker.storage.tokens import Identity
from worker.web import model_admin, model_backends
from worker.web.body import RawBody
from worker.web.identity import Here, Manager
from worker.web.model_admin import MAX_SEQ
from worker.web.model_answers import AuditAnswer, ReachedAnswer
from worker.web.model_backends import ProviderPath
from worker.web.model_forms import FORMS, Form, Values, read_fields
from worker.web.templating import render

router = APIRouter(prefix="/models", include_in_schema=False, default_response_class=HTMLResponse)

PAGE_SIZE = 100
REDIRECT = 303  # a POST leads to a page that is read
APPLY, BACK = "apply", "back"

NameQuery = Annotated[str, Query(max_length=300)]
BeforeQuery = Annotated[int | None, Query(ge=1, le=MAX_SEQ)]
WordsQuery = Annotated[str, Query(alias="q", max_length=200)]


async def _said(body: RawBody) -> Values:
    return read_fields(body)


Said = Annotated[Values, Depends(_said)]


# What there is


@router.get("")
def show_models(services: Here, identity: Manager, words: WordsQuery = "") -> str:
    """Show every model that can be named now, or those with all the words in their names."""
    routes = {f"{route.provider}/{route.model}": route for route in services.router.listed(services.discovered.find)}
    lines = [
        (line, routes.get(f"{line.provider}/{line.model}"))
        for line in model_admin.get_models(services, identity).models
        if all(word.lower() in " ".join((line.selector, *line.aliases)).lower() for word in words.split())
    ]
    return _show(services, identity, "models.html.j2", lines=lines, words=words)


@router.get("/providers")
def show_providers(services: Here, identity: Manager) -> str:
    return _show_providers(services, identity)


@router.post("/providers/{provider}/test")
def press_test(services: Here, identity: Manager, provider: ProviderPath) -> str:
    """Call the provider's default model once, and show what came of it beside the provider."""
    return _show_providers(services, identity, tried=model_backends.call_provider(services, identity, provider))


@router.get("/aliases")
def show_aliases(services: Here, identity: Manager) -> str:
    """Show the aliases; those of the file are changed in the file, or covered by one of the same name."""
    stored = {alias.name for alias in services.models.get().state.aliases}
    aliases = model_admin.get_aliases(services, identity).aliases
    return _show(services, identity, "models_aliases.html.j2", aliases=aliases, stored=stored)


@router.get("/access")
def show_access(services: Here, identity: Manager) -> str:
    is_open = services.models.get().settings.models_enabled_by_default
    rules = model_admin.get_overrides(services, identity).overrides
    return _show(services, identity, "models_access.html.j2", rules=rules, is_open=is_open)


@router.get("/prices")
def show_prices(services: Here, identity: Manager) -> str:
    return _show(services, identity, "models_prices.html.j2", prices=model_admin.get_prices(services, identity).pricing)


@router.get("/audit")
def show_audit(services: Here, identity: Manager, before: BeforeQuery = None) -> str:
    return _show_audit(services, identity, before=before)


@router.post("/audit/verify")
def press_verify(services: Here, identity: Manager) -> str:
    """Read the whole chain, and say whether each row is as it was written."""
    with services.database.transaction() as session:
        fault = audit.find_fault(session)
    return _show_audit(services, identity, said=fault or "Every row is as it was written.", is_whole=fault is None)


# What is changed


def _find_form(kind: str) -> Form:
    found = next((form for form in FORMS if form.kind == kind), None)
    if found is None:
        raise NotFoundError("there is no such page")
    return found


@router.get("/{kind}/edit")
def show_form(
    services: Here, identity: Manager, form: Annotated[Form, Depends(_find_form)], name: NameQuery = ""
) -> str:
    """Show the form of one that is there, or an empty one."""
    now = form.read(services, name) if name else None
    return _show_form(services, identity, form, now or form.empty() | {form.key: name}, is_new=now is None)


@router.post("/{kind}/edit")
def press_edit(services: Here, identity: Manager, form: Annotated[Form, Depends(_find_form)], said: Said) -> Response:
    """Show what would change; what was shown is changed, unless something else changed in between."""
    values = form.clean(said)
    now, step = form.read(services, values[form.key]), said.get("step")
    if step == BACK:
        return HTMLResponse(_show_form(services, identity, form, values, is_new=now is None))
    if not form.is_secret and (step != APPLY or not _is_as_shown(services, said)):
        return HTMLResponse(_show_review(services, identity, form, values, now=now, is_stale=step == APPLY))
    try:
        form.put(services, identity.name, values)
    except UserError as error:
        problem = services.redactor.scrub(str(error))
        return HTMLResponse(_show_form(services, identity, form, values, is_new=now is None, problem=problem), 400)
    return RedirectResponse(form.home, REDIRECT)


@router.get("/{kind}/delete")
def ask_delete(services: Here, identity: Manager, form: Annotated[Form, Depends(_find_form)], name: NameQuery) -> str:
    """Show what would be gone, with the button that does it."""
    now = form.read(services, name) if form.delete else None
    if now is None:
        raise NotFoundError(f"there is no {form.noun} {name!r}")
    return _show(services, identity, "models_delete.html.j2", form=form, now=now)


@router.post("/{kind}/delete")
def press_delete(services: Here, identity: Manager, form: Annotated[Form, Depends(_find_form)], said: Said) -> Response:
    if form.delete is None:
        raise NotFoundError(f"{form.noun}: this is changed, not deleted")
    form.delete(services, identity.name, said.get(form.key, ""))
    return RedirectResponse(form.home, REDIRECT)


def _is_as_shown(services: Services, said: Values) -> bool:
    return said.get("generation") == str(services.models.latest().generation)


def _show_form(
    services: Services, identity: Identity, form: Form, values: Values, *, is_new: bool, problem: str = ""
) -> str:
    return _show(services, identity, "models_form.html.j2", form=form, values=values, is_new=is_new, problem=problem)


def _show_review(
    services: Services, identity: Identity, form: Form, values: Values, *, now: Values | None, is_stale: bool
) -> str:
    return _show(services, identity, "models_review.html.j2", form=form, values=values, now=now, is_stale=is_stale)


def _show_providers(services: Services, identity: Identity, tried: ReachedAnswer | None = None) -> str:
    found = model_backends.get_providers(services, identity)
    return _show(services, identity, "models_providers.html.j2", found=found, tried=tried, keyed=set(KEY_FIELDS))


def _show_audit(services: Services, identity: Identity, before: int | None = None, **verified: Any) -> str:
    found = model_admin.get_audit(services, identity, limit=PAGE_SIZE, before=before)
    return _show(services, identity, "models_audit.html.j2", found=found, **{"said": "", "is_whole": True} | verified)


def _show(services: Services, identity: Identity, template: str, **values: Any) -> str:
    """Render a page with what all of them say: the generation that counts now, and what was done last."""
    with services.database.transaction() as session:
        last = audit.page(session, limit=1)
    newest = AuditAnswer.model_validate(last[0]) if last else None
    return render(template, who=identity, generation=services.models.latest().generation, newest=newest, **values)
