"""The published schemas describe what is really accepted and written."""

import json

from click.testing import CliRunner

from worker.cli.main import main
from worker.domain.incident import IncidentEvent
from worker.domain.report import Report


def published(name: str) -> dict[str, object]:
    result = CliRunner().invoke(main, ["schema", name])
    assert result.exit_code == 0
    schema: dict[str, object] = json.loads(result.stdout)
    return schema


def test_the_incident_schema_names_every_field_and_requires_the_title_only() -> None:
    schema = published("incident")

    assert set(schema["properties"]) == set(IncidentEvent.model_fields)  # type: ignore[call-overload]
    assert schema["required"] == ["title"]
    assert schema["additionalProperties"] is False


def test_the_report_schema_names_every_field() -> None:
    schema = published("report")

    assert set(schema["properties"]) == set(Report.model_fields)  # type: ignore[call-overload]
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_an_unknown_schema_is_refused_with_those_there_are() -> None:
    result = CliRunner().invoke(main, ["schema", "alert"])

    assert result.exit_code == 2
    assert "incident" in result.stderr


def test_the_schema_of_the_file_about_models_names_every_part() -> None:
    schema = published("llm-config")

    assert set(schema["properties"]) == {"providers", "llm", "prices", "exchange_rates"}  # type: ignore[call-overload]
    assert schema["additionalProperties"] is False
