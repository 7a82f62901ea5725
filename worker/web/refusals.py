"""Errors become answers here, and only here: one shape for programs, a plain page for people."""

from dataclasses import dataclass, field
from http import HTTPStatus

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import HTTPException, RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import ClientDisconnect

from worker.errors import (
    EventError,
    NotFoundError,
    ProviderAuthError,
    ProviderUnavailableError,
    StorageUnavailableError,
    UserError,
)
from worker.web import navigation
from worker.web.answers import ErrorAnswer, ErrorDetail, LibraryError
from worker.web.headers import SECURITY_HEADERS
from worker.web.templating import render

log = structlog.get_logger()

RETRY_AFTER_S = 5
_IN_OPENAIS_WORDS = {"/v1/chat/completions", "/v1/models"}
_INTERNAL = HTTPStatus.INTERNAL_SERVER_ERROR


@dataclass(frozen=True)
class Refusal:
    """What is said of an error."""

    status: int
    error: str
    message: str
    headers: dict[str, str] = field(default_factory=dict)
    provider: str | None = None


_UNEXPECTED = Refusal(_INTERNAL, "internal_error", "something went wrong here; the log says what")
_FROM_OUTSIDE = (StarletteHTTPException, RequestValidationError, StorageUnavailableError)
_INPUT_ERRORS: tuple[tuple[type[Exception], int, str], ...] = (
    (NotFoundError, 404, "not_found"),
    (ProviderUnavailableError, 503, "provider_unavailable"),
    (ProviderAuthError, 503, "provider_auth"),
    (EventError, 400, "invalid_event"),
    (UserError, 400, "invalid_request"),
    (ClientDisconnect, 400, "disconnected"),
)
"""The first that fits; their messages are written for the caller."""


def refusal(
    status: int, error: str, message: str, *, headers: dict[str, str] | None = None, provider: str | None = None
) -> HTTPException:
    """Return the exception that a handler raises to refuse."""
    return HTTPException(status, detail={"error": error, "message": message, "provider": provider}, headers=headers)


def install_refusals(app: FastAPI) -> None:
    """Make the app answer every error in our shape."""
    for kind in (*_FROM_OUTSIDE, *(kind for kind, _, _ in _INPUT_ERRORS)):
        app.add_exception_handler(kind, answer_error)
    app.add_exception_handler(Exception, answer_error)


def answer_error(request: Request, error: Exception) -> Response:
    """Answer an error; the headers are set here too, for what was not expected is answered outside of all else."""
    said = describe(error)
    headers = dict(SECURITY_HEADERS) | said.headers
    if said.status == _INTERNAL:
        log.error("request_failed", error=type(error).__name__, route=getattr(request.scope.get("route"), "path", ""))
    if said.status == HTTPStatus.UNAUTHORIZED and navigation.leads_to_login(request):
        return RedirectResponse(navigation.login_url(request), HTTPStatus.SEE_OTHER, dict(SECURITY_HEADERS))
    if navigation.is_for_people(request):
        page = render("error.html.j2", title=HTTPStatus(said.status).phrase, message=said.message)
        return HTMLResponse(page, said.status, headers)
    detail = ErrorDetail(error=said.error, message=said.message, provider=said.provider)
    body = ErrorAnswer(detail=detail, error=_for_library(request, said))
    return JSONResponse(body.model_dump(exclude_none=True), said.status, headers)


def _for_library(request: Request, said: Refusal) -> LibraryError | None:
    if request.url.path not in _IN_OPENAIS_WORDS:
        return None
    return LibraryError(message=said.message, type=said.error, code=said.error)


def describe(error: Exception) -> Refusal:
    """Say what a caller may know of an error: of an unexpected one, nothing."""
    if isinstance(error, StarletteHTTPException):
        return _described(error)
    if isinstance(error, RequestValidationError):
        return _invalid(error)
    if isinstance(error, StorageUnavailableError):
        return Refusal(503, error.reason, f"{error}; try again", {"Retry-After": str(RETRY_AFTER_S)})
    ours = next(((status, word) for kind, status, word in _INPUT_ERRORS if isinstance(error, kind)), None)
    return Refusal(*ours, str(error)) if ours else _UNEXPECTED


def _described(error: StarletteHTTPException) -> Refusal:
    """Take our own words over, and give the framework's (no such path, no such method) our shape."""
    headers = dict(error.headers or {})
    if isinstance(error.detail, dict):
        return Refusal(error.status_code, headers=headers, **error.detail)
    status = HTTPStatus(error.status_code)
    return Refusal(error.status_code, status.name.lower(), status.phrase, headers)


def _invalid(error: RequestValidationError) -> Refusal:
    """Name the parameters that do not fit, never their values; an id that cannot be one names nothing."""
    problems = error.errors()
    if any(problem["loc"][0] == "path" for problem in problems):
        return Refusal(404, "not_found", "no such id")
    said = "; ".join(f"{'.'.join(map(str, problem['loc'][1:]))}: {problem['msg']}" for problem in problems)
    return Refusal(400, "invalid_request", said)
