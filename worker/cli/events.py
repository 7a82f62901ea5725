"""`rca events`: what could not be read as an event, and what to do with it."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import BinaryIO

import click
from redis import Redis

from worker.cli.system import find_settings, open_redis
from worker.errors import EventError, NotFoundError, UserError
from worker.intake.bridge import FIELD, Names
from worker.intake.rejected import Rejected, all_rejected, drop, find_rejected, put_back
from worker.reporting.inert import one_line
from worker.settings import Settings

SHOWN_CHARS = 160


@click.group()
def events() -> None:
    """Look after events that were rejected: `rca events rejected` lists them."""


@events.command()
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="At most so many, newest.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, with everything the message held.")
def rejected(*, limit: int, as_json: bool) -> None:
    """List rejected events with the reason, oldest first.

    Example: rca events rejected --json
    """
    settings = find_settings()
    with open_redis(settings) as redis:
        found = all_rejected(redis, names_of(settings))[-limit:]
    if as_json:
        click.echo(json.dumps([asdict(event) for event in found], indent=2, ensure_ascii=False))
        return
    click.echo("\n".join(map(describe, found)) if found else "no event was rejected")


@events.command()
@click.argument("rejected_id", metavar="[ID]", required=False)
@click.option("--all", "is_all", is_flag=True, help="Every rejected event that is acceptable now.")
@click.option("--file", type=click.File("rb"), help="The mended event, to be sent in place of the one kept.")
def retry(*, rejected_id: str | None, is_all: bool, file: BinaryIO | None) -> None:
    """Put a rejected event back on the stream: mended, or as it is where a newer version accepts it.

    What is kept has its secrets taken out. Exit code 2 if an event is still not acceptable; it stays rejected then.

    Example: rca events retry 1767225600000-0 --file new.json
    """
    if (rejected_id is None) is not is_all or (is_all and file):
        raise click.UsageError("name one ID, with or without --file, or --all")
    settings = find_settings()
    with open_redis(settings) as redis:
        if rejected_id is None:
            _retry_all(redis, names_of(settings))
        else:
            _retry_one(redis, names_of(settings), rejected_id, mended=file.read() if file else None)


@events.command(name="drop")
@click.argument("rejected_id", metavar="ID")
def drop_event(rejected_id: str) -> None:
    """Delete a rejected event for good.

    Example: rca events drop 1767225600000-0
    """
    settings = find_settings()
    with open_redis(settings) as redis:
        drop(redis, names_of(settings), rejected_id)
    click.echo(f"dropped {rejected_id}")


def names_of(settings: Settings) -> Names:
    return Names(settings.rca_stream, settings.rca_list)


def describe(event: Rejected) -> str:
    """Return two lines: id, time and reason, then the beginning of what was sent."""
    at = datetime.fromtimestamp(int(event.id.partition("-")[0]) / 1000, tz=UTC)
    held = event.fields.get(FIELD) or json.dumps(event.fields, ensure_ascii=False)
    beginning = one_line(held)
    shown = beginning if len(beginning) <= SHOWN_CHARS else beginning[:SHOWN_CHARS] + " …"
    return f"{event.id}  {at:%Y-%m-%d %H:%M:%S} UTC  {one_line(event.reason)}\n    {shown}"


def _retry_one(redis: Redis, names: Names, rejected_id: str, *, mended: bytes | None) -> None:
    event = find_rejected(redis, names, rejected_id)
    try:
        message_id = put_back(redis, names, event, mended=mended)
    except EventError as error:
        raise UserError(f"{rejected_id} stays rejected: {error}; mend it with --file") from error
    click.echo(f"{rejected_id} is back as {message_id}")


def _retry_all(redis: Redis, names: Names) -> None:
    found = all_rejected(redis, names)
    stay = 0
    for event in found:
        try:
            click.echo(f"{event.id} is back as {put_back(redis, names, event)}")
        except (EventError, NotFoundError) as error:
            stay += 1
            click.echo(f"{event.id} was not moved: {error}", err=True)
    if stay:
        raise UserError(f"{stay} of {len(found)} rejected events were not moved")
    click.echo(f"all {len(found)} are back on the stream")
