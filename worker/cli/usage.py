"""`rca usage`: what the models have been asked, and what it cost, by whatever one wants to know."""

import json
from dataclasses import asdict
from functools import partial

import click

from worker.cli.managed import find_router
from worker.cli.stored import open_database
from worker.domain.conversation import Usage
from worker.llm.prices import cost_usd
from worker.llm.routing import Router
from worker.reporting import words
from worker.reporting.inert import one_line
from worker.settings import load_settings
from worker.storage.repricing import Booked, Repriced, reprice
from worker.storage.sums import Group, Sum, add_up, total

CONFIRMED = "recalculate"
HEADINGS = ("calls", "failed", "tokens in", "cached", "tokens out", "cost")


@click.group(invoke_without_command=True)
@click.option(
    "--by",
    type=click.Choice([group.value for group in Group]),
    default="model",
    show_default=True,
    help="One line for each.",
)
@click.option("--days", type=click.IntRange(1, 3660), default=30, show_default=True, help="How far back.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def usage(context: click.Context, *, by: str, days: int, as_json: bool) -> None:
    """Add up the calls of models, tokens and cost; what was not said or has no known price is named, never 0.

    Example: rca usage --by user-path --days 7
    """
    if context.invoked_subcommand:
        return
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


@usage.command()
@click.option("--confirm", metavar="recalculate", help="Write it: the word `recalculate`; without, only look.")
def recalculate(*, confirm: str | None) -> None:
    """Price all calls again, by the lists that ship and RCA_LLM_CONFIG as they are now; tokens stay as they are.

    Calls that still have no known price keep what was booked, and budgets keep what they counted.

    Example: rca usage recalculate --confirm recalculate
    """
    if confirm not in {None, CONFIRMED}:
        raise click.BadParameter(f"write --confirm {CONFIRMED}, or leave it out to only look")
    router = find_router(load_settings())
    done, last = Repriced(), 0
    with open_database() as database:
        while True:
            with database.transaction() as session:
                some, found = reprice(session, partial(_cost, router), after=last, write=confirm == CONFIRMED)
            if found is None:
                break
            done, last = done + some, found
    verb = "changed" if confirm else f"would change (write it with --confirm {CONFIRMED})"
    click.echo(f"{words.several(done.matched, 'call')} matched a price, {words.count(done.changed)} {verb}")
    click.echo(f"{words.several(done.unknown, 'call')} still of unknown price")


def _cost(router: Router, call: Booked, used: Usage) -> tuple[float, str] | None:
    price = router.price(call.provider, call.model, booked_by=call.price_source)
    cost = cost_usd(used, price)
    return None if price is None or cost is None else (cost, price.source)


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
