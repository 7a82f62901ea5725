"""What machines ask: is it alive, is it ready, what does it count."""

from fastapi import APIRouter, Response
from sqlalchemy.exc import SQLAlchemyError

from worker.errors import StorageUnavailableError
from worker.ops import metrics
from worker.ops.health import CheckStatus, probe
from worker.services import Services
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
def get_metrics(identity: Reader) -> Response:
    """Return this process's counters; they tell of everybody's incidents, so only `/` may read them."""
    if identity.user_path != "/":
        raise refusal(403, "path_not_allowed", "metrics are about all paths: this needs a token whose path is /")
    body, content_type = metrics.render()
    return Response(body, headers={"Content-Type": content_type})


class SchemaError(Exception):
    """The tables are not the ones this code wants."""


def _schema(services: Services) -> str:
    with services.database.transaction() as session:
        have, want = schema_state(session.connection())
    if have != want:
        raise SchemaError
    return f"schema {have}"
