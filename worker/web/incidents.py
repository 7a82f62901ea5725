"""Incidents in: one event, or a group of alerts; answered when they are on disk."""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import structlog
from fastapi import APIRouter, Header, Response
from fastapi.concurrency import run_in_threadpool

from worker.domain.callers import CallersModel
from worker.domain.incident import IncidentEvent, covers_path
from worker.errors import EventError, ModelAccessDeniedError
from worker.intake.alertmanager import SOURCE, parse_alertmanager
from worker.intake.events import Offer, parse_event, parse_object
from worker.ops import metrics
from worker.services import Services
from worker.storage.tokens import Identity
from worker.web.answers import GUARDED, AlertAnswer, IncidentAnswer, WebhookAnswer, failures
from worker.web.body import RawBody
from worker.web.callers import hand_in
from worker.web.door import AtDoor, Door
from worker.web.identity import Here, Writer
from worker.web.refusals import refusal

router = APIRouter()
log = structlog.get_logger()

VIA = "http"
MAX_ALERTS = 1000
SHORT_BYTES = 16_384
"""Read in 2 ms whatever it holds; a megabyte may take a second."""
SHOWN_REASONS = 10
_FAILURES = failures(400, 408, 413, *GUARDED)
_PREFLIGHT_FAILURES = failures(422, 429)
_REPEATED: dict[int | str, dict[str, Any]] = {
    200: {"model": IncidentAnswer, "description": "The same event was taken before."}
}
_EVENT_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/IncidentEvent"}}},
    }
}
_GROUP_BODY = {
    "requestBody": {
        "required": True,
        "description": "Alertmanager's webhook, version 4.",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
}


T = TypeVar("T")
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=500,
        description="Names the event where its field `idempotency_key` does not.",
    ),
]


@router.post(
    "/v1/incidents",
    status_code=202,
    openapi_extra=_EVENT_BODY,
    responses=_FAILURES
    | _PREFLIGHT_FAILURES
    | {200: {"model": IncidentAnswer, "description": "The same event was taken before."}},
)
async def post_incident(
    services: Here,
    door: AtDoor,
    identity: Writer,
    body: RawBody,
    *,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> IncidentAnswer:
    """Take one event in. The same idempotency key again is answered with the first ids."""
    try:
        event = _owned(await _read(parse_event, body), identity)
        if event.model:
            await run_in_threadpool(_require_access, services, event)
        if event.llm and event.llm.preflight and event.llm.handle is None:
            handle = await run_in_threadpool(hand_in, services, event.llm, user_path=event.user_path)
            event = event.model_copy(update={"llm": CallersModel(handle=handle)})
        accepted = await door.take(Offer(event, VIA, idempotency_key))
    except EventError as error:
        _note_rejected(str(error), source=VIA)
        raise
    if not accepted.is_new:
        response.status_code = 200
    return IncidentAnswer(
        incident_id=accepted.incident_id,
        outcome=accepted.outcome,
        investigation_id=accepted.investigation_id or None,
        status=accepted.status or None,
        folded=accepted.is_folded,
    )


@router.post("/v1/webhooks/alertmanager", status_code=202, openapi_extra=_GROUP_BODY, responses=_FAILURES)
async def post_alertmanager(door: AtDoor, identity: Writer, body: RawBody) -> WebhookAnswer:
    """Take in every alert of a group that can be read; 400 if none can."""
    group = await _read(parse_object, body)
    results = tuple([await _take(door, identity, group, index=index) for index in range(_count_alerts(group))])
    if all(result.outcome == "rejected" for result in results):
        raise EventError("; ".join(f"alert {r.index}: {r.message}" for r in results[:SHOWN_REASONS]))
    return WebhookAnswer(results=results)


async def _read(parse: Callable[[bytes], T], body: bytes) -> T:
    """Read a body; a long one in a thread, for it would hold up all other requests."""
    return parse(body) if len(body) <= SHORT_BYTES else await run_in_threadpool(parse, body)


def _count_alerts(group: dict[str, Any]) -> int:
    alerts = group.get("alerts")
    if not isinstance(alerts, list) or not 1 <= len(alerts) <= MAX_ALERTS:
        raise EventError(f"alerts: has to be a list of 1 to {MAX_ALERTS} alerts")
    return len(alerts)


async def _take(door: Door, identity: Identity, group: dict[str, Any], *, index: int) -> AlertAnswer:
    """Take one alert of a group in, or say why not: a bad one costs no other."""
    try:
        (event,) = await run_in_threadpool(parse_alertmanager, group | {"alerts": [group["alerts"][index]]})
        accepted = await door.take(Offer(_owned(event, identity), SOURCE))
    except EventError as error:
        _note_rejected(str(error), source=SOURCE)
        return AlertAnswer(index=index, outcome="rejected", message=str(error))
    return AlertAnswer(
        index=index,
        outcome=accepted.outcome,
        incident_id=accepted.incident_id,
        investigation_id=accepted.investigation_id or None,
        status=accepted.status or None,
    )


def _owned(event: IncidentEvent, identity: Identity) -> IncidentEvent:
    """Give an event without a path the token's; refuse one that lies elsewhere."""
    if "user_path" not in event.model_fields_set:
        return event.model_copy(update={"user_path": identity.user_path})
    if not covers_path(identity.user_path, event.user_path):
        raise refusal(403, "path_not_allowed", f"the token's events lie below {identity.user_path}")
    return event


def _require_access(services: Services, event: IncidentEvent) -> None:
    """Refuse a model that the event's path may not use; one that leads nowhere is said when it is looked into."""
    route = services.router.find(event.model) if event.model else None
    if route is None:
        return
    try:
        services.router.require_access([route], user_path=event.user_path)
    except ModelAccessDeniedError as error:
        raise refusal(403, error.reason, str(error)) from error


def _note_rejected(reason: str, *, source: str) -> None:
    metrics.EVENTS.labels(source=source, outcome="rejected").inc()
    log.warning("event_rejected", via=source, reason=reason)
