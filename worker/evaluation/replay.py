"""Recorded cases become incidents again, and what came of them becomes outcomes to score."""

import json
from pathlib import Path

from worker.domain.incident import IncidentEvent
from worker.domain.report import Report
from worker.errors import UserError
from worker.evaluation.scoring import CaseTruth, Outcome, parse_truth
from worker.tools.toolbox import CASE_LABEL

INCIDENT = "incident.json"
TRUTH = "truth.json"


def find_cases(root: Path) -> list[str]:
    """Return the names of the cases below `root`, as their paths from it. Raises `UserError` if there are none."""
    names = sorted(file.parent.relative_to(root).as_posix() for file in root.rglob(INCIDENT))
    if not names:
        raise UserError(f"there is no {INCIDENT} below {root}: name a folder of recorded cases")
    return names


def case_id(name: str) -> str:
    return name.rsplit("/", 1)[-1]


def load_event(root: Path, name: str, *, run: str) -> IncidentEvent:
    """Return the case's event. Each run of each case has a path of its own, so that no two fold into one."""
    try:
        fields = json.loads((root / name / INCIDENT).read_text())
        labels = {**fields.get("labels", {}), CASE_LABEL: name}
        key = f"{run}:{name}"
        path = f"/evaluation/{run}/{name}"
        return IncidentEvent.model_validate({**fields, "labels": labels, "idempotency_key": key, "user_path": path})
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{root / name / INCIDENT} is not an incident: {error}") from error


def load_truth(files: list[Path]) -> dict[str, CaseTruth]:
    """Read the truth of all sets; a set is named by the last two folders its file is in."""
    truth: dict[str, CaseTruth] = {}
    for file in files:
        name = "/".join(file.resolve().parent.parts[-2:])
        try:
            truth |= parse_truth(name, json.loads(file.read_text()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{file} is no truth file ({type(error).__name__})") from error
    return truth


def find_truth(root: Path) -> list[Path]:
    return sorted(root.rglob(TRUTH))


def to_outcome(name: str, report: Report | None, *, failed: str | None = None) -> Outcome:
    """Return what an investigation came to; `failed` says why there is no report."""
    if report is None:
        return Outcome(case_id(name), verdict=None, failed=failed or "no report")
    changes = [cause.change_id for cause in report.root_causes if cause.change_id]
    ranked = tuple(cause.entity for cause in report.root_causes)
    return Outcome(case_id(name), report.verdict, ranked, change_id=changes[0] if changes else None)
