"""Whom the cookie of a browser stands for, as long as what began its session holds."""

from dataclasses import replace
from datetime import timedelta

from fastapi import Request, Response
from sqlalchemy.orm import Session

from worker.services import Services
from worker.settings import Settings
from worker.sign_in import SignIn
from worker.storage import sessions, tokens
from worker.storage.session_tables import SessionRow
from worker.storage.sessions import Beginning
from worker.storage.tokens import SCOPES, Identity

COOKIE = "rca_session"
TOKEN, ISSUER = "token", "oidc"
EVERYTHING = frozenset(SCOPES)
_VARIABLES = ("rca_api_token", "aurora_master_key")


def own_secrets(settings: Settings) -> dict[str, str]:
    """Return the secrets that the operator chose, each a token with all scopes, by variable."""
    given = ((name.upper(), getattr(settings, name)) for name in _VARIABLES)
    return {name: value.get_secret_value() for name, value in given if value is not None}


def is_secure(settings: Settings) -> bool:
    """Say whether people reach us over TLS, so that cookies are for that alone."""
    return (settings.rca_public_url or "").lower().startswith("https://")


def cookie_name(settings: Settings, name: str = COOKIE) -> str:
    """Return a cookie's name; over TLS one that no other host of the domain can set."""
    return f"__Host-{name}" if is_secure(settings) else name


def cookie_of(request: Request, settings: Settings) -> str | None:
    return request.cookies.get(cookie_name(settings)) or None


def begin(services: Services, beginning: Beginning, response: Response) -> None:
    """Begin a session, and give its cookie to the browser."""
    lasts = timedelta(hours=services.settings.rca_session_hours)
    with services.database.transaction() as session:
        secret = sessions.begin(session, beginning, lasts=lasts)
    put_cookie(response, services.settings, COOKIE, secret, max_age_s=round(lasts.total_seconds()))


def put_cookie(response: Response, settings: Settings, name: str, value: str, *, max_age_s: int) -> None:
    """Give the browser a cookie that no script reads and no other site sends with a form; 0 seconds: take it away."""
    response.set_cookie(
        cookie_name(settings, name),
        value,
        max_age=max_age_s,
        httponly=True,
        samesite="lax",
        secure=is_secure(settings),
    )


def of_secret(identity: Identity, secret: str) -> Beginning:
    """Return what a session begins with that somebody got by a secret: a token, or that of a variable."""
    if identity.token_id is not None:
        return Beginning(TOKEN, identity.name, token_id=identity.token_id)
    return Beginning(identity.name, identity.name, bond=secret)


def identify(session: Session, settings: Settings, sign_in: SignIn | None, secret: str) -> Identity | None:
    """Return whose session this is; None where there is none, or what began it is gone, which ends it."""
    row = sessions.find(session, secret)
    if row is None:
        return None
    found = _begun(session, row, settings, sign_in, secret=secret)
    if found is None:
        sessions.end(session, secret)
        return None
    return replace(found, has_session=True)


def _begun(
    session: Session, row: SessionRow, settings: Settings, sign_in: SignIn | None, *, secret: str
) -> Identity | None:
    """Return who began it, as it stands now with what it was begun by."""
    if row.token_id is not None:
        return tokens.identify_by_id(session, row.token_id)
    if row.begun_by == ISSUER:
        is_same = sign_in is not None and sessions.is_bound(row, secret, sign_in.bond)
        grant = sign_in.grant_of(row.groups) if sign_in and is_same else None
        return Identity(row.name, grant.scopes, grant.user_path) if grant else None
    own = own_secrets(settings).get(row.begun_by)
    is_same = own is not None and sessions.is_bound(row, secret, own)
    return Identity(row.name, EVERYTHING, "/") if is_same else None
