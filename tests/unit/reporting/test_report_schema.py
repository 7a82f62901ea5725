"""The published schemas describe what really goes in and comes out."""

import json

from example_reports import orchestrated_report, verified_report, whole_report

from worker.domain.report import Report
from worker.reporting.render import render_json
from worker.reporting.schema import incident_schema, report_schema


def test_a_rendered_report_has_exactly_the_fields_of_the_schema() -> None:
    rendered = json.loads(render_json(whole_report()))

    assert set(rendered) == set(report_schema()["properties"])
    assert set(report_schema()["required"]) <= set(rendered)


def test_a_rendered_report_reads_back_as_itself() -> None:
    assert Report.model_validate_json(render_json(whole_report())) == whole_report()


def test_a_verified_report_reads_back_as_itself() -> None:
    assert Report.model_validate_json(render_json(verified_report())) == verified_report()


def test_a_report_of_sub_agents_reads_back_as_itself_and_has_the_fields_of_the_schema() -> None:
    rendered = json.loads(render_json(orchestrated_report()))

    assert Report.model_validate(rendered) == orchestrated_report()
    described = report_schema()["$defs"]["SubAgent"]
    assert all(set(one) == set(described["properties"]) for one in rendered["sub_agents"])
    assert {"role", "model", "purpose", "wave_no"} <= set(described["required"])


def test_an_incident_needs_only_a_title() -> None:
    schema = incident_schema()

    assert schema["required"] == ["title"]
    assert schema["additionalProperties"] is False


def test_the_schemas_are_json_and_name_their_dialect() -> None:
    for schema in (report_schema(), incident_schema()):
        assert json.loads(json.dumps(schema)) == schema
        assert schema["$schema"].startswith("https://json-schema.org/")
        assert schema["$id"].startswith("urn:rca-worker:")
