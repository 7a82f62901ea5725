"""Reports out, in the shape that was asked for, and the results behind their claims, whole."""

from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse

from worker.domain.report import Report
from worker.reporting.render import PageLinks, render_json, render_markdown, render_page
from worker.services import Services
from worker.storage import artifacts, investigations, progress, reports
from worker.storage.tokens import Identity
from worker.web.answers import GUARDED, failures, text_answer
from worker.web.identity import Here, Reader
from worker.web.investigations import IdPath

router = APIRouter(prefix="/v1/investigations/{investigation_id}")


class Shape(StrEnum):
    """How a report may be had."""

    JSON = "json"
    MARKDOWN = "markdown"
    HTML = "html"


_MEDIA_TYPES = {"application/json": Shape.JSON, "text/markdown": Shape.MARKDOWN, "text/html": Shape.HTML}
_WHOLE_TEXT = text_answer("The text.")
_SHAPES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The report.",
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/Report"}},
            "text/markdown": {"schema": {"type": "string"}},
            "text/html": {"schema": {"type": "string"}},
        },
    }
}

ShapeQuery = Annotated[Shape | None, Query(alias="format", description="Goes before the header `Accept`.")]


@router.get("/report", response_class=Response, responses=_SHAPES | failures(400, 404, *GUARDED))
def get_report(
    request: Request, services: Here, identity: Reader, *, investigation_id: IdPath, shape: ShapeQuery = None
) -> Response:
    """Return the report as JSON, Markdown or a page, as `Accept` asks; JSON if it does not say."""
    report = read_report(services, identity, investigation_id)
    shape = shape or choose_shape(request.headers.get("accept", ""))
    vary = {"Vary": "Accept"}
    if shape is Shape.HTML:
        return HTMLResponse(show_report(report, identity), headers=vary)
    if shape is Shape.MARKDOWN:
        return PlainTextResponse(render_markdown(report), headers=vary, media_type="text/markdown")
    return Response(render_json(report), headers=vary, media_type="application/json")


@router.get(
    "/evidence/{evidence_id}", response_class=PlainTextResponse, responses=_WHOLE_TEXT | failures(404, *GUARDED)
)
def get_evidence(services: Here, identity: Reader, investigation_id: IdPath, evidence_id: IdPath) -> PlainTextResponse:
    """Return one tool result whole, by the id that the report cites."""
    with services.database.transaction() as session:
        investigations.get(session, investigation_id, user_path=identity.user_path)
        return PlainTextResponse(progress.whole_evidence(session, investigation_id, evidence_id))


@router.get(
    "/artifacts/{artifact_id}", response_class=PlainTextResponse, responses=_WHOLE_TEXT | failures(404, *GUARDED)
)
def get_artifact(services: Here, identity: Reader, investigation_id: IdPath, artifact_id: IdPath) -> PlainTextResponse:
    """Return one stored output, by the id that the evidence names."""
    with services.database.transaction() as session:
        investigations.get(session, investigation_id, user_path=identity.user_path)
        own = investigations.lineage(session, investigation_id)
        return PlainTextResponse(artifacts.read(session, own, artifact_id))


def read_report(services: Services, identity: Identity, investigation_id: str) -> Report:
    """Return the report; `NotFoundError` says how the investigation stands that has none."""
    with services.database.transaction() as session:
        return reports.get(session, investigation_id, user_path=identity.user_path)


def show_report(report: Report, identity: Identity) -> str:
    """Render the page of a report with its links into this server."""
    page, api = f"/investigations/{report.investigation_id}", f"/v1/investigations/{report.investigation_id}"
    links = PageLinks(
        stylesheet_url="/static/report.css",
        home_url="/investigations",
        investigation_url=f"{page}/progress",
        markdown_url=f"{api}/report?format=markdown",
        json_url=f"{api}/report?format=json",
        artifacts_url=f"{api}/artifacts",
        signed_in_as=identity.name if identity.has_session else None,
    )
    return render_page(report, links=links)


def choose_shape(accept: str) -> Shape:
    """Return the shape an `Accept` header likes best; JSON where it names none we have, or any."""
    wishes = [_wish(part) for part in accept.split(",")]
    known = [(quality, _MEDIA_TYPES[media_type]) for media_type, quality in wishes if media_type in _MEDIA_TYPES]
    return max((w for w in known if w[0] > 0), key=lambda wish: wish[0], default=(0.0, Shape.JSON))[1]


def _wish(part: str) -> tuple[str, float]:
    media_type, *parameters = (piece.strip().lower() for piece in part.split(";"))
    stated = next((p.removeprefix("q=") for p in parameters if p.startswith("q=")), "1")
    try:
        return media_type, float(stated)
    except ValueError:
        return media_type, 0.0
