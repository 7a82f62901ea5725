"""An orchestrated investigation without any key: the offline analyst plays lead and sub-agents, on both databases."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builders import drain
from worker import pipeline
from worker.domain.report import Report
from worker.domain.states import ReportVerdict
from worker.evaluation.generator import FaultKind, generate_case
from worker.evaluation.replay import load_event
from worker.investigation.offline.analyst import OfflineAnalyst
from worker.services import Services
from worker.storage import reports

Open = Callable[..., Services]
ANALYST = "offline/analyst"
ENABLED = {"orchestrator_enabled": True, "rca_orchestrator_model": ANALYST, "rca_subagent_model": ANALYST}
ROLES = {
    "runtime_state_investigator",
    "error_signal_investigator",
    "dependency_investigator",
    "recent_change_investigator",
}


def publish(open_services: Open, root: Path, name: str) -> Report:
    """Take a recorded case from its event to its stored report, step by step as workers do."""
    services = open_services(OfflineAnalyst(), rca_recorded_root=root, **ENABLED)
    accepted = pipeline.accept(services, load_event(root, name, run="test"), via="test")
    drain(services, at_most=300)
    with services.database.transaction() as session:
        return reports.get(session, accepted.investigation_id)


@pytest.mark.parametrize("kind", [FaultKind.POOL_EXHAUSTION, FaultKind.BAD_DEPLOY])
def test_sub_agents_find_what_one_report_then_explains(kind: FaultKind, open_services: Open, tmp_path: Path) -> None:
    truth = generate_case(tmp_path / "case", seed=9300, kind=kind)

    report = publish(open_services, tmp_path, "case")

    assert report.root_causes[0].entity == truth.culprit
    assert {s.role for s in report.sub_agents} == ROLES
    assert [s.missing for s in report.sub_agents if s.missing] == []
    assert (report.partial, report.check_failures) == (None, ())
    assert set(report.models.values()) == {ANALYST}


def test_every_claim_cites_what_a_sub_agent_saw(open_services: Open, tmp_path: Path) -> None:
    generate_case(tmp_path / "case", seed=9301, kind=FaultKind.CPU_SATURATION)

    report = publish(open_services, tmp_path, "case")

    tools = {e.id: e.tool for e in report.evidence}
    cited = [c for cause in report.root_causes for c in cause.evidence]
    assert cited
    assert all(c.quote and tools[c.evidence_id] != "read_artifact" for c in cited)


def test_a_false_alarm_is_no_incident_in_the_published_report(open_services: Open, tmp_path: Path) -> None:
    generate_case(tmp_path / "case", seed=9302, kind=None)

    report = publish(open_services, tmp_path, "case")

    assert (report.verdict, report.submitted_verdict) == (ReportVerdict.NO_INCIDENT, None)
    assert report.verification is None
