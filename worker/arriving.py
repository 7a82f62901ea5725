"""Takes events in: without secrets, each once, into the incident it belongs to; on disk when it returns."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import structlog
from pydantic import ValidationError

from worker.domain.callers import CallersModel
from worker.domain.incident import IncidentEvent
from worker.domain.relations import relations_of
from worker.errors import EventError, KeyTakenError, UserError
from worker.intake.events import Offer
from worker.intake.fingerprint import fingerprint
from worker.ops import metrics
from worker.reporting.inert import show_all_in
from worker.services import Services
from worker.settings import Settings
from worker.storage import incidents
from worker.storage.folding import Folding
from worker.storage.incidents import Accepted, Arrival
from worker.tools.toolbox import CASE_LABEL

log = structlog.get_logger()

ATTEMPTS = 5
"""Two who take the same event at the same moment: the later one finds it taken when it looks again."""


def take(services: Services, offers: Sequence[Offer]) -> list[Accepted]:
    """Take all in, in one transaction, or none. Raises `EventError` for an event that cannot be kept."""
    arrivals = [_arrival(services, offer) for offer in offers]
    accepted = _store(services, arrivals, attempts=ATTEMPTS)
    for arrival, one in zip(arrivals, accepted, strict=True):
        metrics.EVENTS.labels(source=arrival.event.source, outcome=one.outcome).inc()
        log.info("event_accepted", incident=one.incident_id, investigation=one.investigation_id, outcome=one.outcome)
    return accepted


def _store(services: Services, arrivals: Sequence[Arrival], *, attempts: int) -> list[Accepted]:
    try:
        with services.database.transaction() as session:
            return incidents.accept_many(session, arrivals, folding=folding_of(services.settings))
    except KeyTakenError:
        if attempts == 1:
            raise
    return _store(services, arrivals, attempts=attempts - 1)


def folding_of(settings: Settings) -> Folding:
    return Folding(
        window=timedelta(seconds=settings.rca_fold_window_s),
        related_window=timedelta(seconds=settings.rca_related_window_s),
        relations=relations_of(settings.calls),
        case_labels=(CASE_LABEL,),
        on_resolve=settings.rca_on_resolve,
    )


def _arrival(services: Services, offer: Offer) -> Arrival:
    clean = _scrubbed(services, _sealed(services, offer.event))
    key = offer.event.idempotency_key or offer.delivery or str(uuid4())
    return Arrival(clean, fingerprint(clean), key, offer.via)


def _sealed(services: Services, event: IncidentEvent) -> IncidentEvent:
    """Leave nothing of a caller's own account in the event but its handle. Raises EventError for one that cannot be."""
    if event.llm is None:
        return event
    if event.llm.handle is None:
        try:
            handle = services.callers.keep(event.llm, user_path=event.user_path)
        except UserError as error:
            raise EventError(str(error)) from error
    else:
        handle = event.llm.handle
    return event.model_copy(update={"llm": CallersModel(handle=handle)})


def _scrubbed(services: Services, event: IncidentEvent) -> IncidentEvent:
    """Give the event a start, show what hides in it, and take secrets out of it before anything is stored."""
    fields = services.redactor.scrub_json(show_all_in(event.model_dump(mode="json")))
    fields["started_at"] = fields["started_at"] or datetime.now(UTC).isoformat()
    try:
        return IncidentEvent.model_validate(fields)
    except ValidationError as error:
        names = ", ".join(sorted({str(e["loc"][0]) for e in error.errors()}))
        raise EventError(
            f"{names}: does not fit once secrets and hidden characters are written out; send it without"
        ) from None
