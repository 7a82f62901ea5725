"""The metrics that alert rules and dashboards are written against."""

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from worker.ops import metrics

PROMISED = {
    "rca_queue_depth",
    "rca_oldest_runnable_seconds",
    "rca_turns",
    "rca_tokens",
    "rca_cost_usd",
    "rca_judge_verdicts",
    "rca_denials",
    "rca_guardrail_decisions",
    "rca_step_retries",
    "rca_cooldowns",
    "rca_sweeper_age_seconds",
    "rca_outbox_lag_seconds",
    "rca_heartbeat_lag_seconds",
}


def families() -> set[str]:
    text = metrics.render()[0].decode()
    return {family.name for family in text_string_to_metric_families(text)}


@pytest.mark.parametrize("name", sorted(PROMISED))
def test_what_operators_were_promised_is_there(name: str) -> None:
    assert name in families()


def test_every_metric_carries_the_products_name_and_a_description() -> None:
    for family in metrics.REGISTRY.collect():
        assert family.name.startswith("rca_")
        assert family.documentation.endswith(".")


def test_no_metric_is_labelled_by_an_id() -> None:
    """One series for each investigation would fill any Prometheus."""
    for collector in set(metrics.REGISTRY._collector_to_names):
        assert not [label for label in getattr(collector, "_labelnames", ()) if label.endswith("id")]


def test_a_count_is_rendered() -> None:
    metrics.DENIALS.labels(layer="test_layer").inc()

    assert 'rca_denials_total{layer="test_layer"} 1.0' in metrics.render()[0].decode()


def test_a_process_answers_prometheus_on_loopback() -> None:
    server, thread = metrics.serve(0)
    try:
        host, port = server.server_address[:2]
        answer = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

    assert host == "127.0.0.1"
    assert "rca_turns" in answer.text
