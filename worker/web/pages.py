"""Pages for people: the list, one investigation while it runs, its report. They read well without any script."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from worker import budgeting, pipeline
from worker.domain.report import UsageLine
from worker.domain.states import InvestigationStatus
from worker.services import Services
from worker.storage import deliveries, investigations, progress, usage
from worker.storage.deliveries import Listed as Delivery
from worker.storage.investigations import Attempt, Filter, Listed
from worker.storage.progress import AgentProgress, CallProgress
from worker.storage.tables import IncidentRow, InvestigationRow
from worker.storage.tokens import Identity
from worker.web.identity import INVESTIGATIONS_WRITE, Here, Operator, Reader, may_manage
from worker.web.investigations import AgentPath, BeforeQuery, IdPath, ServiceQuery, read_page
from worker.web.reports import read_report, show_report
from worker.web.templating import render

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

PAGE_SIZE = 50
SHOWN_CALLS = 60
REFRESH_S = 3
REDIRECT = 303  # a POST leads to a page that is read

StatusChoice = Annotated[InvestigationStatus | Literal[""], Query()]


@dataclass(frozen=True)
class Standing:
    """What the page of a running investigation shows."""

    listed: Listed
    row: InvestigationRow
    agents: list[AgentProgress]
    calls: list[CallProgress]
    usage: tuple[UsageLine, ...]
    resolved_at: datetime | None
    attempts: tuple[Attempt, ...]
    deliveries: list[Delivery]

    @property
    def is_final(self) -> bool:
        return InvestigationStatus(self.listed.status).is_final

    @property
    def sub_agents(self) -> list[AgentProgress]:
        return [agent for agent in self.agents if agent.is_sub_agent]

    @property
    def is_retried(self) -> bool:
        return self.listed.status in {InvestigationStatus.FAILED, InvestigationStatus.CANCELLED}


@router.get("/")
def show_home() -> RedirectResponse:
    return RedirectResponse("/investigations")


@router.get("/investigations")
def show_list(
    services: Here,
    identity: Reader,
    *,
    status: StatusChoice = "",
    service: ServiceQuery = None,
    before: BeforeQuery = None,
) -> str:
    """Show a page of the list; the form sends an empty word for "any"."""
    wanted = Filter(identity.user_path, status or None, service or None, before, PAGE_SIZE)
    found, following = read_page(services, wanted)
    choices = list(InvestigationStatus)
    shown = {"found": found, "following": following, "wanted": wanted, "choices": choices}
    return render("list.html.j2", who=identity, may_manage=may_manage(identity), **shown)


@router.get("/investigations/{investigation_id}")
def show_investigation(services: Here, identity: Reader, investigation_id: IdPath) -> str:
    """Show the report, or how far the investigation has come."""
    standing = _standing(services, identity, investigation_id)
    if standing.listed.status == InvestigationStatus.COMPLETED:
        return show_report(read_report(services, identity, investigation_id), identity)
    return _show(standing, identity)


@router.get("/investigations/{investigation_id}/progress")
def show_progress(services: Here, identity: Reader, investigation_id: IdPath) -> str:
    """Show what was done, also after the report is there."""
    return _show(_standing(services, identity, investigation_id), identity)


@router.post("/investigations/{investigation_id}/cancel")
def press_cancel(services: Here, identity: Operator, investigation_id: IdPath) -> Response:
    pipeline.cancel(services, investigation_id, user_path=identity.user_path)
    return RedirectResponse(f"/investigations/{investigation_id}/progress", REDIRECT)


@router.post("/investigations/{investigation_id}/agents/{agent_no}/cancel")
def press_cancel_agent(services: Here, identity: Operator, investigation_id: IdPath, agent_no: AgentPath) -> Response:
    pipeline.cancel_agent(services, investigation_id, agent_no=agent_no, user_path=identity.user_path)
    return RedirectResponse(f"/investigations/{investigation_id}/progress", REDIRECT)


@router.post("/investigations/{investigation_id}/retry")
def press_retry(services: Here, identity: Operator, investigation_id: IdPath) -> Response:
    again = pipeline.retry(services, investigation_id, user_path=identity.user_path)
    return RedirectResponse(f"/investigations/{again}", REDIRECT)


@router.post("/investigations/{investigation_id}/rerun")
def press_rerun(services: Here, identity: Operator, investigation_id: IdPath) -> Response:
    again = pipeline.rerun(services, investigation_id, user_path=identity.user_path)
    return RedirectResponse(f"/investigations/{again}", REDIRECT)


@router.post("/investigations/{investigation_id}/deliveries/{delivery_id}/resend")
def press_resend(services: Here, identity: Operator, investigation_id: IdPath, delivery_id: IdPath) -> Response:
    with services.database.transaction() as session:
        deliveries.resend(session, delivery_id, user_path=identity.user_path)
    return RedirectResponse(f"/investigations/{investigation_id}/progress", REDIRECT)


def _standing(services: Services, identity: Identity, investigation_id: str) -> Standing:
    with services.database.transaction() as session:
        row = investigations.get(session, investigation_id, user_path=identity.user_path)
        incident = session.get_one(IncidentRow, row.incident_id)
        (listed,) = budgeting.tell_waits(services.settings, session, [investigations.describe(session, row)])
        return Standing(
            listed=listed,
            row=row,
            agents=progress.of_agents(session, row.id),
            calls=progress.newest_calls(session, row.id, limit=SHOWN_CALLS),
            usage=usage.lines(session, row.id),
            resolved_at=incident.resolved_at,
            attempts=investigations.attempts_at(session, row.incident_id),
            deliveries=deliveries.page(session, deliveries.Filter(investigation_id=row.id)),
        )


def _show(standing: Standing, identity: Identity) -> str:
    may_change = INVESTIGATIONS_WRITE in identity.scopes
    refresh_s = None if standing.is_final else REFRESH_S
    return render("investigation.html.j2", who=identity, s=standing, may_change=may_change, refresh_s=refresh_s)
