"""A model that lies about what its tools said, from its event to the stored report: it is never taken to confirm."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.builders import drain, incident, report_arguments
from tests.cases import CaseRows, write_case
from tests.fakes import ScriptedModel, calls_tools
from worker import pipeline
from worker.domain.report import Report
from worker.reporting.plain import render_plain
from worker.services import Services
from worker.storage import reports

Open = Callable[..., Services]

STATS = '{"entity": "orders-db", "p99_ms": 945.2, "error_share": 0.124, "pool": "30 of 30 busy"}'
TOOLS = {
    "tools": [
        {"name": n, "description": n, "parameters": {"type": "object"}} for n in ("service_stats", "restarts", "absent")
    ],
    "calls": [
        {"tool": "service_stats", "arguments": {}, "output": STATS},
        {"tool": "restarts", "arguments": {}, "output": '{"entity": "mail", "restarts": 0}'},
    ],
}
TOPOLOGY = {"nodes": ["web", "orders-db", "mail"], "edges": [["web", "orders-db"], ["web", "mail"]]}
LOOKS = calls_tools(("service_stats", {}), ("restarts", {}), ("show_topology", {}), ("absent", {}))
TRUE: dict[str, Any] = {
    "entity": "orders-db",
    "category": "resource_pool",
    "statement": "All 30 connections of orders-db are busy; p99 is 945 ms and 12.4 % of calls fail.",
    "causal_chain": ["orders-db has no free connection", "web waits and fails"],
    "evidence": [{"evidence_id": "e1.1", "quote": "30 of 30 busy"}],
}


@pytest.fixture
def tell(open_services: Open, tmp_path: Path) -> Callable[..., Report]:
    """Return what makes the report of a model that claims this."""
    case = CaseRows(recordings=TOOLS, topology=TOPOLOGY, incident=incident(service="web").model_dump(mode="json"))
    write_case(tmp_path / "case", case)

    def report_of(summary: str = "orders-db is out of connections.", **lies: Any) -> Report:
        said = report_arguments(
            verdict="confirmed", confidence="high", summary=summary, root_causes=[TRUE | lies], impact=""
        )
        model = ScriptedModel([LOOKS, calls_tools(("submit_report", said))])
        services = open_services(model, rca_recorded_root=tmp_path)
        event = incident(service="web", labels={"recorded_case": "case"})
        accepted = pipeline.accept(services, event, via="test")
        drain(services)
        with services.database.transaction() as session:
            return reports.get(session, accepted.investigation_id)

    return report_of


def test_what_the_tools_said_is_confirmed(tell: Callable[..., Report]) -> None:
    report = tell()

    assert (report.check_failures, report.verdict, report.submitted_verdict) == ((), "confirmed", None)


@pytest.mark.parametrize(
    ("lie", "told"),
    [
        ({"evidence": [{"evidence_id": "e7.3", "quote": "OOMKilled"}]}, "cites e7.3, which is no result"),
        ({"evidence": [{"evidence_id": "e1.1", "quote": "OOMKilled 4 times"}]}, "quotes words that are not in e1.1"),
        ({"evidence": [{"evidence_id": "e1.2", "quote": "30 of 30 busy"}]}, "quotes words that are not in e1.2"),
        ({"evidence": [{"evidence_id": "e1.4"}]}, "cites e1.4, a call that did not succeed"),
        ({"evidence": [{"evidence_id": "e1.1", "quote": "29 of 30 busy"}]}, "with numbers that differ"),
        ({"evidence": [{"evidence_id": "e1.1"}]}, "quotes nothing of what it cites"),
        ({"evidence": []}, "cites no evidence"),
        ({"statement": "p99 of orders-db is 9452 ms."}, "states 9452 ms"),
        ({"statement": "Of the calls to orders-db 41 % fail."}, "states 41 %"),
        ({"causal_chain": ["orders-db fails 8,000 calls"]}, "states 8,000"),
        ({"entity": "payments"}, "payments is named in none of the evidence cited"),
        ({"entity": "orders"}, "orders is named in none of the evidence cited"),
        ({"change_id": "9f3c2ab"}, "the change 9f3c2ab is in none of the evidence cited"),
        ({"causal_chain": ["mail is down", "web fails"]}, "goes from orders-db to mail"),
        ({"summary": "73 % of all orders were lost."}, "states 73 %"),
    ],
)
def test_a_lie_is_named_in_the_report_and_never_confirmed(
    tell: Callable[..., Report], lie: dict[str, Any], told: str
) -> None:
    report = tell(**lie)

    assert report.verdict in {"likely", "inconclusive"}
    assert report.submitted_verdict == "confirmed"
    assert any(told in failure.problem for failure in report.check_failures), report.check_failures
    assert told in " ".join(render_plain(report).split())
