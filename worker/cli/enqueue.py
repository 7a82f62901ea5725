"""`rca enqueue`: events onto the stream, as any alerting system sends them."""

import importlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import click
from redis import Redis

from worker.cli.system import find_settings, open_redis
from worker.domain.incident import IncidentEvent
from worker.errors import EventError, UserError
from worker.intake.events import parse_event
from worker.settings import Settings


@dataclass(frozen=True)
class Line:
    """One event of the input: where it stands, its text, and what it is or what is wrong with it."""

    number: int
    text: bytes
    event: IncidentEvent | None = None
    problem: str = ""


@dataclass(frozen=True)
class Sent:
    """An event on the stream. `key` is what makes it one event however often it is read."""

    message_id: str
    key: str
    user_path: str


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option("--wait", "is_waited", is_flag=True, help="Follow each investigation to its report and print it.")
@click.option("--keep-going", is_flag=True, help="Send the good events although others are bad.")
def enqueue(*, file: BinaryIO, is_waited: bool, keep_going: bool) -> None:
    """Send incidents: one JSON object, or one on each line; `-` reads standard input.

    Prints the id of each message on the stream. Exit code 2 if an event is bad; `rca schema incident` says what fits.

    Example: rca enqueue incident.json --wait
    """
    settings = find_settings()
    lines = read_events(file.read())
    bad = [line for line in lines if line.problem]
    for line in bad:
        click.echo(f"line {line.number}: {line.problem}", err=True)
    if bad and not keep_going:
        raise UserError(f"{len(bad)} of {len(lines)} events are bad, nothing was sent; --keep-going sends the others")
    sent = send_all(settings, [line for line in lines if not line.problem])
    if is_waited:
        _follow(settings, sent)
    if bad:
        raise UserError(f"{len(bad)} of {len(lines)} events are bad and were not sent")


def read_events(data: bytes) -> list[Line]:
    """Take the input apart into events, each parsed or with its problem. Raises `EventError` if there is none."""
    found = [(n, text.strip()) for n, text in enumerate(data.splitlines(), 1) if text.strip()]
    if not found:
        raise EventError("there is no event in the input; `rca schema incident` says what one is")
    if len(found) > 1 and any(_is_object(text) for _, text in found):
        return [_parsed(number, text) for number, text in found]
    return [_parsed(found[0][0], data.strip())]


def _is_object(text: bytes) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _parsed(number: int, text: bytes) -> Line:
    try:
        return Line(number, text, event=parse_event(text))
    except EventError as error:
        return Line(number, text, problem=str(error))


def send_all(settings: Settings, lines: list[Line]) -> list[Sent]:
    """Put the events on the stream in their order. Raises `UserError` that says where it stopped."""
    done: list[Sent] = []
    try:
        with open_redis(settings) as redis:
            for sent in _send_each(redis, settings.rca_stream, lines):
                click.echo(sent.message_id)
                done.append(sent)
    except UserError as error:
        how_far = f"the first {len(done)} of {len(lines)} events were sent" if done else "nothing was sent"
        raise UserError(f"{error}; {how_far}") from error
    return done


def _send_each(redis: Redis, stream: str, lines: list[Line]) -> Iterator[Sent]:
    for line in lines:
        if line.event is None:
            continue
        answer = redis.xadd(stream, {"event": line.text})
        message_id = answer.decode() if isinstance(answer, bytes) else str(answer)
        yield Sent(message_id, line.event.idempotency_key or f"{stream}:{message_id}", line.event.user_path)


def _follow(settings: Settings, sent: list[Sent]) -> None:
    """Follow each to its end; loaded only now, for an alerting script does not wait for the database driver."""
    following = importlib.import_module("worker.cli.follow")
    codes = [following.follow_event(settings, event) for event in sent]
    if any(codes):
        raise SystemExit(max(codes))
