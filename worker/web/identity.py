"""Who asks, and may they: a token, sent as a bearer or as a browser sends passwords, a session, the local operator.

With tokens configured, every answer that tells or changes anything wants one: `Authorization: Bearer TOKEN` from
programs, and from browsers the cookie of a session, or the token as the password of HTTP Basic under any user name.
RCA_API_TOKEN is a token with all scopes and the path `/`. With no token at all the server is bound to loopback, and
whoever is on this machine is its operator; then the request has to be sent to a loopback name, so that no site can
reach it under its own.
"""

import base64
import binascii
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.exceptions import HTTPException

from worker.services import Services
from worker.settings import Settings
from worker.storage.tokens import SCOPES, Identity
from worker.web import origin, sessions
from worker.web.credentials import Claim, Credentials
from worker.web.gathering import Gathering
from worker.web.refusals import refusal

INCIDENTS_WRITE, REPORTS_READ, INVESTIGATIONS_WRITE, USERS_MANAGE, MODELS_USE = SCOPES
_READING = {"GET", "HEAD", "OPTIONS"}


async def services_of(request: Request) -> Services:
    """Return the services this app was created with. `async`, for FastAPI sends a plain function to a thread."""
    services: Services = request.app.state.services
    return services


Here = Annotated[Services, Depends(services_of)]


def require(scope: str) -> Callable[..., Coroutine[Any, Any, Identity]]:
    """Return the dependency that lets through whoever has the scope, and says who it is."""

    async def identified(request: Request, services: Here) -> Identity:
        if origin.is_cross_site(request, services.settings):
            raise refusal(403, "cross_site", "another site's page may not ask this; open it from here")
        identity = await identify(request, services)
        if scope not in identity.scopes:
            raise refusal(403, "scope_missing", f"this needs the scope {scope}, which the token does not have")
        return identity

    identified.scope = scope  # type: ignore[attr-defined]  # read by the test of every route's scope
    return identified


Writer = Annotated[Identity, Depends(require(INCIDENTS_WRITE))]
Reader = Annotated[Identity, Depends(require(REPORTS_READ))]


def may_manage(identity: Identity) -> bool:
    """Say whether models and keys, which are everybody's, are this one's to change."""
    return USERS_MANAGE in identity.scopes and identity.user_path == "/"


async def _manage(identity: Annotated[Identity, Depends(require(USERS_MANAGE))]) -> Identity:
    """Let through whoever may manage what holds for everybody."""
    if identity.user_path != "/":
        raise refusal(403, "path_not_allowed", "models and keys are everybody's; this needs a token of the path /")
    return identity


Manager = Annotated[Identity, Depends(_manage)]
Caller = Annotated[Identity, Depends(require(MODELS_USE))]
Operator = Annotated[Identity, Depends(require(INVESTIGATIONS_WRITE))]


async def identify(request: Request, services: Services) -> Identity:
    """Return who asks; refuse with 401 who does not say so."""
    settings, identities = services.settings, request.app.state.identities
    secret = _secret(request.headers.get("authorization", ""))
    cookie = sessions.cookie_of(request, settings) if secret is None else None
    if secret is None and cookie is None:
        return await _local_operator(request, services)
    found: Identity | None = await identities.ask(Claim(secret, cookie, origin.peer_of(request)))
    if found is None and secret is not None:
        raise _unknown(request, "the token is unknown, expired or revoked")
    if found is None:
        return await _local_operator(request, services)
    if found.has_session:
        _require_own_page(request, settings)
    return found


Identities = Gathering[Claim, Identity | None]


def identities_of(credentials: Credentials) -> Identities:
    """Return what says who sends a claim, and whom this machine is without one; None for nobody.

    The same secret in requests of one moment is looked up once.
    """
    return Gathering(credentials.look_up)


def _require_own_page(request: Request, settings: Settings) -> None:
    """Refuse a change that comes with a cookie, as a browser sends it for anybody, and not from a page of ours."""
    if request.method not in _READING and not origin.is_from_our_page(request, settings):
        raise refusal(403, "cross_site", "a change with a cookie has to come from our own page")


async def _local_operator(request: Request, services: Services) -> Identity:
    is_near = origin.is_private(services.settings) and origin.is_from_this_machine(request)
    operator: Identity | None = await request.app.state.identities.ask(Claim()) if is_near else None
    if operator is None:
        raise _unknown(request, "send a token: `Authorization: Bearer TOKEN`, or as the password in a browser")
    if not origin.is_addressed_locally(request):
        raise refusal(403, "foreign_host", "without a token only a loopback name such as 127.0.0.1 reaches this")
    return operator


def _secret(authorization: str) -> str | None:
    """Return the token of a header; None if there is none. Basic carries it as the password."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(value, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _unknown(request: Request, message: str) -> HTTPException:
    """Challenge programs for a bearer; on a page the browser is to ask for a password."""
    is_api = request.url.path.startswith("/v1/")
    challenge = 'Bearer realm="rca"' if is_api else 'Basic realm="rca", charset="UTF-8"'
    return refusal(401, "unauthorized", message, headers={"WWW-Authenticate": challenge})
