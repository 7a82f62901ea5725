"""What anybody may fetch: the schemas of what goes in and out, and the stylesheets."""

from functools import cache
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from worker.reporting import render
from worker.reporting.schema import incident_schema, report_schema
from worker.web import templating

router = APIRouter()

_BRIEFLY = {"Cache-Control": "public, max-age=300"}
_SCHEMA_TYPE = "application/schema+json"
_SCHEMA: dict[int | str, dict[str, Any]] = {
    200: {"description": "A JSON Schema.", "content": {_SCHEMA_TYPE: {"schema": {"type": "object"}}}}
}


@cache
def _schemas() -> dict[str, dict[str, Any]]:
    return {"incident": incident_schema(), "report": report_schema()}


@router.get("/v1/schema/incident", response_class=Response, responses=_SCHEMA)
def get_incident_schema() -> JSONResponse:
    """Return the JSON Schema of an event."""
    return JSONResponse(_schemas()["incident"], headers=_BRIEFLY, media_type=_SCHEMA_TYPE)


@router.get("/v1/schema/report", response_class=Response, responses=_SCHEMA)
def get_report_schema() -> JSONResponse:
    """Return the JSON Schema of a report."""
    return JSONResponse(_schemas()["report"], headers=_BRIEFLY, media_type=_SCHEMA_TYPE)


@router.get("/static/report.css", include_in_schema=False)
def get_report_style() -> Response:
    return Response(render.stylesheet(), headers=_BRIEFLY, media_type="text/css")


@router.get("/static/pages.css", include_in_schema=False)
def get_pages_style() -> Response:
    return Response(templating.stylesheet(), headers=_BRIEFLY, media_type="text/css")
