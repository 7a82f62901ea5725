"""What machines ask: is it alive, is it ready, what does it count."""

import math

from fastapi import APIRouter, Response
from sqlalchemy.exc import SQLAlchemyError

from worker import budgeting
from worker.budgeting import DayStanding
from worker.domain.states import InvestigationStatus
from worker.errors import StorageUnavailableError
from worker.ops import metrics
from worker.ops.health import CheckStatus, probe
from worker.services import Services
from worker.storage import backlog
from worker.storage.backlog import Backlog
from worker.storage.migrate import schema_state
from worker.web.answers import GUARDED, AliveAnswer, ReadyAnswer, failures, text_answer
from worker.web.identity import Here, Reader
from worker.web.refusals import refusal

router = APIRouter()

_EXPOSITION = text_answer("The counters as Prometheus reads them.")


@router.get("/healthz")
def get_health() -> AliveAnswer:
    """Answer while the process lives; a database that is away is no reason to restart it."""
    return AliveAnswer()


@router.get("/readyz", responses=failures(503))
def get_readiness(services: Here) -> ReadyAnswer:
    """Answer 200 when the database does and its schema is the one this code wants."""
    errors = (StorageUnavailableError, SQLAlchemyError, SchemaError)
    check = probe("database", lambda: _schema(services), errors=errors, fix="run `rca migrate`, or look at its server")
    if check.status is not CheckStatus.OK:
        raise refusal(503, "not_ready", f"{check.name}: {check.detail}; {check.fix}", headers={"Retry-After": "5"})
    return ReadyAnswer()


@router.get("/metrics", response_class=Response, responses=_EXPOSITION | failures(*GUARDED))
def get_metrics(services: Here, identity: Reader) -> Response:
    """Return this process's counters and the backlog of all; they tell of everybody, so only `/` may read them."""
    if identity.user_path != "/":
        raise refusal(403, "path_not_allowed", "metrics are about all paths: this needs a token whose path is /")
    with services.database.transaction() as session:
        _show(backlog.measure(session))
        _show_day(budgeting.read_standing(services.settings, session))
    body, content_type = metrics.render()
    return Response(body, headers={"Content-Type": content_type})


def _show(measured: Backlog) -> None:
    """Set the gauges that the database knows; what there is none of is 0, not as it was."""
    for status in InvestigationStatus:
        metrics.INVESTIGATIONS.labels(status=status.value).set(measured.investigations.get(status, 0))
    for queue, waiting in measured.queues.items():
        metrics.QUEUE_DEPTH.labels(queue=queue).set(waiting.count)
        metrics.OLDEST_RUNNABLE_SECONDS.labels(queue=queue).set(waiting.oldest_s)
    metrics.OUTBOX_DUE.set(measured.outbox_due)
    metrics.OUTBOX_LAG_SECONDS.set(measured.outbox_lag_s)
    metrics.SWEEPER_AGE_SECONDS.set(math.inf if measured.sweeper_age_s is None else measured.sweeper_age_s)


def _show_day(standing: DayStanding) -> None:
    fleet, held = standing.fleet, [path for path in standing.paths if path.waits_for]
    metrics.DAY_TOKENS.set(fleet.tokens)
    metrics.DAY_TOKENS_LIMIT.set(_limit(fleet.max_tokens, is_lifted=fleet.is_lifted))
    metrics.DAY_COST_USD.set(fleet.cost_usd)
    metrics.DAY_COST_USD_LIMIT.set(_limit(fleet.max_cost_usd, is_lifted=fleet.is_lifted))
    metrics.DAY_PATHS_REACHED.set(len(held))
    metrics.DAY_INVESTIGATIONS_HELD.set(sum(path.waiting for path in held))


def _limit(limit: float | None, *, is_lifted: bool) -> float:
    return math.inf if limit is None or is_lifted else limit


class SchemaError(Exception):
    """The tables are not the ones this code wants."""


def _schema(services: Services) -> str:
    with services.database.transaction() as session:
        have, want = schema_state(session.connection())
    if have != want:
        raise SchemaError
    return f"schema {have}"
