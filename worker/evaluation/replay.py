"""Recorded cases become incidents again, and what came of them becomes outcomes to score."""

import json
from dataclasses import dataclass
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
    """Return what the case is called in its own set."""
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


@dataclass(frozen=True)
class _TruthFile:
    """What one file tells, by the ids of cases; `folder` is where it lies."""

    path: Path
    folder: Path
    known: dict[str, CaseTruth]


def load_truth(files: list[Path], root: Path, names: list[str]) -> dict[str, CaseTruth]:
    """Return the truth of the cases below `root` by their names, as far as the files know it.

    A file tells of the cases below its own folder, and the nearest one is right: two sets may use one name. A file
    that lies above no case tells of all. A set is named by the last two folders its file is in. Raises `UserError`
    for a file that is none, and where two files would be right.
    """
    read = [_read_truth(file) for file in dict.fromkeys(file.resolve() for file in files)]
    folders = {name: frozenset((root / name).resolve().parents) for name in names}
    above = frozenset().union(*folders.values())
    told = {
        name: _tell(name, [f for f in read if f.folder in own or f.folder not in above], own)
        for name, own in folders.items()
    }
    return {name: known for name, known in told.items() if known}


def _tell(name: str, files: list[_TruthFile], folders: frozenset[Path]) -> CaseTruth | None:
    """Return what the nearest of these files tells of a case; `folders` are those above it."""
    knowing = [file for file in files if case_id(name) in file.known]
    depths = [len(file.folder.parts) if file.folder in folders else 0 for file in knowing]
    right = [file for file, depth in zip(knowing, depths, strict=True) if depth == max(depths)]
    if len(right) > 1:
        raise UserError(f"the truth of {name} stands in {' and in '.join(str(f.path) for f in right)}: name one")
    return right[0].known[case_id(name)] if right else None


def _read_truth(file: Path) -> _TruthFile:
    name = "/".join(file.parent.parts[-2:])
    try:
        return _TruthFile(file, file.parent, parse_truth(name, json.loads(file.read_text())))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{file} is no truth file ({type(error).__name__})") from error


def find_truth(root: Path) -> list[Path]:
    return sorted(root.rglob(TRUTH))


def to_outcome(name: str, report: Report | None, *, failed: str | None = None) -> Outcome:
    """Return what an investigation came to; `failed` says why there is no report."""
    if report is None:
        return Outcome(name, verdict=None, failed=failed or "no report")
    changes = [cause.change_id for cause in report.root_causes if cause.change_id]
    ranked = tuple(cause.entity for cause in report.root_causes)
    return Outcome(name, report.verdict, ranked, change_id=changes[0] if changes else None)
