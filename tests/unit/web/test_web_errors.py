"""Errors say what a caller may know, in one shape, under the same headers as everything else."""

from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from tests.builders import sqlite_url
from tests.web_client import AppClient, client_of, sqlite_services, web_services
from worker.services import Services
from worker.storage.database import Database
from worker.web.headers import SECURITY_HEADERS

ADDRESSES = (
    ("GET", "/healthz"),
    ("GET", "/"),
    ("GET", "/static/report.css"),
    ("GET", "/investigations"),
    ("GET", "/v1/investigations/inv_none"),
    ("GET", "/v1/nowhere"),
    ("PUT", "/v1/incidents"),
    ("POST", "/v1/incidents"),
)


class BrokenDatabase(Database):
    """Fails in a way nobody expected."""

    def transaction(self) -> NoReturn:
        raise RuntimeError("secret detail at /srv/rca with password hunter2")


def test_every_answer_carries_the_headers(client: AppClient) -> None:
    for method, path in ADDRESSES:
        answer = client.request(method, path)
        for name, value in SECURITY_HEADERS.items():
            is_own = name == "Cache-Control" and path.startswith("/static")
            assert is_own or answer.headers[name] == value, (method, path, name)


def test_the_policy_lets_nothing_run_and_nobody_frame() -> None:
    rules = dict(rule.strip().split(" ", 1) for rule in SECURITY_HEADERS["Content-Security-Policy"].split(";"))

    assert rules == {
        "default-src": "'none'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
    }


@pytest.mark.parametrize(
    ("method", "path", "status", "error"),
    [
        ("GET", "/v1/nowhere", 404, "not_found"),
        ("PUT", "/v1/incidents", 405, "method_not_allowed"),
        ("GET", "/v1/investigations/", 404, "not_found"),
    ],
)
def test_the_routers_own_errors_have_our_shape(
    client: AppClient, method: str, path: str, *, status: int, error: str
) -> None:
    answer = client.request(method, path)

    assert answer.status_code == status
    assert set(answer.json()["detail"]) == {"error", "message"}
    assert answer.json()["detail"]["error"] == error


def test_a_wrong_method_says_which_are_right(client: AppClient) -> None:
    assert client.request("PUT", "/v1/incidents").headers["allow"] == "POST"


def test_what_nobody_expected_tells_nothing(services: Services) -> None:
    broken = replace(services, database=BrokenDatabase(services.settings.database))

    with client_of(broken) as client:
        answer = client.get("/v1/investigations")

    assert answer.status_code == 500
    assert answer.json()["detail"]["error"] == "internal_error"
    assert "hunter2" not in answer.text
    assert answer.headers["content-security-policy"] == SECURITY_HEADERS["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/v1/incidents"), ("GET", "/v1/investigations"), ("GET", "/readyz")]
)
def test_a_database_that_is_away_is_503_with_a_time_to_come_back(tmp_path: Path, method: str, path: str) -> None:
    services = web_services("postgresql://rca@127.0.0.1:1/none")
    try:
        with client_of(services) as client:
            answer = client.request(method, path, json={"title": "a"} if method == "POST" else None)
    finally:
        services.database.close()

    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert answer.json()["detail"]["error"] in {"storage_unavailable", "not_ready"}


def test_alive_needs_no_database_and_ready_does(tmp_path: Path) -> None:
    unmigrated = web_services(sqlite_url(tmp_path))
    try:
        with client_of(unmigrated) as client:
            alive, ready = client.get("/healthz"), client.get("/readyz")
    finally:
        unmigrated.database.close()

    assert (alive.status_code, ready.status_code) == (200, 503)
    assert "rca migrate" in ready.json()["detail"]["message"]


def test_ready_when_the_schema_is_the_one_wanted(client: AppClient) -> None:
    answer = client.get("/readyz")

    assert (answer.status_code, answer.json()) == (200, {"status": "ready"})


def test_metrics_are_what_prometheus_reads(client: AppClient) -> None:
    answer = client.get("/metrics")

    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert "# TYPE rca_events_total counter" in answer.text


def test_metrics_tell_the_backlog_as_the_rows_have_it(client: AppClient) -> None:
    def reading(line: str) -> bool:
        return line in client.get("/metrics").text.splitlines()

    assert reading('rca_queue_depth{queue="rca"} 0.0')
    assert reading("rca_sweeper_age_seconds +Inf")  # none has ever swept here

    client.post("/v1/incidents", json={"title": "checkout is slow"})

    assert reading('rca_queue_depth{queue="rca"} 1.0')
    assert reading('rca_investigations{status="running"} 1.0')
    assert reading('rca_investigations{status="queued"} 0.0')


def test_no_other_site_is_ever_given_leave_to_read(client: AppClient) -> None:
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answer = client.request("OPTIONS", "/v1/incidents", headers=headers)

    assert answer.status_code == 405
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_secrets_in_an_event_are_not_stored(tmp_path: Path) -> None:
    with (
        sqlite_services(tmp_path, openai_api_key="sk-test-0123456789abcdef") as services,
        client_of(services) as client,
    ):
        client.post("/v1/incidents", json={"title": "key sk-test-0123456789abcdef leaked"})
        listed = client.get("/v1/investigations").text

    assert "sk-test-0123456789abcdef" not in listed
    assert "[redacted:" in listed
