"""`rca deliveries`: which reports went where, which did not and why, and sending one again."""

from dataclasses import asdict

import click

from worker.cli.investigations import to_json
from worker.cli.stored import open_database
from worker.cli.telling import tell_delivery
from worker.domain.states import DeliveryStatus
from worker.storage import deliveries as rows
from worker.storage.deliveries import Filter


@click.group()
def deliveries() -> None:
    """Look at reports on their way out, and send one again."""


@deliveries.command(name="list")
@click.option("--status", type=click.Choice([s.value for s in DeliveryStatus]), help="Only those in this status.")
@click.option("--investigation", metavar="ID", help="Only those of this investigation.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="At most so many.")
@click.option("--before", metavar="ID", help="Only those older than this one: the next page.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def list_all(*, status: str | None, investigation: str | None, limit: int, before: str | None, as_json: bool) -> None:
    """List deliveries, newest first.

    Example: rca deliveries list --status failed
    """
    wanted = Filter(status=status, investigation_id=investigation, before=before, limit=limit)
    with open_database() as database, database.transaction() as session:
        found = rows.page(session, wanted)
    if as_json:
        click.echo(to_json([asdict(row) for row in found]))
    else:
        click.echo("\n".join(map(tell_delivery, found)) if found else "no delivery matches")
    if len(found) == limit:
        click.echo(f"older ones: --before {found[-1].id}", err=True)


@deliveries.command()
@click.argument("delivery_id", metavar="ID")
def resend(delivery_id: str) -> None:
    """Send a report again, under the same idempotency key: a destination that has it already may ignore it.

    A worker sends it within a second.

    Example: rca deliveries resend dlv_019b76da3c008f2c1d44e0a7
    """
    with open_database() as database, database.transaction() as session:
        destination = rows.resend(session, delivery_id)
    click.echo(f"{delivery_id} goes to {destination} again")
