"""Callers' own model accounts: handed in for a handle, or with an incident; tried first where that is asked for."""

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import APIRouter

from worker import handover
from worker.domain.callers import CallersModel
from worker.errors import (
    ByoCredentialExpiredError,
    InvalidRequestError,
    ModelNotFoundError,
    ProviderAuthError,
    ProviderError,
    ProviderQuotaError,
    ProviderRateLimitedError,
    RouteError,
    UserError,
    WorkerError,
)
from worker.services import Services
from worker.web.answers import GUARDED, HandleAnswer, failures
from worker.web.identity import Here, Writer
from worker.web.refusals import refusal

router = APIRouter()

_STATUSES: tuple[tuple[type[WorkerError], int], ...] = (
    (ProviderAuthError, 401),
    (RouteError, 422),
    (ModelNotFoundError, 422),
    (InvalidRequestError, 422),
    (ProviderRateLimitedError, 429),
    (ProviderQuotaError, 429),
)


@router.post("/v1/llm/handles", status_code=201, responses=failures(400, 422, 429, *GUARDED))
def post_handle(services: Here, identity: Writer, body: CallersModel) -> HandleAnswer:
    """Hand in an account; its handle goes on the queue in its place, for incidents of the token's path and below."""
    if body.handle is not None:
        raise UserError("llm.handle: is what this answers; send provider, model and key")
    handle = hand_in(services, body, user_path=identity.user_path)
    return HandleAnswer(handle=handle, expires_in_s=round(services.settings.rca_byo_ttl_s))


def hand_in(services: Services, llm: CallersModel, *, user_path: str) -> str:
    """Seal an account and return its handle; where a preflight is asked for and fails, refuse and keep nothing."""
    with refusing(services, llm):
        return handover.hand_in(services, llm, user_path=user_path)


@contextmanager
def refusing(services: Services, llm: CallersModel | None) -> Iterator[None]:
    """Say of an account that cannot be asked, or is no longer kept, why not."""
    try:
        yield
    except ByoCredentialExpiredError as error:
        raise refusal(400, error.reason, f"llm.handle: {error}") from None
    except (ProviderError, RouteError) as error:
        status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 503)
        wait_s = getattr(error, "retry_after_s", None)
        headers = {"Retry-After": str(int(wait_s) + 1)} if wait_s else {}
        message = services.redactor.scrub(str(error))
        provider = (llm.provider if llm else None) or ""
        raise refusal(status, "llm_provider_error", message, headers=headers, provider=provider) from None
