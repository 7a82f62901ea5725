"""Who asks, and may they: a token, sent as a bearer or as a browser sends passwords, or the local operator.

With tokens configured, every answer that tells or changes anything wants one: `Authorization: Bearer TOKEN` from
programs, and from browsers the token as the password of HTTP Basic under any user name. RCA_API_TOKEN is a token with
all scopes and the path `/`. With no token at all the server is bound to loopback, and whoever is on this machine is
its operator; then the request has to be sent to a loopback name, so that no site can reach it under its own.
"""

import base64
import binascii
from collections.abc import Callable, Coroutine, Sequence
from hmac import compare_digest
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.exceptions import HTTPException

from worker.services import Services
from worker.storage import tokens
from worker.storage.tokens import SCOPES, Identity
from worker.web import origin
from worker.web.gathering import Gathering
from worker.web.refusals import refusal

INCIDENTS_WRITE, REPORTS_READ, INVESTIGATIONS_WRITE, USERS_MANAGE, MODELS_USE = SCOPES
EVERYTHING = frozenset(SCOPES)


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
    identities: Identities = request.app.state.identities
    secret = _secret(request.headers.get("authorization", ""))
    if secret is None:
        return await _local_operator(request, services, identities)
    for name in ("rca_api_token", "aurora_master_key"):
        own = getattr(services.settings, name)
        if own is not None and compare_digest(secret.encode(), own.get_secret_value().encode()):
            return Identity(name.upper(), EVERYTHING, "/")
    found = await identities.ask(secret)
    if found is None:
        raise _unknown(request, "the token is unknown, expired or revoked")
    return found


Identities = Gathering[str | None, Identity | None]


def identities_of(services: Services) -> Identities:
    """Return what says who holds a secret, and whom this machine is without one; None for nobody.

    The same secret in requests of one moment is looked up once. Nothing is remembered: a token that was revoked
    before a request came does not serve it.
    """
    return Gathering(lambda secrets: _look_up(services, secrets))


def _look_up(services: Services, secrets: Sequence[str | None]) -> list[Identity | None]:
    found = {secret: _holder(services, secret) for secret in set(secrets)}
    return [found[secret] for secret in secrets]


def _holder(services: Services, secret: str | None) -> Identity | None:
    if secret is None:
        return None if has_tokens(services) else Identity("local operator", EVERYTHING, "/")
    with services.database.transaction() as session:
        return tokens.identify(session, secret)


def has_tokens(services: Services) -> bool:
    """Say whether anybody was ever given a token: from then on, all need one."""
    if services.settings.rca_api_token is not None or services.settings.aurora_master_key is not None:
        return True
    with services.database.transaction() as session:
        return tokens.is_any(session)


async def _local_operator(request: Request, services: Services, identities: Identities) -> Identity:
    is_near = origin.is_private(services.settings) and origin.is_from_this_machine(request)
    operator = await identities.ask(None) if is_near else None
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
