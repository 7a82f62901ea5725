"""The OpenAPI document and the published schemas say what is so."""

import json
import re

import pytest
from stored import publish, small_report, take_in

from tests.web_client import AppClient
from worker.domain.incident import IncidentEvent
from worker.services import Services
from worker.web.app import create_app


def document(services: Services) -> dict:  # type: ignore[type-arg]
    return create_app(services).openapi()


def test_no_operation_claims_the_frameworks_422(services: Services) -> None:
    text = json.dumps(document(services))

    assert "HTTPValidationError" not in text


def test_every_reference_leads_to_a_schema(services: Services) -> None:
    described = document(services)

    references = re.findall(r'"\$ref": "([^"]+)"', json.dumps(described))

    known = {f"#/components/schemas/{name}" for name in described["components"]["schemas"]}
    assert references
    assert set(references) <= known


def test_every_error_has_the_one_shape(services: Services) -> None:
    for path, operations in document(services)["paths"].items():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                if status >= "4":
                    schema = answer["content"]["application/json"]["schema"]
                    assert schema == {"$ref": "#/components/schemas/ErrorAnswer"}, (path, status)


def test_the_event_that_is_documented_is_the_event_that_is_read(services: Services) -> None:
    described = document(services)["components"]["schemas"]["IncidentEvent"]

    assert set(described["properties"]) == set(IncidentEvent.model_fields)
    assert described["required"] == ["title"]


def test_what_is_answered_is_documented(client: AppClient, services: Services) -> None:
    taken = take_in(services)
    publish(services, small_report(taken))
    described = document(services)["paths"]
    names = {
        "investigation_id": taken.investigation_id,
        "evidence_id": "e1.1",
        "artifact_id": "art_1",
        "delivery_id": "dlv_1",
        "agent_no": 1,
        "provider": "anthropic",
        "name": "regular",
        "selector": "openai/gpt-4o",
    }

    for path, operations in described.items():
        for method, operation in operations.items():
            answer = client.request(method.upper(), path.format(**names))
            assert str(answer.status_code) in operation["responses"], (method, path, answer.status_code)


@pytest.mark.parametrize(("name", "field"), [("incident", "title"), ("report", "root_causes")])
def test_the_schemas_are_published(client: AppClient, name: str, field: str) -> None:
    answer = client.get(f"/v1/schema/{name}")

    assert answer.headers["content-type"] == "application/schema+json"
    assert field in answer.json()["properties"]


def test_no_page_of_the_framework_fetches_scripts_from_elsewhere(client: AppClient) -> None:
    for path in ("/docs", "/redoc", "/docs/oauth2-redirect"):
        assert client.get(path).status_code == 404
