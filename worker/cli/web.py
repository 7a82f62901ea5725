"""`rca web`: the web server as a process of its own."""

import importlib

import click

from worker.cli.system import find_settings


@click.command()
def web() -> None:
    """Serve reports, the API and webhooks on RCA_HTTP_HOST and RCA_HTTP_PORT until it is told to stop.

    Example: RCA_HTTP_PORT=8080 rca web
    """
    server = importlib.import_module("worker.web.server")  # by name, as commands are: the layers do not know each other
    server.serve(find_settings())
