"""Puts finished things into the database as the steps would have."""

from datetime import UTC, datetime

from tests.builders import incident
from worker import pipeline
from worker.domain.report import Confidence, Evidence, Report, Submission
from worker.domain.states import InvestigationStatus, ReportVerdict
from worker.services import Services
from worker.storage import artifacts, investigations, reports
from worker.storage.incidents import Accepted
from worker.storage.tables import AgentRow, ToolCallRow


def take_in(services: Services, title: str = "checkout is slow", **fields: object) -> Accepted:
    return pipeline.accept(services, incident(title, **fields), via="test")


def small_report(taken: Accepted, summary: str = "Nothing stands out.", evidence: tuple[Evidence, ...] = ()) -> Report:
    said = Submission(verdict=ReportVerdict.INCONCLUSIVE, confidence=Confidence.LOW, summary=summary)
    return Report(
        **dict(said),
        investigation_id=taken.investigation_id,
        incident_id=taken.incident_id,
        title="checkout is slow",
        severity="high",
        created_at=datetime(2026, 3, 1, 12, 30, tzinfo=UTC),
    ).model_copy(update={"evidence": evidence})


def publish(services: Services, report: Report) -> None:
    """Store the report and complete its investigation."""
    with services.database.transaction() as session:
        reports.add(session, report)
        completed = InvestigationStatus.COMPLETED
        investigations.finish(session, report.investigation_id, completed, verdict=report.verdict)


def add_result(services: Services, investigation_id: str, *, whole: str, shown: str | None = None) -> str | None:
    """Store a tool result as `e1.1`; where less is shown than was found, the whole is an artifact. Return its id."""
    with services.database.transaction() as session:
        agent = session.query(AgentRow).filter_by(investigation_id=investigation_id).one()
        is_cut = shown is not None
        stored = artifacts.add(session, investigation_id, evidence_id="e1.1", text=whole) if is_cut else None
        session.add(
            ToolCallRow(
                agent_id=agent.id,
                turn_no=1,
                seq=1,
                evidence_id="e1.1",
                request_id="call_1",
                tool="search_logs",
                arguments={},
                status="succeeded",
                text=whole if shown is None else shown,
                artifact_id=stored,
                entities=[],
                series=[],
                duration_ms=1500,
                finished_at=datetime.now(UTC),
            )
        )
    return stored
