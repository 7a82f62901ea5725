"""Sends one report to one destination: claimed, tried, and put back or given up, like any step."""

from collections.abc import Callable
from datetime import timedelta

import structlog
from sqlalchemy.orm import Session

from worker.errors import (
    DeliveryRefusedError,
    LeaseLostError,
    PermanentError,
    StorageUnavailableError,
    TransientError,
    WorkerError,
)
from worker.ops import metrics
from worker.reporting.destinations.port import Parcel
from worker.services import Services
from worker.storage import deliveries, reports
from worker.storage.database import database_now
from worker.storage.deliveries import DeliveryClaim

log = structlog.get_logger()

SETTLE_S = 20.0
"""What an attempt may take beyond its own time to store how it went; its lease ends after that."""
MAX_REASON_CHARS = 300


def deliver(services: Services, delivery_id: str) -> None:
    """Make one attempt. Safe to call more than once: one caller wins, the others end quietly."""
    with services.heartbeat.busy():
        if services.stopping.is_set():
            return  # it is told again, to a process that stays
        try:
            taken = _take(services, delivery_id)
        except StorageUnavailableError as error:
            log.debug("claim_postponed", delivery=delivery_id, error=error.reason)
            return
        if taken is not None:
            _attempt(services, *taken)


def send_due(services: Services, *, is_memory_lost: bool = False) -> None:
    """Tell workers of what is to be sent, and take back what a lost worker was sending. The sweeper calls this."""
    with services.database.transaction() as session:
        deliveries.take_back_expired(session, max_attempts=services.settings.rca_delivery_attempts)
        wake_ups = deliveries.take_due(session, is_memory_lost=is_memory_lost)
    services.send(wake_ups)


def _take(services: Services, delivery_id: str) -> tuple[DeliveryClaim, Parcel] | None:
    """Claim the delivery and read what is sent; None if another has it, or it is done or not due."""
    lease = timedelta(seconds=services.settings.rca_delivery_timeout_s + SETTLE_S)
    base = services.settings.rca_public_url
    with services.database.transaction() as session:
        claim = deliveries.claim(session, delivery_id, lease=lease)
        if claim is None:
            return None
        report = reports.get(session, claim.investigation_id)
        url = f"{base.rstrip('/')}/investigations/{claim.investigation_id}" if base else None
        return claim, Parcel(claim.id, database_now(session), report, url)


def _attempt(services: Services, claim: DeliveryClaim, parcel: Parcel) -> None:
    outcome, store = "delivered", lambda session: deliveries.complete(session, claim)
    try:
        _send(services, claim, parcel)
    except (TransientError, PermanentError) as error:
        outcome, store = _after(services, claim, error)
    try:
        services.database.insist(store, for_s=SETTLE_S / 2)
    except (LeaseLostError, StorageUnavailableError) as lost:
        outcome = lost.reason  # whoever has it now sends it again, under the same id
    metrics.DELIVERIES.labels(destination=claim.destination, outcome=outcome).inc()
    log.info("report_sent", delivery=claim.id, destination=claim.destination, attempt=claim.attempt_no, outcome=outcome)


def _send(services: Services, claim: DeliveryClaim, parcel: Parcel) -> None:
    destination = services.destinations.get(claim.destination)
    if destination is None:
        raise DeliveryRefusedError(f"the destination {claim.destination!r} is not configured here")
    destination.send(parcel, timeout_s=services.settings.rca_delivery_timeout_s)


def _after(services: Services, claim: DeliveryClaim, error: WorkerError) -> tuple[str, Callable[[Session], None]]:
    """Return the outcome and how it is stored: later, while attempts are left and it may help; else never."""
    reason = services.redactor.scrub(str(error))[:MAX_REASON_CHARS]
    if not isinstance(error, TransientError):
        return "refused", lambda session: deliveries.fail(session, claim, reason)
    if claim.attempt_no >= services.settings.rca_delivery_attempts:
        return "failed", lambda session: deliveries.fail(session, claim, f"{reason}, {claim.attempt_no} times")
    wait_s = error.retry_after_s
    return "postponed", lambda session: deliveries.postpone(session, claim, reason, retry_after_s=wait_s)
