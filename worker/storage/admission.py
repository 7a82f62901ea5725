"""Admission: a queued investigation starts when one more may run and its turn has come."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from worker.domain.conversation import Route
from worker.domain.ids import new_id
from worker.domain.incident import IncidentEvent
from worker.domain.orchestration import PinnedRoutes
from worker.domain.states import AgentKind, AgentStatus, InvestigationStatus
from worker.domain.transcript import Limits
from worker.storage import investigations, outbox, queue, resuming
from worker.storage.database import database_now, serialise
from worker.storage.outbox import WakeUp
from worker.storage.queue import Room
from worker.storage.tables import AgentRow, IncidentRow, InvestigationRow


@dataclass(frozen=True)
class Routes:
    """Where an agent's calls go: its own, and its judge's (None: no judge).

    `pinned` are all routes of an investigation with sub-agents; None where one agent investigates. `generation` is the
    one they were made of.
    """

    model: Route
    judge: Route | None
    pinned: PinnedRoutes | None = None
    generation: int = 0


MayRun = Callable[[Session, InvestigationRow], bool]
"""Whether an investigation may start now, room or no room: for budgets of a day. While it may not, its path waits."""


def next_to_admit(
    session: Session, *, room: Room, may_run: MayRun | None = None
) -> tuple[InvestigationRow, IncidentEvent] | None:
    """Return the queued investigation whose turn it is, if one more may run; one transaction at a time decides."""
    serialise(session, "admission")
    for head in queue.find_heads(session, room, limit=None if may_run else 1):
        found = _lock_queued(session, head)
        if found is not None and (may_run is None or may_run(session, found)):
            incident = session.get_one(IncidentRow, found.incident_id)
            return found, investigations.own_event(found, incident)
    return None


def _lock_queued(session: Session, investigation_id: str) -> InvestigationRow | None:
    """Lock it; None if it was cancelled meanwhile."""
    row = InvestigationRow
    wanted = select(row).where(row.id == investigation_id, row.status == InvestigationStatus.QUEUED)
    return session.scalar(wanted.with_for_update())


def admit(session: Session, row: InvestigationRow, routes: Routes, *, limits: Limits) -> list[WakeUp]:
    """Start the investigation: its limits as they are now, its agent, and the messages for the first steps."""
    now = database_now(session)
    row.status, row.admitted_at = InvestigationStatus.RUNNING, now
    row.limits = asdict(limits)
    row.deadline_at = now + timedelta(seconds=limits.max_seconds)
    row.llm_generation = routes.generation
    row.routes = routes.pinned.model_dump(mode="json") if routes.pinned else None
    kind = AgentKind.LEAD if routes.pinned else AgentKind.SINGLE
    agent = AgentRow(
        id=new_id("agt"),
        investigation_id=row.id,
        agent_no=0,
        kind=kind,
        role=kind,
        status=AgentStatus.READY,
        turn_no=1,
        nonce=new_id("n")[-12:],
        route=routes.model.model_dump(mode="json"),
        judge_route=routes.judge.model_dump(mode="json") if routes.judge else None,
        not_before=now,
        deadline_at=row.deadline_at,
        attempts=0,
        losses=0,
        created_at=now,
    )
    session.add(agent)
    session.flush()
    resumed = resuming.resume(session, agent, row) if row.retry_of else []
    return [wake_up for wake_up in (outbox.owe(session, agent, now), *resumed) if wake_up]
