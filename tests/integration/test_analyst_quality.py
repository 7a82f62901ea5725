"""How often the offline analyst is right about cases it has never seen; the bars are those it was built to."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.analyst_loop import Investigated, investigate_case
from tests.builders import drain, incident
from tests.cases import CaseRows, write_case
from worker import pipeline
from worker.domain.incident import TimeWindow
from worker.domain.report import Evidence, Report
from worker.domain.states import ReportVerdict
from worker.evaluation.generator import FaultKind, Truth, generate_case
from worker.evaluation.replay import load_event
from worker.investigation.claims import Grounds, check_claims
from worker.investigation.offline.analyst import OfflineAnalyst
from worker.services import Services
from worker.storage import reports

Open = Callable[..., Services]

SEEDS = range(9000, 9003)
HEALTHY_SEEDS = range(9100, 9106)
RIGHT_CAUSE, RIGHT_CALM = 0.8, 0.9


def investigate(folder: Path, seed: int, kind: FaultKind | None) -> tuple[Truth, Investigated]:
    truth = generate_case(folder, seed=seed, kind=kind)
    return truth, investigate_case(folder)


def test_the_right_cause_is_named_first_for_most_unseen_faults(tmp_path: Path) -> None:
    wrong = []
    for kind in FaultKind:
        for seed in SEEDS:
            truth, found = investigate(tmp_path / f"{kind}-{seed}", seed, kind)
            if [c.entity for c in found.submission.root_causes][:1] != [truth.culprit]:
                wrong.append((kind, seed))

    assert len(wrong) <= (1 - RIGHT_CAUSE) * len(FaultKind) * len(SEEDS), wrong


def test_false_alarms_are_called_no_incident(tmp_path: Path) -> None:
    verdicts = [investigate(tmp_path / str(s), s, None)[1].submission.verdict for s in HEALTHY_SEEDS]

    assert verdicts.count(ReportVerdict.NO_INCIDENT) >= RIGHT_CALM * len(verdicts)


def write_recorded(folder: Path, **answers: list[Any]) -> None:
    """Write a case that holds nothing but what tools of other makers answered, each a list under its own name."""
    tools = [{"name": name, "description": name, "parameters": {"type": "object"}} for name in answers]
    calls = [{"tool": name, "arguments": {}, "output": json.dumps({name: found})} for name, found in answers.items()]
    event = incident(service="till").model_dump(mode="json")
    write_case(folder, CaseRows(recordings={"tools": tools, "calls": calls}, incident=event))


def publish(services: Services, root: Path, name: str) -> Report:
    """Take a recorded case from its event to its stored report, step by step as a worker does."""
    accepted = pipeline.accept(services, load_event(root, name, run="test"), via="test")
    drain(services)
    with services.database.transaction() as session:
        return reports.get(session, accepted.investigation_id)


def observed(report: Report) -> set[str]:
    """Return the tools whose results the report cites for what it ruled out."""
    cited = {c.evidence_id for ruled_out in report.ruled_out for c in ruled_out.evidence}
    return {e.tool for e in report.evidence if e.id in cited}


def test_a_false_alarm_keeps_its_verdict_in_the_published_report(open_services: Open, tmp_path: Path) -> None:
    services = open_services(OfflineAnalyst(), rca_recorded_root=tmp_path)
    for seed in HEALTHY_SEEDS:
        generate_case(tmp_path / str(seed), seed=seed, kind=None)

    published = [publish(services, tmp_path, str(seed)) for seed in HEALTHY_SEEDS]

    calm = [report for report in published if report.verdict is ReportVerdict.NO_INCIDENT]
    assert len(calm) >= RIGHT_CALM * len(published)
    assert all("rank_metric_changes" in observed(report) for report in calm)
    assert all(report.check_failures == () for report in calm)


def test_so_does_one_of_which_only_the_answers_of_foreign_tools_are_known(open_services: Open, tmp_path: Path) -> None:
    services = open_services(OfflineAnalyst(), rca_recorded_root=tmp_path)
    write_recorded(tmp_path / "calm", pods=[{"name": "till-1", "phase": "Running"}], events=[])

    report = publish(services, tmp_path, "calm")

    assert (report.verdict, report.check_failures) == (ReportVerdict.NO_INCIDENT, ())
    assert observed(report) == {"pods"}


def test_where_nothing_but_silence_was_seen_nothing_is_claimed(open_services: Open, tmp_path: Path) -> None:
    services = open_services(OfflineAnalyst(), rca_recorded_root=tmp_path)
    write_recorded(tmp_path / "silent", pods=[], events=[])

    report = publish(services, tmp_path, "silent")

    assert (report.verdict, report.submitted_verdict) == (ReportVerdict.INCONCLUSIVE, None)


@pytest.mark.parametrize("kind", [FaultKind.BAD_DEPLOY, FaultKind.POOL_EXHAUSTION])
def test_every_claim_holds_against_the_evidence(kind: FaultKind, tmp_path: Path) -> None:
    truth, found = investigate(tmp_path / "case", 9200, kind)
    onset = truth.onset
    assert onset is not None
    evidence = {
        i: Evidence(id=i, tool="any", arguments={}, status="succeeded", excerpt=text[:200])
        for i, text in found.texts.items()
    }

    grounds = Grounds(
        evidence=evidence,
        full_text=found.texts.__getitem__,
        window=TimeWindow(start=onset, end=onset.replace(year=onset.year + 1)),
        incident=TimeWindow(start=onset, end=onset),
        known_entities=[c.entity for c in found.submission.root_causes],
    )
    checked = check_claims(found.submission, grounds)

    assert checked.failures == ()
    assert checked.verdict is found.submission.verdict


def test_a_bad_deploy_is_named_as_the_guilty_change(tmp_path: Path) -> None:
    truth, found = investigate(tmp_path / "case", 9201, FaultKind.BAD_DEPLOY)
    (cause, *_) = found.submission.root_causes

    assert cause.entity == truth.culprit
    assert cause.change_id is not None


def test_an_investigation_takes_few_turns(tmp_path: Path) -> None:
    _, found = investigate(tmp_path / "case", 9202, FaultKind.NETWORK_DELAY)

    assert 2 <= found.turns <= 5
