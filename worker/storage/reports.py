"""Reports: stored once per investigation, read by whoever may see it."""

from sqlalchemy.orm import Session

from worker.domain.report import Report
from worker.errors import NotFoundError
from worker.storage import investigations
from worker.storage.database import database_now
from worker.storage.tables import ReportRow


def add(session: Session, report: Report) -> None:
    """Store the report of an investigation."""
    session.add(
        ReportRow(
            investigation_id=report.investigation_id,
            verdict=report.verdict,
            body=report.model_dump(mode="json"),
            created_at=database_now(session),
        )
    )


def get(session: Session, investigation_id: str, *, user_path: str = "/") -> Report:
    """Return the report. Raises `NotFoundError` that says how the investigation stands if it has none."""
    investigation = investigations.get(session, investigation_id, user_path=user_path)
    row = session.get(ReportRow, investigation_id)
    if row is None:
        why = f" ({investigation.failure_reason})" if investigation.failure_reason else ""
        raise NotFoundError(f"investigation {investigation_id} is {investigation.status}{why} and has no report")
    return Report.model_validate(row.body)
