"""How often the offline analyst is right about cases it has never seen; the bars are those it was built to."""

from pathlib import Path

import pytest

from tests.analyst_loop import Investigated, investigate_case
from worker.domain.incident import TimeWindow
from worker.domain.report import Evidence
from worker.domain.states import ReportVerdict
from worker.evaluation.generator import FaultKind, Truth, generate_case
from worker.investigation.claims import check_claims

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


@pytest.mark.parametrize("kind", [FaultKind.BAD_DEPLOY, FaultKind.POOL_EXHAUSTION])
def test_every_claim_holds_against_the_evidence(kind: FaultKind, tmp_path: Path) -> None:
    truth, found = investigate(tmp_path / "case", 9200, kind)
    onset = truth.onset
    assert onset is not None
    evidence = {
        i: Evidence(id=i, tool="any", arguments={}, status="succeeded", excerpt=text[:200])
        for i, text in found.texts.items()
    }

    checked = check_claims(
        found.submission,
        evidence=evidence,
        full_text=found.texts.__getitem__,
        window=TimeWindow(start=onset, end=onset.replace(year=onset.year + 1)),
        known_entities=[c.entity for c in found.submission.root_causes],
    )

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
