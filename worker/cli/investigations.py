"""`rca investigations`: what was and is investigated, how it stands, and what a person may do about it."""

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any, BinaryIO

import click
from pydantic import BaseModel, ValidationError

from worker import budgeting, handover
from worker.cli.follow import tell_failure, tell_verdict, ways_to_open
from worker.cli.managed import open_services
from worker.cli.stored import find_id, open_database
from worker.cli.system import find_settings
from worker.cli.telling import tell_call, tell_cost, tell_delivery, tell_failed_ask, tell_turn
from worker.cli.tree import tell_tree
from worker.domain.callers import CallersModel
from worker.domain.report import Report, UsageLine
from worker.domain.states import InvestigationStatus
from worker.errors import UserError
from worker.llm.client import ProviderClient
from worker.reporting import words
from worker.reporting.inert import one_line
from worker.reporting.words import several
from worker.storage import activity, alerts, deliveries, interventions, reports, usage
from worker.storage import investigations as rows
from worker.storage.activity import Activity
from worker.storage.alerts import AlertLine
from worker.storage.deliveries import Listed as Delivery
from worker.storage.investigations import Attempt, Filter, Listed

TITLE_CHARS = 60
SHOWN_ALERTS = 20


@click.group()
def investigations() -> None:
    """Look at investigations, cancel, retry or run them again."""


@investigations.command(name="list")
@click.option("--status", type=click.Choice([s.value for s in InvestigationStatus]), help="Only those in this status.")
@click.option("--service", help="Only those of this service.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="At most so many.")
@click.option("--before", metavar="ID", help="Only those older than this one: the next page.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def list_all(*, status: str | None, service: str | None, limit: int, before: str | None, as_json: bool) -> None:
    """List investigations, newest first.

    Example: rca investigations list --status failed --limit 5
    """
    wanted = Filter(status=status, service=service, limit=limit, before=before)
    settings = find_settings()
    with open_database(settings) as database, database.transaction() as session:
        found = budgeting.tell_waits(settings, session, rows.page(session, wanted))
    if as_json:
        click.echo(to_json([asdict(row) for row in found]))
    else:
        click.echo("\n".join(map(_list_line, found)) if found else "no investigation matches")
    if len(found) == limit:
        click.echo(f"older ones: --before {found[-1].id}", err=True)


@investigations.command()
@click.argument("investigation_id", metavar="ID|latest")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def show(*, investigation_id: str, as_json: bool) -> None:
    """Show one investigation: status, agents, turns, tool calls, cost, verdict.

    Example: rca investigations show latest
    """
    settings = find_settings()
    with open_database(settings) as database, database.transaction() as session:
        found = find_id(session, investigation_id)
        done, spent = activity.load(session, found), usage.lines(session, found)
        done = replace(done, investigation=budgeting.tell_waits(settings, session, [done.investigation])[0])
        told = alerts.of_incident(session, done.investigation.incident_id, limit=SHOWN_ALERTS)
        others = rows.attempts_at(session, done.investigation.incident_id)
        owed = deliveries.page(session, deliveries.Filter(investigation_id=found))
        is_done = done.investigation.status == InvestigationStatus.COMPLETED
        report = reports.get(session, found) if is_done else None
    if as_json:
        more = {
            "alerts": list(map(asdict, told)),
            "attempts": list(map(asdict, others)),
            "deliveries": list(map(asdict, owed)),
        }
        click.echo(to_json({**asdict(done), **more, "usage": [line.model_dump() for line in spent]}))
        return
    joined = _alerts(told, done.investigation.alert_count)
    head = (*_heading(done), *_attempts(found, others), *joined, *_deliveries(owed), *tell_tree(done))
    click.echo("\n".join((*head, *_events(done), *_usage(done, spent), *_end(done, report))))
    if report is not None:
        click.echo("\n".join(ways_to_open(settings, found)))


with_account = click.option(
    "--llm",
    "account",
    type=click.File("rb"),
    metavar="FILE",
    help="A fresh account to ask, as JSON like `llm` of an incident; `-` reads standard input.",
)


@investigations.command()
@click.argument("investigation_id", metavar="ID|latest")
@with_account
def retry(*, investigation_id: str, account: BinaryIO | None) -> None:
    """Try a failed or cancelled investigation again, from its last finished turn; prints the new one's id.

    A worker starts it, with the worker's configuration. The old one stays readable.

    Example: rca investigations retry inv_019b76da3c008f2c1d44e0a7 --llm account.json
    """
    _begin(investigation_id, account, begin=interventions.requeue)


@investigations.command()
@click.argument("investigation_id", metavar="ID|latest")
@with_account
def rerun(*, investigation_id: str, account: BinaryIO | None) -> None:
    """Investigate the incident of an ended investigation from scratch; prints the new one's id.

    A worker starts it, with the worker's configuration. The old ones stay readable.

    Example: rca investigations rerun latest
    """
    _begin(investigation_id, account, begin=interventions.rerun)


def _begin(given: str, account: BinaryIO | None, *, begin: Callable[..., str]) -> None:
    if account is None:
        with open_database() as database, database.transaction() as session:
            new = begin(session, find_id(session, given))
    else:
        new = _begin_with(_read_account(account.read()), given, begin=begin)
    click.echo(new)
    click.echo(f"queued; `rca follow {new}` watches it", err=True)


@investigations.command()
@click.argument("investigation_id", metavar="ID|latest")
@click.option("--agent", "agent_no", type=click.IntRange(min=1), metavar="N", help="Only this one of its sub-agents.")
def cancel(*, investigation_id: str, agent_no: int | None) -> None:
    """End an investigation that runs or waits: no new call of it starts from now on.

    With --agent only that sub-agent ends: what it would have found is a gap in the report. `rca investigations show`
    tells their numbers.

    Example: rca investigations cancel latest --agent 2
    """
    with open_database() as database, database.transaction() as session:
        found = find_id(session, investigation_id)
        if agent_no is None:
            interventions.cancel(session, found)
        else:
            interventions.cancel_agent(session, found, agent_no=agent_no)
    whom = found if agent_no is None else f"sub-agent {agent_no} of {found}"
    click.echo(f"{whom} is cancelled; calls that run now are the last")


def _begin_with(llm: CallersModel, given: str, *, begin: Callable[..., str]) -> str:
    with (
        open_services() as services,
        closing(ProviderClient(services.settings, source=services.models.latest, callers=services.callers)) as client,
    ):
        with services.database.transaction() as session:
            old = find_id(session, given)
        with (
            handover.fresh_account(replace(services, model=client), old, llm, user_path="/") as handle,
            services.database.transaction() as session,
        ):
            return begin(session, old, llm_handle=handle)


def _read_account(text: bytes) -> CallersModel:
    """Read an account. Raises UserError that names fields and what fits, never the values given."""
    try:
        return CallersModel.model_validate_json(text)
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, ('llm', *e['loc'])))}: {e['msg']}" for e in error.errors(include_input=False))
        raise UserError("; ".join(problems)) from None


def to_json(value: Any) -> str:
    """Return JSON for scripts; moments are ISO 8601 in UTC."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=_plain)


def _plain(value: object) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _list_line(row: Listed) -> str:
    title = one_line(row.title)
    shown = title if len(title) <= TITLE_CHARS else title[:TITLE_CHARS] + "…"
    standing = row.verdict or row.failure_class or _waiting(row)
    where = one_line(row.service or "-")
    return (
        f"{row.id}  {words.utc(row.created_at)}  {row.status:<9}  {standing:<13}  {row.severity:<8}  {where}  {shown}"
    )


def _waiting(row: Listed) -> str:
    if row.waits_for:
        return "day's budget"
    return f"number {row.position}" if row.position else ""


def _heading(done: Activity) -> list[str]:
    row = done.investigation
    again = f", retry of {row.retry_of}" if row.retry_of else ""
    where = f" on {one_line(row.service)}" if row.service else ""
    return [
        f"{row.id}  {row.status}  {words.duration(done.elapsed_s)}",
        f"incident: {one_line(row.title)} [{row.severity}{where}]",
        f"{row.incident_id}, {several(row.alert_count, 'alert')}, user path {one_line(row.user_path)}",
        f"attempt {row.attempt_no}{again}, created {words.utc(row.created_at)}",
        *([f"number {row.position} in the queue"] if row.position else []),
        *([f"queued: {row.waits_for}"] if row.waits_for else []),
    ]


def _alerts(lines: tuple[AlertLine, ...], count: int) -> list[str]:
    """Say what joined the incident and why; the one that opened it is in the heading."""
    joined = [line for line in lines if line.fold_reason]
    more = [f"and {several(count - len(lines), 'earlier alert')}"] if count > len(lines) else []
    return [
        f"joined {words.utc(a.received_at)}: {one_line(a.title)} ({one_line(a.fold_reason or '')})" for a in joined
    ] + more


def _attempts(shown: str, attempts: tuple[Attempt, ...]) -> list[str]:
    """List the other investigations of the incident."""
    return [f"attempt {a.attempt_no}: {a.id}, {a.verdict or a.status}" for a in attempts if a.id != shown]


def _deliveries(owed: list[Delivery]) -> list[str]:
    return [f"delivery: {tell_delivery(row)}" for row in owed]


def _events(done: Activity) -> list[str]:
    lines = []
    for turn in done.turns:
        lines.append(tell_turn(turn))
        lines += [f"{tell_call(call)}{_layer(call.layer)}" for call in turn.calls]
        lines += [f"            note: {one_line(note)}" for note in turn.notes]
    return lines + [tell_failed_ask(ask) for ask in done.failed_asks]


def _layer(layer: str | None) -> str:
    return f" [{layer}]" if layer else ""


def _usage(done: Activity, spent: tuple[UsageLine, ...]) -> list[str]:
    return [f"usage: {tell_cost(done)}", *map(_usage_line, spent)]


def _usage_line(line: UsageLine) -> str:
    calls = f"{several(line.calls, 'call')} of {one_line(line.model)}"
    sent = f"{words.count(line.input_tokens)} tokens in ({words.count(line.cached_input_tokens)} cached)"
    return f"  {line.purpose}: {calls}, {sent}, {words.count(line.output_tokens)} out, {words.dollars(line.cost_usd)}"


def _end(done: Activity, report: Report | None) -> list[str]:
    status = done.investigation.status
    if report is not None:
        ids = [e.id for e in report.evidence[:1]]
        opened = [f"evidence: rca report show {report.investigation_id} --evidence {i} --full" for i in ids]
        return [f"verdict: {tell_verdict(report)}", *opened]
    if InvestigationStatus(status).is_final:
        return [tell_failure(done)]
    return [f"watch it: rca follow {done.investigation.id}"]
