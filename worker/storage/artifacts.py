"""Artifacts: outputs kept whole, where a transcript holds only a part."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from worker.domain.ids import ArtifactId, new_id
from worker.errors import NotFoundError
from worker.storage.database import database_now
from worker.storage.tables import ArtifactRow
from worker.storage.types import storable


def add(session: Session, investigation_id: str, *, evidence_id: str, text: str) -> ArtifactId:
    """Store the text; return its id."""
    row = ArtifactRow(
        id=new_id("art"),
        investigation_id=investigation_id,
        evidence_id=evidence_id,
        text=text,
        size_bytes=len(storable(text).encode()),
        created_at=database_now(session),
    )
    session.add(row)
    return ArtifactId(row.id)


def read(session: Session, investigation_ids: tuple[str, ...], artifact_id: str) -> str:
    """Return the text of an artifact of these investigations. Raises `NotFoundError`."""
    own = select(ArtifactRow.text).where(
        ArtifactRow.id == artifact_id, ArtifactRow.investigation_id.in_(investigation_ids)
    )
    text = session.scalar(own)
    if text is None:
        raise NotFoundError(f"there is no artifact {artifact_id!r} in this investigation")
    return text
