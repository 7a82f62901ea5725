"""Alertmanager's groups become events, with what an investigation needs taken from labels and annotations."""

from datetime import UTC, datetime
from typing import Any

import pytest

from worker.domain.incident import Severity
from worker.errors import EventError
from worker.intake.alertmanager import parse_alertmanager


def alert(**changes: Any) -> dict[str, Any]:
    return {
        "status": "firing",
        "labels": {"alertname": "LatencyHigh", "severity": "page", "service": "checkout", "job": "scrape"},
        "annotations": {"summary": "checkout is slow", "description": "p99 over 2 s", "runbook_url": "https://r/1"},
        "startsAt": "2026-01-31T12:00:00.123456789+02:00",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus/graph?g0",
        "fingerprint": "c6eadffa33fcdf37",
    } | changes


def group(*alerts: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "version": "4",
        "groupKey": '{}:{alertname="LatencyHigh"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "rca",
        "groupLabels": {"alertname": "LatencyHigh"},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager",
        "alerts": list(alerts) or [alert()],
    } | changes


def test_a_firing_alert_becomes_an_event() -> None:
    [event] = parse_alertmanager(group())

    assert event.title == "checkout is slow"
    assert event.source == "alertmanager"
    assert event.severity is Severity.CRITICAL
    assert event.service == "checkout"
    assert event.started_at == datetime(2026, 1, 31, 10, 0, 0, 123456, tzinfo=UTC)
    assert event.ended_at is None
    assert event.description == "p99 over 2 s"
    assert event.links == ("http://prometheus/graph?g0", "https://r/1", "http://alertmanager")
    assert event.raw is not None
    assert event.raw["alert"]["fingerprint"] == "c6eadffa33fcdf37"


def test_every_alert_of_a_group_is_an_event() -> None:
    second = alert(labels={"alertname": "Errors", "job": "cart"}, fingerprint="f2", annotations={})

    events = parse_alertmanager(group(alert(), second))

    assert [(e.title, e.service) for e in events] == [("checkout is slow", "checkout"), ("Errors", "cart")]


def test_a_resolved_alert_carries_its_end_and_another_key() -> None:
    resolved = alert(status="resolved", endsAt="2026-01-31T11:00:00Z")

    [firing], [ended] = parse_alertmanager(group()), parse_alertmanager(group(resolved))

    assert ended.ended_at == datetime(2026, 1, 31, 11, tzinfo=UTC)
    assert ended.idempotency_key != firing.idempotency_key


def test_the_guessed_end_of_a_firing_alert_is_ignored() -> None:
    [event] = parse_alertmanager(group(alert(endsAt="2026-01-31T12:05:00Z")))

    assert event.ended_at is None


def test_a_repeated_notification_has_the_same_key_and_a_new_firing_another() -> None:
    [first] = parse_alertmanager(group())
    [repeated] = parse_alertmanager(group(alert(annotations={"summary": "now worse"})))
    [again] = parse_alertmanager(group(alert(startsAt="2026-02-01T00:00:00Z")))

    assert first.idempotency_key == repeated.idempotency_key != again.idempotency_key


def test_without_a_fingerprint_the_labels_make_the_key() -> None:
    other = {"alertname": "LatencyHigh", "service": "cart"}

    [one], [two] = (parse_alertmanager(group(alert(fingerprint="", labels=x))) for x in ({"alertname": "a"}, other))

    assert one.idempotency_key != two.idempotency_key


@pytest.mark.parametrize(
    ("word", "severity"),
    [("page", "critical"), ("warning", "medium"), ("P2", "high"), ("sev-banana", "medium"), ("", "medium")],
)
def test_any_severity_word_is_read(word: str, severity: str) -> None:
    [event] = parse_alertmanager(group(alert(labels={"alertname": "x", "severity": word})))

    assert event.severity == severity


def test_an_alert_too_wordy_is_cut_not_lost() -> None:
    wordy = alert(annotations={"summary": "s" * 900, "description": "d" * 90_000})
    wordy["labels"] = {f"label{i}": "v" * 9000 for i in range(300)} | {"service": "x" * 900}

    [event] = parse_alertmanager(group(wordy))

    assert (len(event.title), len(event.description), len(event.labels)) == (500, 20_000, 200)


def test_a_link_that_is_no_web_address_is_left_out() -> None:
    [event] = parse_alertmanager(group(alert(generatorURL="javascript:alert(1)", annotations={}), externalURL=""))

    assert event.links == ()


def test_grafanas_links_are_kept() -> None:
    [event] = parse_alertmanager(group(alert(dashboardURL="https://grafana/d/1", panelURL="https://grafana/d/1?p=2")))

    assert {"https://grafana/d/1", "https://grafana/d/1?p=2"} <= set(event.links)


def test_a_start_that_is_not_known_is_left_open() -> None:
    [event] = parse_alertmanager(group(alert(startsAt="0001-01-01T00:00:00Z")))

    assert event.started_at is None


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({}, "alerts:"),
        ({"alerts": []}, "alerts:"),
        ({"alerts": ["x"]}, "alerts.0:"),
        (group(alert(), alert(startsAt="noon")), "alerts.1.startsAt:"),
        (group(alert(status="odd")), "alerts.0.status:"),
        (group(alert(labels={"a": 1})), "alerts.0.labels.a:"),
    ],
)
def test_what_does_not_fit_is_named_by_its_place(payload: dict[str, Any], field: str) -> None:
    with pytest.raises(EventError, match=f"^{field}"):
        parse_alertmanager(payload)
