"""The login page: a token once, then a session, until it is signed out of or what began it is gone."""

from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from worker.services import Services
from worker.storage import sessions as rows
from worker.web import navigation, origin, sessions
from worker.web.body import RawBody
from worker.web.credentials import FORM, Credentials
from worker.web.identity import Here
from worker.web.refusals import refusal
from worker.web.templating import render

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

SEE_OTHER = 303

NextQuery = Annotated[str | None, Query(alias="next", description="Where it leads.")]


async def credentials_of(request: Request) -> Credentials:
    credentials: Credentials = request.app.state.credentials
    return credentials


KnownHere = Annotated[Credentials, Depends(credentials_of)]


@router.get("/login")
def show_login(credentials: KnownHere, *, wanted: NextQuery = None) -> str:
    return _page(credentials, leads_to=navigation.local_path(wanted))


@router.post("/login")
def sign_in(request: Request, services: Here, credentials: KnownHere, body: RawBody) -> Response:
    """Begin a session with the token of the form. Raises a refusal, 429, after too many wrong ones."""
    if origin.is_cross_site(request, services.settings):
        raise refusal(403, "cross_site", "another site's page may not sign anybody in; open the login page")
    fields = parse_qs(body.decode("utf-8", "replace"))
    leads_to = navigation.local_path(fields.get("next", [None])[0])
    secret = fields.get("token", [""])[0].strip()
    identity = credentials.holder(secret, peer=origin.peer_of(request), via=FORM)
    if identity is None:
        page = _page(credentials, leads_to=leads_to, problem="This token is unknown, expired or revoked.")
        return HTMLResponse(page, 401)
    response = RedirectResponse(leads_to, SEE_OTHER)
    sessions.begin(services, sessions.of_secret(identity, secret), response)
    return response


@router.post("/logout")
def sign_out(request: Request, services: Here) -> Response:
    """End the session of the browser that asks, and take its cookie away."""
    response = RedirectResponse(navigation.LOGIN, SEE_OTHER)
    secret = sessions.cookie_of(request, services.settings)
    if secret is None:
        return response
    if not origin.is_from_our_page(request, services.settings):
        raise refusal(403, "cross_site", "signing out has to come from our own page")
    _end(services, secret)
    sessions.put_cookie(response, services.settings, sessions.COOKIE, "", max_age_s=0)
    return response


def _end(services: Services, secret: str) -> None:
    with services.database.transaction() as session:
        rows.end(session, secret)


def _page(credentials: Credentials, *, leads_to: str, problem: str | None = None) -> str:
    issuer = credentials.sign_in.host if credentials.sign_in else None
    return render("login.html.j2", leads_to=leads_to, problem=problem, issuer=issuer)
