"""Investigations: listed, looked at, cancelled, retried, run again."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Path, Query
from sqlalchemy.orm import Session

from worker import budgeting, handover, pipeline
from worker.domain.callers import AgainBody
from worker.domain.states import InvestigationStatus
from worker.services import Services
from worker.storage import alerts, deliveries, investigations, progress, usage
from worker.storage.investigations import Filter, Listed
from worker.storage.tables import IncidentRow, InvestigationRow
from worker.web.answers import (
    GUARDED,
    AgentAnswer,
    AgentStandsAnswer,
    AlertLineAnswer,
    AttemptAnswer,
    DeliveryAnswer,
    InvestigationAnswer,
    ListedAnswer,
    PageAnswer,
    StandsAnswer,
    failures,
)
from worker.web.callers import refusing
from worker.web.identity import Here, Operator, Reader

router = APIRouter(prefix="/v1/investigations")

MAX_PAGE = 200
MAX_ALERTS = 50
"""Alerts shown of one incident, the newest; the count is of all."""
MAX_AGENT_NO = 2**31 - 1
_ID = r"^[A-Za-z0-9_.-]{1,80}$"
_ONE = failures(404, *GUARDED)
_CHANGE = failures(400, 404, *GUARDED)
_CHANGE_OF_ACCOUNT = failures(400, 404, 422, 429, *GUARDED)

IdPath = Annotated[str, Path(pattern=_ID)]
AgentPath = Annotated[int, Path(ge=1, le=MAX_AGENT_NO, description="`agent_no` of a sub-agent.")]
StatusQuery = Annotated[InvestigationStatus | None, Query(description="Only those in this status.")]
ServiceQuery = Annotated[str | None, Query(max_length=500, description="Only those that alerted on this service.")]
BeforeQuery = Annotated[str | None, Query(pattern=_ID, description="`next` of the page before.")]
LimitQuery = Annotated[int, Query(ge=1, le=MAX_PAGE)]


@router.get("", responses=failures(400, *GUARDED))
def get_investigations(
    services: Here,
    identity: Reader,
    *,
    status: StatusQuery = None,
    service: ServiceQuery = None,
    before: BeforeQuery = None,
    limit: LimitQuery = 50,
) -> PageAnswer:
    """List investigations below the token's path, newest first."""
    wanted = Filter(identity.user_path, status, service or None, before, limit)
    found, following = read_page(services, wanted)
    return PageAnswer(investigations=tuple(map(ListedAnswer.model_validate, found)), next=following)


@router.get("/{investigation_id}", responses=_ONE)
def get_investigation(services: Here, identity: Reader, investigation_id: IdPath) -> InvestigationAnswer:
    """Say how one investigation stands."""
    with services.database.transaction() as session:
        row = investigations.get(session, investigation_id, user_path=identity.user_path)
        return _described(services, session, row)


@router.post("/{investigation_id}/cancel", status_code=202, responses=_CHANGE)
def cancel_investigation(services: Here, identity: Operator, investigation_id: IdPath) -> StandsAnswer:
    """End an investigation: no new call of it starts. One that has ended is refused with 400."""
    pipeline.cancel(services, investigation_id, user_path=identity.user_path)
    return _stands(services, investigation_id)


@router.post("/{investigation_id}/agents/{agent_no}/cancel", status_code=202, responses=_CHANGE)
def cancel_sub_agent(
    services: Here, identity: Operator, investigation_id: IdPath, agent_no: AgentPath
) -> AgentStandsAnswer:
    """End one sub-agent: what it would have found is a gap. One that has ended is refused with 400."""
    status = pipeline.cancel_agent(services, investigation_id, agent_no=agent_no, user_path=identity.user_path)
    return AgentStandsAnswer(investigation_id=investigation_id, agent_no=agent_no, status=status)


@router.post("/{investigation_id}/retry", status_code=202, responses=_CHANGE_OF_ACCOUNT)
def retry_investigation(
    services: Here, identity: Operator, investigation_id: IdPath, body: AgainBody | None = None
) -> StandsAnswer:
    """Try a failed or cancelled one again from its last finished turn, as a new investigation.

    `llm` brings a fresh account, for the one that has expired or in the place of the operator's.
    """
    return _again(services, investigation_id, body, user_path=identity.user_path, begin=pipeline.retry)


@router.post("/{investigation_id}/rerun", status_code=202, responses=_CHANGE_OF_ACCOUNT)
def rerun_investigation(
    services: Here, identity: Operator, investigation_id: IdPath, body: AgainBody | None = None
) -> StandsAnswer:
    """Investigate the same incident from scratch, as a new investigation; this one has to have ended.

    `llm` brings a fresh account, for the one that has expired or in the place of the operator's.
    """
    return _again(services, investigation_id, body, user_path=identity.user_path, begin=pipeline.rerun)


def _again(
    services: Services, investigation_id: str, body: AgainBody | None, *, user_path: str, begin: Callable[..., str]
) -> StandsAnswer:
    llm = body.llm if body else None
    with (
        refusing(services, llm),
        handover.fresh_account(services, investigation_id, llm, user_path=user_path) as handle,
    ):
        new = begin(services, investigation_id, user_path=user_path, llm_handle=handle)
    return _stands(services, new)


def read_page(services: Services, wanted: Filter) -> tuple[list[Listed], str | None]:
    """Return one page and where the next begins; None after the last. One more row than shown tells which."""
    one_more = Filter(**(asdict(wanted) | {"limit": wanted.limit + 1}))
    with services.database.transaction() as session:
        found = budgeting.tell_waits(services.settings, session, investigations.page(session, one_more))
    shown = found[: wanted.limit]
    return shown, shown[-1].id if len(found) > len(shown) else None


def _described(services: Services, session: Session, row: InvestigationRow) -> InvestigationAnswer:
    base = f"/v1/investigations/{row.id}"
    links = {"self": base, "page": f"/investigations/{row.id}"}
    if row.status == InvestigationStatus.COMPLETED:
        links["report"] = f"{base}/report"
    listed = investigations.describe(session, row)
    owed = deliveries.page(session, deliveries.Filter(investigation_id=row.id))
    return InvestigationAnswer(
        **asdict(budgeting.tell_waits(services.settings, session, [listed])[0]),
        resolved_at=session.get_one(IncidentRow, row.incident_id).resolved_at,
        attempts=tuple(map(AttemptAnswer.model_validate, investigations.attempts_at(session, row.incident_id))),
        deliveries=tuple(map(DeliveryAnswer.model_validate, owed)),
        admitted_at=row.admitted_at,
        deadline_at=row.deadline_at,
        cancel_requested_at=row.cancel_requested_at,
        alerts=tuple(
            AlertLineAnswer.model_validate(line)
            for line in alerts.of_incident(session, row.incident_id, limit=MAX_ALERTS)
        ),
        agents=tuple(AgentAnswer.model_validate(agent) for agent in progress.of_agents(session, row.id)),
        usage=usage.lines(session, row.id),
        links=links,
    )


def _stands(services: Services, investigation_id: str) -> StandsAnswer:
    with services.database.transaction() as session:
        status = investigations.get(session, investigation_id).status
    return StandsAnswer(investigation_id=investigation_id, status=status)
