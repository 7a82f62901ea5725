"""`rca tokens`: who may use the web API, for what, and until when."""

from datetime import datetime, timedelta

import click

from worker.cli.managed import actor
from worker.cli.stored import open_database
from worker.domain.incident import clean_user_path
from worker.reporting import words
from worker.reporting.inert import one_line
from worker.storage import tokens as rows
from worker.storage.database import database_now
from worker.storage.tables import TokenRow


class UserPath(click.ParamType[str]):
    """A path such as `/team/alpha`."""

    name = "path"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return clean_user_path(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.group()
def tokens() -> None:
    """Create, list and revoke tokens of the web API."""


@tokens.command()
@click.option("--name", required=True, help="Who it is for; shown in lists.")
@click.option("--scope", "scopes", multiple=True, required=True, type=click.Choice(rows.SCOPES), help="What it may do.")
@click.option("--user-path", type=UserPath(), default="/", show_default=True, help="The subtree it may see.")
@click.option(
    "--expires-days", type=click.FloatRange(min=0, max=36500, min_open=True), help="Days it lives; else ever."
)
def create(name: str, scopes: tuple[str, ...], user_path: str, expires_days: float | None) -> None:
    """Create a token. Its secret is printed this once, alone on standard output; only its hash is stored.

    Example: rca tokens create --name grafana --scope incidents:write
    """
    with open_database() as database, database.transaction() as session:
        ends = database_now(session) + timedelta(days=expires_days) if expires_days else None
        token_id, secret = rows.create(session, actor(), name=name, scopes=scopes, user_path=user_path, expires_at=ends)
    until = f"until {words.utc(ends)}" if ends else "until it is revoked"
    click.echo(f"{token_id}: {', '.join(scopes)} below {user_path}, {until}; the secret is not shown again:", err=True)
    click.echo(secret)


@tokens.command(name="list")
def list_all() -> None:
    """List all tokens, without their secrets.

    Example: rca tokens list
    """
    with open_database() as database, database.transaction() as session:
        now = database_now(session)
        lines = [_line(row, now) for row in rows.all_rows(session)]
    click.echo("\n".join(lines) if lines else "there is no token; `rca tokens create` makes one")


@tokens.command()
@click.argument("token_id", metavar="ID")
def revoke(token_id: str) -> None:
    """End a token now.

    Example: rca tokens revoke tok_019b76da3c008f2c1d44e0a7
    """
    with open_database() as database, database.transaction() as session:
        rows.revoke(session, actor(), token_id)
    click.echo(f"{token_id} is revoked")


def _line(row: TokenRow, now: datetime) -> str:
    used = f"last used {words.utc(row.last_used_at)}" if row.last_used_at else "never used"
    scopes, path = ",".join(row.scopes), one_line(row.user_path)
    return "  ".join((row.id, _standing(row, now), scopes, path, used, one_line(row.name)))


def _standing(row: TokenRow, now: datetime) -> str:
    if row.revoked_at is not None:
        return "revoked"
    if row.expires_at is None:
        return "live"
    return f"{'expired' if row.expires_at <= now else 'live until'} {words.utc(row.expires_at)}"
