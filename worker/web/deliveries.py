"""Deliveries: which reports went where, and sending one again."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from worker.domain.states import DeliveryStatus
from worker.storage import deliveries
from worker.storage.deliveries import Filter
from worker.web.answers import GUARDED, DeliveriesAnswer, DeliveryAnswer, ResentAnswer, failures
from worker.web.identity import Here, Operator, Reader
from worker.web.investigations import BeforeQuery, LimitQuery

router = APIRouter(prefix="/v1/deliveries")

_ID = r"^[A-Za-z0-9_.-]{1,80}$"
StatusQuery = Annotated[DeliveryStatus | None, Query(description="Only those in this status.")]
OwnerQuery = Annotated[str | None, Query(pattern=_ID, description="Only those of this investigation.")]
DeliveryPath = Annotated[str, Path(pattern=_ID)]


@router.get("", responses=failures(400, *GUARDED))
def get_deliveries(
    services: Here,
    identity: Reader,
    *,
    status: StatusQuery = None,
    investigation: OwnerQuery = None,
    before: BeforeQuery = None,
    limit: LimitQuery = 50,
) -> DeliveriesAnswer:
    """List deliveries below the token's path, newest first."""
    with services.database.transaction() as session:
        found = deliveries.page(session, Filter(identity.user_path, status, investigation, before, limit + 1))
    shown = found[:limit]
    following = shown[-1].id if len(found) > limit else None
    return DeliveriesAnswer(deliveries=tuple(map(DeliveryAnswer.model_validate, shown)), next=following)


@router.post("/{delivery_id}/resend", status_code=202, responses=failures(400, 404, *GUARDED))
def resend_delivery(services: Here, identity: Operator, delivery_id: DeliveryPath) -> ResentAnswer:
    """Send a report again under the same idempotency key. One on its way is refused with 400."""
    with services.database.transaction() as session:
        destination = deliveries.resend(session, delivery_id, user_path=identity.user_path)
    return ResentAnswer(delivery_id=delivery_id, destination=destination)
