"""Investigations as programs see them: pages of the list, one as it stands, cancel and retry."""

from pathlib import Path

import pytest

from tests.builders import build_services, close_services, drain, incident, sqlite_url, submits_report
from tests.fakes import ScriptedModel, calls_tools
from tests.web_client import AppClient, client_of
from worker import pipeline
from worker.errors import ProviderAuthError
from worker.services import Services


def opened(services: Services, title: str, service: str | None = None) -> str:
    return pipeline.accept(services, incident(title, service=service), via="test").investigation_id


def ids(client: AppClient, query: str = "") -> list[str]:
    return [item["id"] for item in client.get(f"/v1/investigations{query}").json()["investigations"]]


def test_pages_follow_one_another_and_miss_none(client: AppClient, services: Services) -> None:
    made = [opened(services, f"alert {word}") for word in ("one", "two", "three", "four", "five")]

    seen, before = [], ""
    for _ in range(3):
        page = client.get(f"/v1/investigations?limit=2{before}").json()
        seen += [item["id"] for item in page["investigations"]]
        before = f"&before={page['next']}"

    assert seen == made[::-1]
    assert page["next"] is None


def test_a_full_last_page_has_no_next(client: AppClient, services: Services) -> None:
    opened(services, "a")
    opened(services, "b")

    assert client.get("/v1/investigations?limit=2").json()["next"] is None


def test_the_list_is_narrowed_by_status_and_service(client: AppClient, services: Services) -> None:
    first = opened(services, "a", "checkout")
    drain(services)
    second = opened(services, "b", "orders")

    assert ids(client, "?status=completed") == [first]
    assert ids(client, "?status=running") == [second]
    assert ids(client, "?service=orders") == [second]
    assert ids(client, "?service=orders&status=completed") == []


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=x", "limit"),
        ("status=lost", "status"),
        ("before=%00", "before"),
    ],
)
def test_a_query_that_means_nothing_is_400(client: AppClient, query: str, named: str) -> None:
    answer = client.get(f"/v1/investigations?{query}")

    assert answer.status_code == 400
    assert answer.json()["detail"]["error"] == "invalid_request"
    assert named in answer.json()["detail"]["message"]


def test_a_finished_one_says_what_it_took(client: AppClient, services: Services) -> None:
    found = opened(services, "a")
    drain(services)

    said = client.get(f"/v1/investigations/{found}").json()

    assert (said["status"], said["verdict"]) == ("completed", "inconclusive")
    (agent,) = said["agents"]
    assert (agent["status"], agent["turns"]) == ("done", 1)
    assert sum(agent["tool_calls"].values()) == 1
    assert said["usage"][0]["calls"] == 1
    assert client.get(said["links"]["report"]).status_code == 200
    assert client.get(said["links"]["page"]).status_code == 200
    assert client.get(said["links"]["self"]).json() == said


def test_a_running_one_has_no_report_to_link(client: AppClient, services: Services) -> None:
    said = client.get(f"/v1/investigations/{opened(services, 'a')}").json()

    assert said["status"] == "running"
    assert "report" not in said["links"]
    assert said["agents"][0]["turns"] == 0


@pytest.mark.parametrize("name", ["inv_none", "%00", "..%2f..", "x" * 300, "a%20b", "é"])
def test_no_such_id_is_404(client: AppClient, name: str) -> None:
    answer = client.get(f"/v1/investigations/{name}")

    assert answer.status_code == 404
    assert answer.json()["detail"]["error"] == "not_found"


def test_a_running_one_is_cancelled_and_then_retried(client: AppClient, services: Services) -> None:
    found = opened(services, "a")

    cancelled = client.post(f"/v1/investigations/{found}/cancel")
    retried = client.post(f"/v1/investigations/{found}/retry")

    assert cancelled.status_code == retried.status_code == 202
    assert cancelled.json() == {"investigation_id": found, "status": "cancelled"}
    again = client.get(f"/v1/investigations/{retried.json()['investigation_id']}").json()
    assert (again["retry_of"], again["attempt_no"]) == (found, 2)


def test_what_has_ended_is_neither_cancelled_nor_retried(client: AppClient, services: Services) -> None:
    found = opened(services, "a")
    drain(services)

    for verb in ("cancel", "retry"):
        answer = client.post(f"/v1/investigations/{found}/{verb}")
        assert answer.status_code == 400
        assert "completed" in answer.json()["detail"]["message"]


def test_a_failure_says_its_class_and_reason(tmp_path: Path, services: Services) -> None:
    failing = build_services(sqlite_url(tmp_path), ScriptedModel([ProviderAuthError("no access", provider="p")]))
    try:
        found = opened(failing, "a")
        drain(failing)
        with client_of(failing) as client:
            said = client.get(f"/v1/investigations/{found}").json()
    finally:
        close_services(failing)

    assert (said["status"], said["failure_class"]) == ("failed", "provider_auth")
    assert said["failure_reason"]


def test_tool_calls_are_counted_by_status(tmp_path: Path, services: Services) -> None:
    script = [calls_tools(("no_such_tool", {}), ("no_such_tool", {"a": 1})), submits_report()]
    calling = build_services(sqlite_url(tmp_path), ScriptedModel(script))
    try:
        found = opened(calling, "a")
        drain(calling)
        with client_of(calling) as client:
            said = client.get(f"/v1/investigations/{found}").json()
    finally:
        close_services(calling)

    assert said["agents"][0]["turns"] == 2
    assert sum(said["agents"][0]["tool_calls"].values()) == 3
    assert said["agents"][0]["tool_calls"]["failed"] == 2
