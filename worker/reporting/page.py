"""The report as one page: no script, nothing fetched but its stylesheet, every model-written word inert."""

from dataclasses import dataclass
from urllib.parse import quote

from markupsafe import Markup

from worker.domain.report import Report
from worker.reporting import words
from worker.reporting.charts import draw_charts
from worker.reporting.markdown import anchor
from worker.reporting.plain import citing_claims
from worker.reporting.templating import TEMPLATES, environment

MAX_EXCERPT_CHARS = 20_000
"""Of one result on the page; the rest is behind its artifact."""


@dataclass(frozen=True, kw_only=True)
class PageLinks:
    """Where the page's own links lead; None leaves a link out.

    Without `stylesheet_url` the stylesheet is written into the page, which then stands alone; `nonce` lets a strict
    CSP allow that. `artifacts_url` is the address below which an artifact's id opens it. `signed_in_as` is
    who may sign out.
    """

    stylesheet_url: str | None = None
    nonce: str | None = None
    home_url: str | None = None
    investigation_url: str | None = None
    markdown_url: str | None = None
    json_url: str | None = None
    artifacts_url: str | None = None
    signed_in_as: str | None = None


def stylesheet() -> str:
    """Return the page's stylesheet, for the route that serves it."""
    return (TEMPLATES / "report.css").read_text(encoding="utf-8")


def render_page(report: Report, *, links: PageLinks | None = None) -> str:
    """Render the whole HTML document."""
    links = links or PageLinks()
    inline_style = None if links.stylesheet_url else Markup(stylesheet())  # noqa: S704 - our own file, not a model's text
    began_at = report.started_at
    return (
        environment(html=True)
        .get_template("report.html.j2")
        .render(
            report=report,
            links=links,
            inline_style=inline_style,
            w=words,
            anchor=anchor,
            known=words.evidence_ids(report),
            tools={e.id: e.tool for e in report.evidence},
            citing=citing_claims(report),
            charts={e.id: draw_charts(e, began_at=began_at) for e in report.evidence},
            artifact_url=lambda artifact_id: f"{links.artifacts_url}/{quote(artifact_id, safe='')}",
            max_excerpt=MAX_EXCERPT_CHARS,
        )
    )
