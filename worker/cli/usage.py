"""`rca usage`: what the models have been asked, and what it cost, by whatever one wants to know."""

import json
from dataclasses import asdict

import click

from worker.cli.stored import open_database
from worker.reporting import words
from worker.reporting.inert import one_line
from worker.storage.sums import Group, Sum, add_up, total

HEADINGS = ("calls", "failed", "tokens in", "cached", "tokens out", "cost")


@click.command()
@click.option(
    "--by",
    type=click.Choice([group.value for group in Group]),
    default="model",
    show_default=True,
    help="One line for each.",
)
@click.option("--days", type=click.IntRange(1, 3660), default=30, show_default=True, help="How far back.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def usage(*, by: str, days: int, as_json: bool) -> None:
    """Add up the calls of models, tokens and cost; what was not said or has no known price is named, never 0.

    Example: rca usage --by user-path --days 7
    """
    with open_database() as database, database.transaction() as session:
        sums = add_up(session, Group(by), days=days)
    whole = total(sums)
    if as_json:
        body = {"by": by, "days": days, "groups": list(map(asdict, sums)), "total": asdict(whole)}
        click.echo(json.dumps(body, indent=2, ensure_ascii=False))
    elif not sums:
        click.echo(f"no model was asked in the last {words.several(days, 'day')}")
    else:
        click.echo("\n".join(_table([*sums, whole], by)))


def _table(sums: list[Sum], by: str) -> list[str]:
    rows = [(by, *HEADINGS), *(_cells(one) for one in sums)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *cells in rows:
        numbers = (f"{cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True))
        lines.append("  ".join([f"{first:<{widths[0]}}", *numbers]))
    return [*lines, *_unknown(sums[-1])]


def _cells(one: Sum) -> tuple[str, ...]:
    tokens = (one.input_tokens, one.cached_input_tokens, one.output_tokens)
    told = (_known(words.count(count), one.unsaid, one.calls) for count in tokens)
    cost = _known(f"${one.cost_usd:,.4f}", one.unpriced, one.calls)
    return (one_line(one.name), words.count(one.calls), words.count(one.failed), *told, cost)


def _known(sum_: str, missing: int, calls: int) -> str:
    """Mark a sum of which parts are unknown; one that is unknown altogether is no number."""
    if not missing:
        return sum_
    return "unknown" if missing == calls else f"{sum_}+"


def _unknown(whole: Sum) -> list[str]:
    """Say what the sums leave out."""
    told = []
    if whole.unpriced:
        told.append(f"{words.several(whole.unpriced, 'call')} of unknown price beside that cost")
    if whole.unsaid:
        told.append(f"{words.several(whole.unsaid, 'call')} whose tokens nobody said")
    return [f"not counted: {'; '.join(told)}"] if told else []
