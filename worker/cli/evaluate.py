"""`rca eval run`: replay recorded incidents through the queue, then compare the reports with what is known."""

import secrets
import tempfile
import time
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

import click
from redis import Redis

from worker.cli.scoreboard import Replayed, Round, print_json, print_table
from worker.cli.stack import Stack, running_stack
from worker.domain.states import InvestigationStatus
from worker.errors import ConfigError, NotFoundError, UserError, WorkerError
from worker.evaluation import replay
from worker.evaluation.scoring import CaseTruth, score
from worker.llm.choices import VARIABLES
from worker.llm.role_routes import TEAM
from worker.llm.routing import Role, Router
from worker.settings import Settings, load_settings
from worker.storage import investigations, reports, usage
from worker.storage.database import Database
from worker.storage.investigations import Filter, Listed

POLL_S = 1.0
BUSY_S = 60.0
"""How long a database that all cores wait for may not answer: hours of replay are not lost to one such moment."""
RUNNING_AT_ONCE = 8
PAGE = 200
MODES = ("single", "orchestrated")
BOTH = "both"
ENABLED = "ORCHESTRATOR_ENABLED"


@click.group(name="eval")
def evaluate() -> None:
    """Measure how good the investigations are."""


@evaluate.command()
@click.argument("cases", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--truth", "truth_files", multiple=True, type=Path, help="A truth.json; default: those below CASES.")
@click.option(
    "--mode",
    type=click.Choice([*MODES, BOTH]),
    help="One agent, a lead with sub-agents, or one after the other; default: as configured.",
)
@click.option("--json", "as_json", is_flag=True, help="Print scores and outcomes as JSON.")
@click.option("--timeout", "timeout_s", default=3600.0, show_default=True, help="Seconds for all cases of a mode.")
def run(cases: Path, truth_files: tuple[Path, ...], mode: str | None, *, as_json: bool, timeout_s: float) -> None:
    """Replay every recorded case below CASES and score the reports.

    \b
    Example: rca eval run recorded/ --truth recorded/truth.json --mode both
    """  # noqa: D301 - click's mark for a paragraph that keeps its lines
    root = cases.resolve()
    files = [_located(file, root) for file in truth_files] or replay.find_truth(root)
    modes = MODES if mode == BOTH else (mode,)
    ran = [(one, *_run_all(root, one, timeout_s=timeout_s)) for one in modes]
    truth = replay.load_truth(files, root, replay.find_cases(root))  # read by the scorer alone, after all runs
    rounds = [_scored(one, replayed, truth, wall_s=wall_s) for one, replayed, wall_s in ran]
    print_json(rounds) if as_json else print_table(rounds)


def _run_all(root: Path, mode: str | None, *, timeout_s: float) -> tuple[list[Replayed], float]:
    """Replay all cases on a system of their own; return what came of them, and the seconds of all together."""
    settings = load_settings()
    overrides = {"RCA_RECORDED_ROOT": str(root), "RCA_MAX_RUNNING": str(RUNNING_AT_ONCE), "DATABASE_URL": ""}
    with (
        tempfile.TemporaryDirectory(prefix="rca-eval-") as home,
        running_stack(settings, Path(home), REDIS_URL="", **overrides, **overrides_of(mode, settings)) as stack,
    ):
        started = time.monotonic()
        replayed = _replay(stack, root, replay.find_cases(root), timeout_s=timeout_s)
        return replayed, time.monotonic() - started


def overrides_of(mode: str | None, settings: Settings) -> dict[str, str]:
    """Return the variables of a mode. Models that are not named for it are the single agent's: the same is compared.

    Raises `ConfigError` where that has none.
    """
    if mode is None:
        return {}
    if mode == "single":
        return {ENABLED: "false"}
    alone = settings.model_copy(update={ENABLED.lower(): False})
    label = Router(alone).route(Role.RCA).label
    unnamed = [] if _names_a_team(settings) else [VARIABLES[role] for role in TEAM]
    return {ENABLED: "true", **{name: label for name in unnamed if not getattr(settings, name.lower())}}


def _names_a_team(settings: Settings) -> bool:
    """Say whether lead and sub-agents have models, by whatever variable."""
    try:
        Router(settings.model_copy(update={ENABLED.lower(): True}))
    except ConfigError:
        return False
    return True


def _scored(mode: str | None, replayed: list[Replayed], truth: Mapping[str, CaseTruth], *, wall_s: float) -> Round:
    scores = score((r.outcome for r in replayed if r.outcome.case_id in truth), truth)
    unscored = tuple(r.name for r in replayed if r.outcome.case_id not in truth)
    return Round(mode, tuple(replayed), tuple(scores), unscored, wall_s)


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
        wanted = Filter(user_path=path, before=before, limit=PAGE)
        page = database.insist(partial(investigations.page, wanted=wanted), for_s=BUSY_S)
        yield from page
        if len(page) < PAGE:
            return
        before = page[-1].id


def _replayed(database: Database, name: str, row: Listed | None) -> Replayed:
    if row is None or row.finished_at is None:
        return Replayed(name, "unfinished", 0.0, replay.to_outcome(name, None, failed="did not end in time"))
    lines = database.insist(partial(usage.lines, investigation_id=row.id), for_s=BUSY_S)
    seconds = (row.finished_at - row.created_at).total_seconds()
    if row.status != InvestigationStatus.COMPLETED:
        why = f"{row.failure_class}: {row.failure_reason}" if row.failure_class else "ended without a report"
        return Replayed(name, row.status, seconds, replay.to_outcome(name, None, failed=why), lines)
    try:
        report = database.insist(partial(reports.get, investigation_id=row.id), for_s=BUSY_S)
    except NotFoundError as error:
        return Replayed(name, row.status, seconds, replay.to_outcome(name, None, failed=str(error)), lines)
    return Replayed(name, row.status, report.duration_s or seconds, replay.to_outcome(name, report), lines)
