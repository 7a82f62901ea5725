"""Events come in by HTTP: taken once, refused with what would fit, owned by their token's path."""

import json
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import func, select

from tests.web_client import AppClient, token_for
from worker.domain.incident import MAX_EVENT_BYTES
from worker.ops import metrics
from worker.services import Services
from worker.storage.tables import AlertRow, IncidentRow, InvestigationRow


def count(services: Services, table: Any) -> int:
    with services.database.transaction() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def path_of(services: Services, incident_id: str) -> str:
    with services.database.transaction() as session:
        return session.get_one(IncidentRow, incident_id).user_path


def alert(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "status": "firing",
        "labels": {"alertname": name, "service": "checkout"},
        "annotations": {},
        "startsAt": "2026-03-01T12:00:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "fingerprint": name,
        **changes,
    }


def group(*alerts: Any) -> dict[str, Any]:
    return {"version": "4", "receiver": "rca", "groupKey": "{}", "alerts": list(alerts)}


def test_an_event_is_answered_when_it_is_on_disk(client: AppClient, services: Services) -> None:
    answer = client.post("/v1/incidents", json={"title": "checkout p99 is high"})

    assert answer.status_code == 202
    said = answer.json()
    assert set(said) == {"incident_id", "outcome", "investigation_id", "status", "folded"}
    assert said["status"] == "running"
    assert not said["folded"]
    with services.database.transaction() as session:
        assert session.get_one(InvestigationRow, said["investigation_id"]).incident_id == said["incident_id"]


def test_the_same_key_again_is_answered_with_the_same_ids(client: AppClient, services: Services) -> None:
    first = client.post("/v1/incidents", json={"title": "a", "idempotency_key": "k1"})
    again = client.post("/v1/incidents", json={"title": "a", "idempotency_key": "k1"})

    assert (first.status_code, again.status_code) == (202, 200)
    assert [again.json()[i] for i in ("incident_id", "investigation_id")] == [
        first.json()[i] for i in ("incident_id", "investigation_id")
    ]
    assert count(services, AlertRow) == 1


def test_the_key_may_be_a_header_and_the_events_own_goes_before_it(client: AppClient) -> None:
    header = {"Idempotency-Key": "h1"}

    first = client.post("/v1/incidents", json={"title": "a"}, headers=header)
    again = client.post("/v1/incidents", json={"title": "a"}, headers=header)
    other = client.post("/v1/incidents", json={"title": "a", "idempotency_key": "k9"}, headers=header)

    assert [first.status_code, again.status_code, other.status_code] == [202, 200, 202]


def test_the_same_alert_again_is_folded(client: AppClient) -> None:
    first = client.post("/v1/incidents", json={"title": "disk at 91 %"}).json()
    second = client.post("/v1/incidents", json={"title": "disk at 95 %"})

    assert second.status_code == 202
    assert second.json()["folded"]
    assert second.json()["incident_id"] == first["incident_id"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not JSON"),
        (b"[]", "is a JSON object"),
        (b"\xff\xfe", "not JSON"),
        (b"{}", "title: is required"),
        (b'{"title": "a", "colour": "red"}', "colour: is not a field"),
        (b'{"title": "a", "started_at": "2026-01-01T00:00:00"}', "needs a time zone"),
        (b'{"title": NaN}', "no number"),
        (b"[" * 100_000, "nested"),
    ],
)
def test_what_is_no_event_is_refused_in_our_own_shape(client: AppClient, body: bytes, said: str) -> None:
    answer = client.post("/v1/incidents", content=body)

    assert answer.status_code == 400
    assert answer.json()["detail"]["error"] == "invalid_event"
    assert said in answer.json()["detail"]["message"]


def test_a_refused_event_is_counted(client: AppClient) -> None:
    def rejected() -> float:
        return metrics.REGISTRY.get_sample_value("rca_events_total", {"source": "http", "outcome": "rejected"}) or 0

    before = rejected()
    client.post("/v1/incidents", content=b"{}")

    assert rejected() == before + 1


@pytest.mark.parametrize("length", [0, 501])
def test_a_key_in_the_header_has_to_be_of_a_storable_length(client: AppClient, length: int) -> None:
    answer = client.post("/v1/incidents", json={"title": "a"}, headers={"Idempotency-Key": "x" * length})

    assert answer.status_code == 400
    assert "Idempotency-Key" in answer.json()["detail"]["message"]


def test_the_largest_event_fits_and_one_byte_more_does_not(client: AppClient) -> None:
    frame = len(json.dumps({"title": "a", "raw": {"x": ""}}))
    fits, exceeds = (json.dumps({"title": "a", "raw": {"x": "y" * (MAX_EVENT_BYTES - frame + n)}}) for n in (0, 1))

    assert len(fits) == MAX_EVENT_BYTES
    assert client.post("/v1/incidents", content=fits).status_code == 202
    refused = client.post("/v1/incidents", content=exceeds)
    assert refused.status_code == 413
    assert refused.json()["detail"]["error"] == "too_large"


def test_an_event_without_a_path_gets_its_tokens(client: AppClient, services: Services) -> None:
    header = token_for(services, "incidents:write", user_path="/team/a")

    answer = client.post("/v1/incidents", json={"title": "a"}, headers=header)

    assert path_of(services, answer.json()["incident_id"]) == "/team/a"


@pytest.mark.parametrize(
    ("path", "status"), [("/team/a", 202), ("/team/a/svc", 202), ("/team/ab", 403), ("/team", 403), ("/", 403)]
)
def test_an_event_lies_below_its_tokens_path(client: AppClient, services: Services, path: str, status: int) -> None:
    header = token_for(services, "incidents:write", user_path="/team/a")

    answer = client.post("/v1/incidents", json={"title": "a", "user_path": path}, headers=header)

    assert answer.status_code == status
    assert count(services, AlertRow) == (1 if status == 202 else 0)


def test_the_same_key_below_two_paths_is_two_events(client: AppClient, services: Services) -> None:
    event = {"title": "a", "idempotency_key": "k"}
    answers = [
        client.post("/v1/incidents", json=event, headers=token_for(services, "incidents:write", user_path=path))
        for path in ("/a", "/b")
    ]

    assert [a.status_code for a in answers] == [202, 202]
    assert len({a.json()["incident_id"] for a in answers}) == 2


def test_a_bad_alert_of_a_group_costs_no_other(client: AppClient, services: Services) -> None:
    bad = [alert("late", startsAt="yesterday"), "not an alert", {"status": "firing"}]

    other = alert("HighErrors", labels={"alertname": "HighErrors", "service": "billing"})

    answer = client.post("/v1/webhooks/alertmanager", json=group(alert("HighLatency"), *bad, other))

    assert answer.status_code == 202
    results = answer.json()["results"]
    assert [r["outcome"] for r in results] == ["accepted", "rejected", "rejected", "rejected", "accepted"]
    assert [r["index"] for r in results] == [0, 1, 2, 3, 4]
    assert all(r["message"] and r["incident_id"] is None for r in results[1:4])
    assert count(services, IncidentRow) == 2


def test_a_repeated_notification_adds_nothing(client: AppClient, services: Services) -> None:
    client.post("/v1/webhooks/alertmanager", json=group(alert("HighLatency")))

    (result,) = client.post("/v1/webhooks/alertmanager", json=group(alert("HighLatency"))).json()["results"]

    assert result["outcome"] == "repeated"
    assert count(services, AlertRow) == 1


def test_alerts_belong_to_the_path_of_the_token(client: AppClient, services: Services) -> None:
    header = token_for(services, "incidents:write", user_path="/team/a")

    (result,) = client.post("/v1/webhooks/alertmanager", json=group(alert("X")), headers=header).json()["results"]

    assert path_of(services, result["incident_id"]) == "/team/a"


@pytest.mark.parametrize(
    "payload", [{}, {"alerts": []}, {"alerts": "x"}, {"alerts": [{}] * 1001}, group({"status": "on"}), [1], "x"]
)
def test_a_group_without_one_readable_alert_is_refused(client: AppClient, payload: Any) -> None:
    answer = client.post("/v1/webhooks/alertmanager", json=payload)

    assert answer.status_code == 400
    assert answer.json()["detail"]["error"] == "invalid_event"


def test_an_event_without_a_start_begins_on_arrival(client: AppClient, services: Services) -> None:
    said = client.post("/v1/incidents", json={"title": "a"}).json()

    with services.database.transaction() as session:
        began = session.get_one(IncidentRow, said["incident_id"]).started_at
    assert isinstance(began, datetime)
    assert began.tzinfo is not None


def test_an_end_is_answered_as_one_and_opens_nothing(client: AppClient) -> None:
    fires = {"title": "checkout p99 is high", "started_at": "2026-03-01T12:00:00Z"}
    ends = fires | {"ended_at": "2026-03-01T12:05:00Z", "resolved": True}

    unknown = client.post("/v1/incidents", json=ends)
    opened = client.post("/v1/incidents", json=fires).json()
    said = client.post("/v1/incidents", json=ends).json()

    assert (unknown.status_code, unknown.json()["outcome"]) == (202, "unmatched")
    assert (unknown.json()["investigation_id"], unknown.json()["status"]) == (None, None)
    assert (said["outcome"], said["incident_id"]) == ("resolved", opened["incident_id"])


def test_alertmanagers_resolved_alert_closes_its_incident(client: AppClient, services: Services) -> None:
    fires = alert("HighLatency")
    ends = fires | {"status": "resolved", "endsAt": "2026-01-31T13:00:00Z"}

    opened = client.post("/v1/webhooks/alertmanager", json=group(fires)).json()["results"][0]
    said = client.post("/v1/webhooks/alertmanager", json=group(ends)).json()["results"][0]

    assert (said["outcome"], said["incident_id"]) == ("resolved", opened["incident_id"])
    shown = client.get(f"/v1/investigations/{opened['investigation_id']}").json()
    assert shown["resolved_at"] is not None
