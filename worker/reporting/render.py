"""Every way a report is shown, by name."""

from worker.domain.report import Report
from worker.reporting.markdown import render_markdown as render_markdown
from worker.reporting.page import PageLinks as PageLinks
from worker.reporting.page import render_page as render_page
from worker.reporting.page import stylesheet as stylesheet
from worker.reporting.plain import render_evidence_plain as render_evidence_plain
from worker.reporting.plain import render_plain as render_plain
from worker.reporting.terminal import render_terminal as render_terminal


def render_json(report: Report) -> str:
    """Render the report as the JSON that `report_schema` describes."""
    return report.model_dump_json(indent=2) + "\n"
