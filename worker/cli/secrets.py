"""`rca secrets`: stored keys of providers, sealed anew when the seed changes."""

import sys

import click

from worker import managing
from worker.cli.managed import actor, open_services
from worker.reporting.words import several


@click.group()
def secrets() -> None:
    """Look after the keys of providers that are stored."""


@secrets.command()
def rotate() -> None:
    """Seal all stored keys anew with AURORA_SECRET_KEY; the seed before is read from AURORA_SECRET_KEY_PREVIOUS.

    Example: AURORA_SECRET_KEY_PREVIOUS=old AURORA_SECRET_KEY=new rca secrets rotate
    """
    with open_services() as services:
        count = managing.rotate_keys(services, actor())
    click.echo(f"{several(count, 'key')} sealed anew; AURORA_SECRET_KEY_PREVIOUS can go")


@secrets.command()
@click.argument("provider")
def put(provider: str) -> None:
    """Store a provider's key, read from standard input or asked for; it counts before a variable's.

    Example: rca secrets put anthropic < key.txt
    """
    asked = sys.stdin.isatty()
    key = str(click.prompt("key", hide_input=True, err=True)) if asked else sys.stdin.read()
    with open_services() as services:
        managing.put_key(services, actor(), provider, key)
        where = services.models.latest().sources[managing.known_provider(provider).name]
    click.echo(f"the key of {provider} is stored ({where})")


@secrets.command()
@click.argument("provider")
def remove(provider: str) -> None:
    """Take a stored key away, for all workers at once; a variable's counts then.

    Example: rca secrets remove anthropic
    """
    with open_services() as services:
        managing.delete_key(services, actor(), provider)
    click.echo(f"no key of {provider} is stored any more")
