"""`rca report`: a finished report on the terminal or in a file, and the evidence behind it."""

from collections.abc import Callable
from pathlib import Path

import click

from worker.cli.console import open_console
from worker.cli.stored import find_id, open_database
from worker.domain.report import Report
from worker.errors import NotFoundError, UserError
from worker.reporting import words
from worker.reporting.inert import show_hidden
from worker.reporting.render import (
    render_evidence_plain,
    render_json,
    render_markdown,
    render_page,
    render_terminal,
)
from worker.storage import progress, reports
from worker.storage.database import Database

FORMATS: dict[str, Callable[[Report], str]] = {"json": render_json, "md": render_markdown, "html": render_page}


@click.group()
def report() -> None:
    """Read reports and the evidence behind them."""


@report.command()
@click.argument("investigation_id", metavar="ID|latest")
@click.option("--evidence", "evidence_id", metavar="EID", help="The result with this id, such as e2.1, instead.")
@click.option("--full", "is_full", is_flag=True, help="That result whole; without --evidence: all results as well.")
def show(*, investigation_id: str, evidence_id: str | None, is_full: bool) -> None:
    """Show a report, or one result it rests on.

    Example: rca report show latest --evidence e2.1 --full
    """
    with open_database() as database:
        found = read_report(database, investigation_id)
        if evidence_id is not None:
            click.echo(_evidence(database, found, evidence_id, is_full=is_full))
            return
    render_terminal(found, console=open_console())
    if is_full:
        click.echo("\n".join(render_evidence_plain(found, e.id) for e in found.evidence))


@report.command()
@click.argument("investigation_id", metavar="ID|latest")
@click.option("--format", "form", type=click.Choice(list(FORMATS)), required=True, help="What to write.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="The file; else standard output.")
def export(investigation_id: str, form: str, output: Path | None) -> None:
    """Write a report as JSON, Markdown, or a page that stands alone.

    Example: rca report export latest --format html -o report.html
    """
    with open_database() as database:
        text = FORMATS[form](read_report(database, investigation_id))
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{output} cannot be written ({error.strerror}): choose another file with -o") from error
    click.echo(f"wrote {output}", err=True)


def read_report(database: Database, investigation_id: str) -> Report:
    """Return the report. Raises `NotFoundError` that says how the investigation stands and how to see more."""
    with database.transaction() as session:
        found = find_id(session, investigation_id)
        try:
            return reports.get(session, found)
        except NotFoundError as error:
            raise NotFoundError(f"{error}; `rca investigations show {found}` tells more") from error


def _evidence(database: Database, found: Report, evidence_id: str, *, is_full: bool) -> str:
    brief = render_evidence_plain(found, evidence_id)
    if not is_full:
        return brief.rstrip("\n")
    with database.transaction() as session:
        whole = progress.whole_evidence(session, found.investigation_id, evidence_id)
    heading = brief.partition("\n\n")[0]
    return f"{heading}\n\n{show_hidden(words.spread(whole)).rstrip()}"
