"""`rca schema`: the JSON Schemas of what comes in, of what goes out, and of the operator's file about models."""

import json

import click
from pydantic import BaseModel

from worker.domain.incident import IncidentEvent
from worker.domain.report import Report
from worker.llm.config_file import Content

MODELS: dict[str, type[BaseModel]] = {"incident": IncidentEvent, "report": Report, "llm-config": Content}
DIALECT = "https://json-schema.org/draft/2020-12/schema"


@click.command()
@click.argument("name", type=click.Choice(sorted(MODELS)))
def schema(name: str) -> None:
    """Print the JSON Schema of an incident event, of a report, or of what RCA_LLM_CONFIG may hold."""
    click.echo(render_schema(name))


def render_schema(name: str) -> str:
    """Return the schema as text: of what is written for a report, of what may be said in all else."""
    mode = "serialization" if name == "report" else "validation"
    body = MODELS[name].model_json_schema(mode=mode)  # type: ignore[arg-type]  # a literal by its two values
    return json.dumps({"$schema": DIALECT, **body}, indent=2)
