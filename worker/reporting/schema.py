"""The published JSON Schemas: what may be sent in, and what comes out."""

from worker.domain.conversation import JsonObject
from worker.domain.incident import IncidentEvent
from worker.domain.report import SCHEMA_VERSION, Report

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def report_schema() -> JsonObject:
    """Return the schema of a report as `render_json` writes it."""
    return {"$schema": _DIALECT, "$id": f"urn:rca-worker:report:v{SCHEMA_VERSION}"} | Report.model_json_schema(
        mode="serialization"
    )


def incident_schema() -> JsonObject:
    """Return the schema of an event as an alerting system sends it."""
    return {"$schema": _DIALECT, "$id": "urn:rca-worker:incident:v1"} | IncidentEvent.model_json_schema()
