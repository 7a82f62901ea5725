"""`rca schema`: the JSON Schemas of what comes in and of what goes out."""

import json

import click
from pydantic import BaseModel

from worker.domain.incident import IncidentEvent
from worker.domain.report import Report

MODELS: dict[str, type[BaseModel]] = {"incident": IncidentEvent, "report": Report}
DIALECT = "https://json-schema.org/draft/2020-12/schema"


@click.command()
@click.argument("name", type=click.Choice(sorted(MODELS)))
def schema(name: str) -> None:
    """Print the JSON Schema of an incident event or of a report."""
    click.echo(render_schema(name))


def render_schema(name: str) -> str:
    """Return the schema as text: of what may be sent for an event, of what is written for a report."""
    mode = "validation" if name == "incident" else "serialization"
    body = MODELS[name].model_json_schema(mode=mode)  # type: ignore[arg-type]  # a literal by its two values
    return json.dumps({"$schema": DIALECT, **body}, indent=2)
