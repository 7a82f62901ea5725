"""`rca demo`: one invented incident through the whole system, and its report."""

import json
import sys
import time
from collections.abc import Callable
from typing import TypeVar

import click
from redis import Redis

from worker.cli.stack import Stack, running_stack
from worker.domain.incident import IncidentEvent
from worker.domain.report import Report
from worker.domain.states import InvestigationStatus
from worker.errors import UserError, WorkerError
from worker.evaluation.generator import Truth, generate_case
from worker.evaluation.generator_faults import FaultKind
from worker.reporting.render import render_page, render_plain
from worker.settings import load_settings
from worker.storage import investigations, reports
from worker.storage.database import Database
from worker.storage.investigations import Filter
from worker.tools.toolbox import CASE_LABEL

CASE = "demo"
SEED = 7
LIMIT_S = 150.0
POLL_S = 0.3

Found = TypeVar("Found")


@click.command()
@click.option("--seed", default=SEED, show_default=True, help="Another seed is another shop and another fault.")
@click.option("--healthy", is_flag=True, help="An alert although nothing is wrong.")
@click.option("--keep/--no-keep", default=None, help="Keep running until Ctrl-C; default: if this is a terminal.")
def demo(seed: int, healthy: bool, keep: bool | None) -> None:  # noqa: FBT001 - click passes flags by name
    """Investigate one invented incident on this machine and print the report.

    Everything runs here, on embedded defaults. With a provider's key in the environment its model investigates,
    without any the built-in offline analyst does.
    """
    settings = load_settings()
    home = settings.rca_home / "demo"
    kinds = list(FaultKind)
    kind = None if healthy else kinds[seed % len(kinds)]
    truth = generate_case(home / "cases" / CASE, seed=seed, kind=kind)
    click.echo("starting Redis, web, intake, workers …")
    with running_stack(settings, home, RCA_RECORDED_ROOT=str((home / "cases").resolve()), DATABASE_URL="") as stack:
        investigation_id = _enqueue(stack)
        report = _wait(stack, investigation_id)
        _show(stack, report, truth)
        _stay(stack, is_kept=sys.stdout.isatty() if keep is None else keep)


def _enqueue(stack: Stack) -> str:
    """Send the incident the way an alerting system does; return its investigation's id."""
    path = f"/demo/{time.time_ns()}"
    fields = json.loads((stack.home / "cases" / CASE / "incident.json").read_text())
    labels = {**fields.get("labels", {}), CASE_LABEL: CASE}
    event = IncidentEvent.model_validate({**fields, "labels": labels, "user_path": path})
    click.echo(f"incident: {event.title}")
    with Redis.from_url(stack.up.redis_url) as redis:
        redis.xadd(stack.settings.rca_stream, {"event": event.model_dump_json()})
    return _until(stack, lambda database: _investigation_of(database, path), "no worker took the incident in")


def _investigation_of(database: Database, path: str) -> str | None:
    with database.transaction() as session:
        found = investigations.page(session, Filter(user_path=path))
    return found[0].id if found else None


def _wait(stack: Stack, investigation_id: str) -> Report:
    click.echo(f"investigation: {investigation_id}")
    return _until(stack, lambda database: _report_of(database, investigation_id), "there is no report yet")


def _report_of(database: Database, investigation_id: str) -> Report | None:
    with database.transaction() as session:
        row = investigations.get(session, investigation_id)
        if row.status == InvestigationStatus.FAILED:
            raise UserError(f"the investigation failed: {row.failure_class}: {row.failure_reason}")
        return reports.get(session, investigation_id) if row.status == InvestigationStatus.COMPLETED else None


def _until(stack: Stack, look: Callable[[Database], Found | None], problem: str) -> Found:
    """Look until there is something, for a bounded time."""
    database = Database(stack.settings.database)
    ends = time.monotonic() + LIMIT_S
    try:
        while time.monotonic() < ends:
            found = look(database)
            if found is not None:
                return found
            time.sleep(POLL_S)
    finally:
        database.close()
    raise WorkerError(f"{problem} after {LIMIT_S:g} s; the output of all processes is in {stack.log}")


def _show(stack: Stack, report: Report, truth: Truth) -> None:
    page = stack.home / "report.html"
    page.write_text(render_page(report))
    click.echo(f"\n{render_plain(report)}\n")
    shown = report.evidence[0].id if report.evidence else "ID"
    injected = f"{truth.kind} in {truth.culprit}" if truth.kind else "nothing: the alert is a false alarm"
    click.echo(f"injected fault     {injected}")
    click.echo(f"the page           {stack.up.local_url}/investigations/{report.investigation_id}")
    click.echo(f"the page, a file   {page.resolve()}")
    click.echo(f"one evidence       RCA_HOME={stack.home} rca report show {report.investigation_id} --evidence {shown}")


def _stay(stack: Stack, *, is_kept: bool) -> None:
    if not is_kept:
        click.echo(f"to look again      RCA_HOME={stack.home} rca up")
        return
    click.echo("running until Ctrl-C")
    try:
        while True:
            time.sleep(1)
    except KeyboardInterrupt:
        click.echo("stopping")
