"""`rca audit`: who changed models, keys and tokens, who signed in, and whether the record of it is whole."""

import hashlib
import hmac
import json
from dataclasses import asdict
from pathlib import Path

import click

from worker.cli.stored import open_database
from worker.cli.system import find_settings
from worker.errors import ConfigError, UserError
from worker.reporting.inert import one_line
from worker.settings import Settings
from worker.storage import audit as chain
from worker.storage.audit import Checkpoint


@click.group()
def audit() -> None:
    """Read and verify the record of changes of models, keys and tokens, and of who signed in."""


@audit.command(name="list")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many, the newest.")
def list_all(*, limit: int) -> None:
    """List what was done and what was refused, newest first.

    Example: rca audit list --limit 20
    """
    with open_database() as database, database.transaction() as session:
        for row in chain.page(session, limit=limit):
            detail = one_line(json.dumps(row.detail, ensure_ascii=False))
            click.echo(f"{row.seq:>6}  {row.at[:19]}  {row.outcome:<8}{row.action:<15}{one_line(row.subject)}")
            click.echo(f"        by {one_line(row.actor)}: {detail}")


@audit.command()
@click.option("--checkpoint", "file", type=click.Path(path_type=Path, exists=True), help="What `checkpoint` printed.")
def verify(*, file: Path | None) -> None:
    """Verify the chain, and with a checkpoint that its end was not cut; exit code 1 names the first bad row.

    Example: rca audit verify --checkpoint audit.json
    """
    known = _read(file, find_settings()) if file else None
    with open_database() as database, database.transaction() as session:
        fault = chain.find_fault(session, checkpoint=known)
    if fault:
        click.echo(fault, err=True)
        raise SystemExit(1)
    click.echo("the chain is whole" + (f", and holds what it held at row {known.seq}" if known else ""))


@audit.command()
def checkpoint() -> None:
    """Print a signed word of how far the chain has come; keep it elsewhere.

    Example: rca audit checkpoint > audit.json
    """
    key = _signing_key(find_settings())
    with open_database() as database, database.transaction() as session:
        made = chain.make_checkpoint(session, key=key)
    click.echo(json.dumps(asdict(made)))


def _read(file: Path, settings: Settings) -> Checkpoint:
    try:
        known = Checkpoint(**json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError, OSError) as error:
        raise UserError(f"{file} is no checkpoint; `rca audit checkpoint` prints one") from error
    if not chain.is_genuine(known, key=_signing_key(settings)):
        raise UserError(f"{file} was not signed with this AURORA_SECRET_KEY, or was changed")
    return known


def _signing_key(settings: Settings) -> bytes:
    seed = settings.aurora_secret_key or settings.jwt_secret_key
    if seed is None:
        raise ConfigError("a checkpoint is signed with AURORA_SECRET_KEY (or JWT_SECRET_KEY); set it")
    return hmac.new(seed.get_secret_value().encode(), b"rca-worker audit checkpoints", hashlib.sha256).digest()
