"""`/v1/chat/completions`: the models for other programs, in OpenAI's words."""

import time
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar
from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse, StreamingResponse

from worker import gateway
from worker.domain.ids import new_id
from worker.errors import (
    BudgetExceededError,
    ContextOverflowError,
    InvalidRequestError,
    LimitReachedError,
    ModelAccessDeniedError,
    ModelNotFoundError,
    ModelRefusedError,
    ProviderError,
    ProviderRateLimitedError,
    RouteError,
    StorageUnavailableError,
    TransientError,
    UserError,
    WorkerError,
)
from worker.llm.wires.reading import parse_json
from worker.web.answers import GUARDED, failures
from worker.web.body import RawBody
from worker.web.chat_format import ChatBody, Envelope, parse_chat, render_answer, render_stream, to_request
from worker.web.identity import Caller, Here
from worker.web.refusals import refusal

router = APIRouter()

AT_ONCE = 64
"""Calls of one process that wait for models at the same time, beside all other requests."""
_STATUSES: tuple[tuple[type[WorkerError], int], ...] = (
    (ModelAccessDeniedError, 403),
    (RouteError, 404),
    (ModelNotFoundError, 404),
    (BudgetExceededError, 429),
    (LimitReachedError, 429),
    (ProviderRateLimitedError, 429),
    (ContextOverflowError, 400),
    (InvalidRequestError, 400),
    (ModelRefusedError, 400),
    (TransientError, 503),
    (ProviderError, 502),
)
_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ChatBody"}}},
    }
}
_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer, or with `stream` server-sent events that end with `[DONE]`.",
        "content": {"application/json": {"schema": {"type": "object"}}, "text/event-stream": {}},
    }
}


@router.post(
    "/v1/chat/completions",
    response_class=Response,
    openapi_extra=_BODY,
    responses=_ANSWER | failures(400, 404, 408, 413, 429, 502, *GUARDED),
)
async def post_chat(services: Here, identity: Caller, body: RawBody) -> Response:
    """Ask a model or an alias: tools, forced tools, JSON of a schema; by the token's access rules and budgets."""
    asked = _read(body)
    work = partial(gateway.call, services, to_request(asked), model=asked.model, user_path=identity.user_path)
    try:
        found = await to_thread.run_sync(work, limiter=_limiter())
    except (UserError, StorageUnavailableError):
        raise
    except WorkerError as error:
        message = services.redactor.scrub(str(error))
        raise refusal(_status_of(error), error.reason, message, headers=_retry_after(error)) from error
    envelope = Envelope(found.name, new_id("chatcmpl"), int(time.time()))
    if not asked.stream:
        return JSONResponse(render_answer(found.answer, envelope))
    with_usage = bool(asked.stream_options and asked.stream_options.include_usage)
    events = render_stream(found.answer, envelope, with_usage=with_usage)
    return StreamingResponse(events, media_type="text/event-stream")


def _read(body: bytes) -> ChatBody:
    try:
        return parse_chat(parse_json(body))
    except ValueError as error:
        raise UserError("the body is not JSON") from error


_LIMITER: RunVar[CapacityLimiter] = RunVar("_LIMITER")


def _limiter() -> CapacityLimiter:
    """Return the limiter of this event loop: a waiting call takes no thread from other requests."""
    try:
        return _LIMITER.get()
    except LookupError:
        _LIMITER.set(limiter := CapacityLimiter(AT_ONCE))
        return limiter


def _status_of(error: WorkerError) -> int:
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)


def _retry_after(error: WorkerError) -> dict[str, str]:
    if isinstance(error, BudgetExceededError):
        now = datetime.now(UTC)
        midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
        return {"Retry-After": str(int((midnight - now).total_seconds()) + 1)}
    seconds = getattr(error, "retry_after_s", None)
    return {"Retry-After": str(int(seconds) + 1)} if seconds else {}
