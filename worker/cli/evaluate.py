"""`rca eval run`: replay recorded incidents through the queue, then compare the reports with what is known."""

import json
import secrets
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
from redis import Redis

from worker.cli.stack import Stack, running_stack
from worker.domain.states import InvestigationStatus
from worker.errors import NotFoundError, UserError, WorkerError
from worker.evaluation import replay
from worker.evaluation.scoring import CaseTruth, Outcome, SetScore, score
from worker.settings import load_settings
from worker.storage import investigations, reports
from worker.storage.database import Database
from worker.storage.investigations import Filter, Listed

POLL_S = 1.0
RUNNING_AT_ONCE = 8
PAGE = 200
COLUMNS = (
    "ac_at_1",
    "ac_at_3",
    "avg_at_5",
    "specificity",
    "no_incident_on_incidents",
    "commit_accuracy",
    "verdict_accuracy",
)
HEADINGS = ("AC@1", "AC@3", "Avg@5", "specificity", "false no_incident", "commit", "verdict")


@click.group(name="eval")
def evaluate() -> None:
    """Measure how good the investigations are."""


@evaluate.command()
@click.argument("cases", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--truth", "truth_files", multiple=True, type=Path, help="A truth.json; default: those below CASES.")
@click.option("--json", "as_json", is_flag=True, help="Print scores and outcomes as JSON.")
@click.option("--timeout", "timeout_s", default=3600.0, show_default=True, help="Seconds for all cases together.")
def run(cases: Path, truth_files: tuple[Path, ...], as_json: bool, timeout_s: float) -> None:  # noqa: FBT001 - click
    """Replay every recorded case below CASES and score the reports.

    \b
    Example: rca eval run recorded/ --truth recorded/truth.json
    """  # noqa: D301 - click's mark for a paragraph that keeps its lines
    root = cases.resolve()
    names = replay.find_cases(root)
    files = [_located(file, root) for file in truth_files] or replay.find_truth(root)
    with tempfile.TemporaryDirectory(prefix="rca-eval-") as home:
        overrides = {"RCA_RECORDED_ROOT": str(root), "RCA_MAX_RUNNING": str(RUNNING_AT_ONCE), "DATABASE_URL": ""}
        with running_stack(load_settings(), Path(home), REDIS_URL="", **overrides) as stack:
            replayed = _replay(stack, root, names, timeout_s=timeout_s)
    truth = replay.load_truth(files, root, names)  # read by the scorer alone, after all runs
    scored = score((r.outcome for r in replayed if r.outcome.case_id in truth), truth)
    _print_json(replayed, scored) if as_json else _print_table(replayed, scored, unknown=_unknown(replayed, truth))


@dataclass(frozen=True)
class Replayed:
    """One case and what came of it; `seconds` from its admission to its end, or from its arrival without a report."""

    name: str
    status: str
    seconds: float
    outcome: Outcome


def _located(file: Path, root: Path) -> Path:
    """Take a relative path from here, or else from the folder of the cases."""
    for candidate in (file, root / file):
        if candidate.is_file():
            return candidate
    raise UserError(f"--truth: there is no file {file}, neither here nor in {root}")


def _replay(stack: Stack, root: Path, names: list[str], *, timeout_s: float) -> list[Replayed]:
    run_id = secrets.token_hex(4)
    with Redis.from_url(stack.up.redis_url) as redis:
        for name in names:
            event = replay.load_event(root, name, run=run_id)
            redis.xadd(stack.settings.rca_stream, {"event": event.model_dump_json()})
    database = Database(stack.settings.database)
    try:
        ended = _wait(stack, database, run_id=run_id, count=len(names), timeout_s=timeout_s)
        return [_replayed(database, name, ended.get(f"/evaluation/{run_id}/{name}")) for name in names]
    finally:
        database.close()


def _wait(stack: Stack, database: Database, *, run_id: str, count: int, timeout_s: float) -> dict[str, Listed]:
    """Return the ended investigations by user path, all of them or those that ended in time.

    Raises `WorkerError` where the system ends before them.
    """
    ends = time.monotonic() + timeout_s
    ended: dict[str, Listed] = {}
    while len(ended) < count and time.monotonic() < ends:
        time.sleep(POLL_S)
        is_running = stack.child.poll() is None
        ended = {row.user_path: row for row in _all(database, f"/evaluation/{run_id}") if row.finished_at}
        if len(ended) < count and not is_running:
            raise WorkerError(f"{len(ended)} of {count} cases had ended when {stack.tell_end()}")
    return ended


def _all(database: Database, path: str) -> Iterable[Listed]:
    before: str | None = None
    while True:
        with database.transaction() as session:
            page = investigations.page(session, Filter(user_path=path, before=before, limit=PAGE))
        yield from page
        if len(page) < PAGE:
            return
        before = page[-1].id


def _replayed(database: Database, name: str, row: Listed | None) -> Replayed:
    if row is None or row.finished_at is None:
        return Replayed(name, "unfinished", 0.0, replay.to_outcome(name, None, failed="did not end in time"))
    seconds = (row.finished_at - row.created_at).total_seconds()
    if row.status != InvestigationStatus.COMPLETED:
        why = f"{row.failure_class}: {row.failure_reason}" if row.failure_class else "ended without a report"
        return Replayed(name, row.status, seconds, replay.to_outcome(name, None, failed=why))
    try:
        with database.transaction() as session:
            report = reports.get(session, row.id)
    except NotFoundError as error:
        return Replayed(name, row.status, seconds, replay.to_outcome(name, None, failed=str(error)))
    return Replayed(name, row.status, report.duration_s or seconds, replay.to_outcome(name, report))


def _print_json(replayed: list[Replayed], scores: list[SetScore]) -> None:
    body = {"scores": [asdict(s) for s in scores], "cases": [asdict(r) for r in replayed]}
    print(json.dumps(body, indent=1, default=str))


def _unknown(replayed: list[Replayed], truth: Mapping[str, CaseTruth]) -> list[str]:
    return [r.name for r in replayed if r.outcome.case_id not in truth]


def _print_table(replayed: list[Replayed], scores: list[SetScore], *, unknown: Sequence[str]) -> None:
    reported = sum(r.outcome.failed is None for r in replayed)
    print(f"{reported} of {len(replayed)} cases ended in a report")
    for r in replayed:
        if r.outcome.failed is not None:
            print(f"  {r.name}: {r.status}, {r.outcome.failed}")
    if unknown:
        print(f"not scored, no truth file knows them: {', '.join(unknown)}")
    print("\n" + "  ".join([f"{'set':<22}", f"{'system':<20}", "   n", *(f"{h:>17}" for h in HEADINGS)]))
    for s in scores:
        shares = (getattr(s, column) for column in COLUMNS)
        cells = (f"{'-' if share is None else format(share, '.2f'):>17}" for share in shares)
        print("  ".join([f"{s.set_name:<22}", f"{s.system:<20}", f"{s.n:>4}", *cells]))
