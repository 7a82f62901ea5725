"""Schemathesis over the OpenAPI document: whatever is sent, no answer is a crash or one that is not documented."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.web_client import running_server, sqlite_services
from worker.web.app import create_app

TOKEN = "a-token-of-all-scopes"
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = 15
NOBODY: Any = None
DOCUMENT = create_app(NOBODY).openapi()
OPERATIONS = [(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    settings = {"aurora_master_key": TOKEN, "aurora_secret_key": "a-seed", "anthropic_api_key": "k"}
    folder: Path = tmp_path_factory.mktemp("fuzzed")
    with sqlite_services(folder, **settings) as services, running_server(services) as started:
        yield started


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_answer_is_documented_and_none_is_a_crash(address: str, path: str, method: str) -> None:
    operation = schemathesis.openapi.from_dict(DOCUMENT)[path][method]

    @given(case=operation.as_strategy())
    @hypothesis_settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    def sent(case: Any) -> None:
        case.call_and_validate(base_url=address, headers={"Authorization": f"Bearer {TOKEN}"}, checks=CHECKS)

    sent()
