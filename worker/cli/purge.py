"""`rca purge`: delete what has ended long ago, whole investigations at a time."""

import re
from datetime import timedelta

import click

from worker import retention
from worker.cli.stored import open_database
from worker.reporting.words import several

_UNITS = {"d": "days", "w": "weeks", "h": "hours"}


class Age(click.ParamType[timedelta]):
    """A span such as 30d, 12w or 48h."""

    name = "age"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        found = re.fullmatch(r"([0-9]{1,5})([dwh])", str(value).strip().lower())
        if found is None:
            self.fail(f"{value!r} is no age: write 30d, 12w or 48h", param, ctx)
        age = timedelta(**{_UNITS[found[2]]: int(found[1])})
        if age < retention.LEAST:
            self.fail("what ended less than a day ago stays: today's budgets are checked against it", param, ctx)
        return age


@click.command()
@click.option("--older-than", type=Age(), required=True, help="Only what ended longer ago: 30d, 12w, 48h.")
@click.option("--dry-run", is_flag=True, help="Only say how many would go.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def purge(*, older_than: timedelta, dry_run: bool, yes: bool) -> None:
    """Delete investigations that have ended, with turns, results, artifacts, reports, deliveries and usage.

    An incident goes with its last investigation. What runs or waits stays, and so does what a younger retry goes on
    from. Each investigation goes whole or not at all; usage goes too, so add up what you want to keep before.

    Example: rca purge --older-than 30d --dry-run
    """
    with open_database() as database:
        found = retention.count(database, older_than)
        if dry_run:
            click.echo(f"{several(found, 'investigation')} would go")
            return
        if not yes:
            click.confirm(f"delete {several(found, 'investigation')} for good?", abort=True)
        gone = retention.purge(database, older_than)
    told = [f"{number} {name}" for name, number in gone.rows.items() if number]
    click.echo(f"deleted: {', '.join(told)}" if told else "nothing was old enough")
