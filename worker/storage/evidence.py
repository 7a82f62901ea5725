"""Evidence: the results of all agents of an investigation, by the ids under which they are cited."""

from collections.abc import Collection

from sqlalchemy import select
from sqlalchemy.orm import Session

from worker.domain.orchestration import StartingPoint
from worker.domain.states import ToolCallStatus
from worker.errors import NotFoundError
from worker.storage import artifacts
from worker.storage.tables import AgentRow, ToolCallRow

EXCERPT_CHARS = 2000


def known_ids(session: Session, investigation_id: str) -> frozenset[str]:
    """Return the ids of all results that can be cited."""
    call = ToolCallRow
    wanted = select(call.evidence_id).join(AgentRow, AgentRow.id == call.agent_id)
    own = (AgentRow.investigation_id == investigation_id, call.status == ToolCallStatus.SUCCEEDED)
    return frozenset(session.scalars(wanted.where(*own, call.repeats.is_(None))))


def starting_points(session: Session, investigation_id: str, ids: Collection[str]) -> tuple[StartingPoint, ...]:
    """Return the beginnings of these results, for a sub-agent that goes on from them."""
    call = ToolCallRow
    wanted = select(call).join(AgentRow, AgentRow.id == call.agent_id)
    own = (AgentRow.investigation_id == investigation_id, call.evidence_id.in_(ids))
    rows = session.scalars(wanted.where(*own).order_by(AgentRow.agent_no, call.turn_no, call.seq))
    return tuple(
        StartingPoint(evidence_id=r.evidence_id, tool=r.tool, excerpt=(r.text or "")[:EXCERPT_CHARS]) for r in rows
    )


def read(session: Session, investigation_ids: tuple[str, ...], id_: str) -> str:
    """Return the whole text of an artifact or of a result of these investigations. Raises `NotFoundError`."""
    call = ToolCallRow
    wanted = select(call).join(AgentRow, AgentRow.id == call.agent_id)
    own = (AgentRow.investigation_id.in_(investigation_ids), call.evidence_id == id_, call.text.is_not(None))
    found = session.scalars(wanted.where(*own).order_by(AgentRow.investigation_id.desc()).limit(1)).one_or_none()
    if found is not None and found.artifact_id is None:
        return found.text or ""
    try:
        return artifacts.read(session, investigation_ids, found.artifact_id or id_ if found else id_)
    except NotFoundError as error:
        raise NotFoundError(f"there is no artifact or result {id_!r} in this investigation") from error
