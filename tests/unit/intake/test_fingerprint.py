"""Tellings of one alert share a fingerprint; different alerts and different owners do not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.incident import IncidentEvent
from worker.intake.fingerprint import fingerprint, mask_title

BASE = {
    "title": "p99 of checkout above 2.1 s",
    "source": "alertmanager",
    "service": "checkout",
    "labels": {"alertname": "LatencyHigh", "team": "shop"},
}


def of(**changes: object) -> str:
    return fingerprint(IncidentEvent.model_validate({**BASE, **changes}))


def labels(**more: str) -> dict[str, str]:
    return {"alertname": "LatencyHigh", "team": "shop", **more}


@pytest.mark.parametrize(
    "changes",
    [
        {"title": "p99 of checkout above 3 s"},
        {"title": "P99  of Checkout above 17.25 s "},
        {"severity": "critical"},
        {"started_at": "2026-01-31T12:00:00Z"},
        {"description": "another text", "links": ["http://a"], "raw": {"value": 3}, "idempotency_key": "k"},
        {"labels": labels(pod="checkout-7d9f8b6c5-x2x9z", instance="10.0.0.7:9100")},
        {"labels": labels(severity="page", prometheus="a/b", value="93")},
        {"service": "Checkout "},
    ],
)
def test_another_telling_of_the_alert_is_the_same(changes: dict[str, object]) -> None:
    assert of(**changes) == of()


@pytest.mark.parametrize(
    "changes",
    [
        {"title": "error rate of checkout above 2.1"},
        {"source": "grafana"},
        {"title": "p99 of checkout 2 above 2 s"},
        {"service": "cart"},
        {"service": None},
        {"labels": labels(namespace="staging")},
        {"labels": labels(recorded_case="c1")},
        {"labels": {"alertname": "LatencyVeryHigh", "team": "shop"}},
        {"user_path": "/team/alpha"},
    ],
)
def test_another_alert_is_another(changes: dict[str, object]) -> None:
    assert of(**changes) != of()


def test_without_a_service_the_instance_identifies() -> None:
    first, second = labels(instance="db-1:9100"), labels(instance="db-2:9100")

    assert of(service=None, labels=first) != of(service=None, labels=second)


def test_the_order_of_labels_does_not_matter() -> None:
    turned = dict(reversed(labels().items()))

    assert of(labels=turned) == of()


@pytest.mark.parametrize(
    ("title", "masked"),
    [
        ("Disk at 93% since 12:30:05", "disk at <n>% since <n>"),
        ("Job 0f8fad5b-d9cb-469f-a165-70867728950e failed", "job <id> failed"),
        ("commit 3c8fdc8a99 broke it", "commit <id> broke it"),
        ("queue 7 of shard-3 holds 1200 requests", "queue 7 of shard-3 holds <n> requests"),
        ("incident 17", "incident 17"),
        ("v2.1 of cart: errors > 5", "v2.1 of cart: errors > <n>"),
        ("facade and decade stay words", "facade and decade stay words"),
    ],
)
def test_numbers_and_ids_are_masked(title: str, masked: str) -> None:
    assert mask_title(title) == masked


@given(st.integers(min_value=0), st.floats(min_value=0, max_value=1e6, allow_nan=False))
def test_no_measurement_changes_the_fingerprint(threshold: int, value: float) -> None:
    title = f"queue at {value:.2f}, limit {threshold}"

    assert of(title=title) == of(title="queue at 1.00, limit 2")


@given(st.text(min_size=1).filter(lambda text: text.strip()))
def test_a_fingerprint_is_32_hex_digits_for_any_title(title: str) -> None:
    assert set(of(title=title[:400].strip() or "x")) <= set("0123456789abcdef")
    assert len(of(title="x")) == 32
