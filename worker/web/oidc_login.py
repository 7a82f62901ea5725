"""Signing in with an issuer: the browser is sent there, comes back with a code, gets a session for its groups."""

import secrets
from hmac import compare_digest
from typing import Annotated, Any
from urllib.parse import quote, unquote

import structlog
from fastapi import APIRouter, Query, Request
from fastapi.exceptions import HTTPException
from fastapi.responses import RedirectResponse, Response

from worker.services import Services
from worker.settings import Settings
from worker.sign_in import SignIn
from worker.storage import audit
from worker.storage.audit import Act
from worker.storage.sessions import Beginning
from worker.web import navigation, origin, sessions
from worker.web.attempts import Attempt, IssuerUnavailableError, SignInRefusedError
from worker.web.identity import Here
from worker.web.login import SEE_OTHER, KnownHere, NextQuery
from worker.web.refusals import refusal

log = structlog.get_logger()

router = APIRouter(include_in_schema=False)

COOKIE = "rca_login"
ATTEMPT_S = 600
BACK = "/login/oidc/callback"
RETRY_AFTER_S = 10
MAX_CHARS = 300
_NAMES = ("preferred_username", "email", "sub")

Word = Annotated[str, Query(max_length=4000)]


@router.get("/login/oidc")
def leave(request: Request, services: Here, credentials: KnownHere, *, wanted: NextQuery = None) -> Response:
    """Send the browser to the issuer, with a cookie that only its way back fits."""
    attempt = Attempt(secrets.token_urlsafe(32))
    way_back = _way_back(request, services.settings)
    try:
        address = credentials.require_issuer().address_for(attempt, way_back=way_back)
    except IssuerUnavailableError as error:
        raise _unavailable(error) from error
    response = RedirectResponse(address, SEE_OTHER)
    value = f"{attempt.seed}.{quote(navigation.local_path(wanted), safe='')}"
    sessions.put_cookie(response, services.settings, COOKIE, value, max_age_s=ATTEMPT_S)
    return response


@router.get(BACK)
def come_back(
    request: Request, services: Here, credentials: KnownHere, *, code: Word = "", state: Word = "", error: Word = ""
) -> Response:
    """Begin a session for whom the issuer says it is. The cookie of the attempt serves once."""
    settings, issuer = services.settings, credentials.require_issuer()
    try:
        attempt, leads_to = _attempt(request, settings)
        _require_answer(attempt, code=code, state=state, error=error)
        claims = issuer.claims_for(attempt, code, way_back=_way_back(request, settings))
    except IssuerUnavailableError as unavailable:
        raise _unavailable(unavailable) from unavailable
    except SignInRefusedError as refused:
        log.warning("sign_in_refused", reason=str(refused))
        raise _refused(400, "this login does not hold, or was used before; sign in again", settings) from None
    response = RedirectResponse(leads_to, SEE_OTHER)
    sessions.put_cookie(response, settings, COOKIE, "", max_age_s=0)
    sessions.begin(services, _beginning(services, issuer.sign_in, claims), response)
    return response


def _attempt(request: Request, settings: Settings) -> tuple[Attempt, str]:
    """Return the attempt that this browser began, and where it leads. Raises SignInRefusedError where there is none."""
    seed, _, wanted = request.cookies.get(sessions.cookie_name(settings, COOKIE), "").partition(".")
    if not seed:
        raise SignInRefusedError("this browser began no login, or too long ago")
    return Attempt(seed), navigation.local_path(unquote(wanted))


def _require_answer(attempt: Attempt, *, code: str, state: str, error: str) -> None:
    """Raise SignInRefusedError for what is no answer to this attempt."""
    if not compare_digest(state.encode(), attempt.state.encode()):
        raise SignInRefusedError("the state is not that of this browser's login")
    if error or not code:
        raise SignInRefusedError(f"the issuer sent no code: {error[:100]}")


def _beginning(services: Services, sign_in: SignIn, claims: dict[str, Any]) -> Beginning:
    """Return what the session of this person begins with. Raises a refusal, 403, for whom no group lets in."""
    groups = _groups(claims.get(sign_in.groups_claim))
    given = next((str(claims[name]) for name in _NAMES if claims.get(name)), "")
    name = f"{sessions.ISSUER}:{given[:MAX_CHARS]}"
    if sign_in.grant_of(groups) is None:
        log.warning("sign_in_refused", reason="none of the groups is in RCA_OIDC_ACCESS", groups=groups[:MAX_CHARS])
        with services.database.transaction() as session:
            audit.append(session, Act(name, "login", sessions.ISSUER, {"reason": "no group"}, audit.REFUSED))
        said = "you are known, but none of your groups may see this; ask whoever runs it"
        raise _refused(403, said, services.settings)
    held = tuple(group for group in sign_in.grants if group in groups)
    return Beginning(sessions.ISSUER, name, bond=sign_in.bond, groups=held)


def _groups(claim: Any) -> list[str]:
    """Return the groups of a claim: a list of names, or one."""
    return [str(group) for group in (claim if isinstance(claim, list) else [claim]) if isinstance(group, str)]


def _way_back(request: Request, settings: Settings) -> str:
    """Return where the issuer sends people: below the public address, or the loopback name that was asked for."""
    if settings.rca_public_url is not None:
        return settings.rca_public_url.rstrip("/") + BACK
    if not origin.is_addressed_locally(request):
        raise refusal(403, "foreign_host", "only a loopback name such as 127.0.0.1 leads here; or set RCA_PUBLIC_URL")
    return f"http://{request.headers['host']}{BACK}"


def _refused(status: int, message: str, settings: Settings) -> HTTPException:
    """Refuse, and take the cookie of the attempt away."""
    gone = Response()
    sessions.put_cookie(gone, settings, COOKIE, "", max_age_s=0)
    return refusal(status, "sign_in_refused", message, headers={"Set-Cookie": gone.headers["set-cookie"]})


def _unavailable(error: IssuerUnavailableError) -> HTTPException:
    log.warning("issuer_unavailable", reason=str(error))
    said = "the service that you sign in with does not answer; try again, or sign in with a token"
    return refusal(503, "issuer_unavailable", said, headers={"Retry-After": str(RETRY_AFTER_S)})
