"""`rca budget`: what the UTC day has cost against its budgets, what waits because of them, and how to lift them."""

import json
from dataclasses import asdict

import click

from worker import budgeting
from worker.budgeting import DayStanding, Standing
from worker.cli.stored import open_database
from worker.cli.system import find_settings
from worker.cli.tokens import UserPath
from worker.reporting import words
from worker.reporting.inert import one_line
from worker.reporting.words import several
from worker.storage import spending


class Reason(click.ParamType[str]):
    """A text that says something."""

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return value.strip() or self.fail("say why: it is shown beside the lift", param, ctx)


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def budget(ctx: click.Context, *, as_json: bool) -> None:
    """Show the day's spending and budgets; `lift` takes a budget off until 00:00 UTC.

    Limits are those of RCA_DAY_* in this command's environment: run it with the worker's.

    Example: rca budget
    """
    if ctx.invoked_subcommand is not None:
        return
    settings = find_settings()
    with open_database(settings) as database, database.transaction() as session:
        found = budgeting.read_standing(settings, session)
    click.echo(_as_json(found) if as_json else "\n".join(_lines(found)))


@budget.command()
@click.option("--user-path", type=UserPath(), help="The budget of this path and of all below it; else the fleet's.")
@click.option("--reason", required=True, type=Reason(), help="Why; shown by `rca budget`.")
def lift(*, user_path: str | None, reason: str) -> None:
    """Take a budget of the day off until 00:00 UTC; what waits for it starts at once.

    Example: rca budget lift --user-path /team/alpha --reason "the outage matters more"
    """
    with open_database() as database, database.transaction() as session:
        spending.lift(session, user_path=user_path, reason=reason)
        ends_at = spending.read_day(session).ends_at
    whose = f"of {user_path} and below" if user_path else "of the fleet"
    click.echo(f"the day's budget {whose} does not bind until {words.utc(ends_at)}")


def _as_json(found: DayStanding) -> str:
    day = {"day": found.day.date.isoformat(), "ends_at": found.day.ends_at.isoformat()}
    lifts = [{**asdict(lift), "created_at": lift.created_at.isoformat()} for lift in found.day.lifts]
    standings = {"fleet": asdict(found.fleet), "paths": [asdict(path) for path in found.paths]}
    return json.dumps({**day, **standings, "lifts": lifts}, indent=2, ensure_ascii=False)


def _lines(found: DayStanding) -> list[str]:
    lines = [f"{found.day.date} UTC, until {words.utc(found.day.ends_at)}"]
    for standing in (found.fleet, *found.paths):
        lines.append(_line(standing))
        if standing.waits_for:
            lines.append(f"    {one_line(standing.waits_for)}")
    for one in found.day.lifts:
        whose = one_line(one.user_path or "the fleet")
        lines.append(f"lifted for {whose} at {words.clock(one.created_at)}: {one_line(one.reason)}")
    return lines


def _line(standing: Standing) -> str:
    name = one_line(standing.user_path or "the fleet")
    tokens = f"{words.count(standing.tokens)}{_of(standing.max_tokens, standing)} tokens"
    dollars = f"${standing.cost_usd:.2f}{_of(standing.max_cost_usd, standing, '$')}"
    waiting = f", {several(standing.waiting, 'investigation')} queued" if standing.waiting else ""
    return f"{name}: {tokens}, {dollars}{waiting}"


def _of(limit: float | None, standing: Standing, sign: str = "") -> str:
    if limit is None:
        return ""
    return f" of {sign}{limit:g} (lifted)" if standing.is_lifted else f" of {sign}{limit:,.10g}"
