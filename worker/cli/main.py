"""`rca`: one command line for people and scripts; each command is loaded only when it is asked for."""

import importlib
import logging
import sys
from typing import Any

import click
import structlog

from worker.errors import UserError, WorkerError

COMMANDS = {
    "audit": "worker.cli.audit:audit",
    "budget": "worker.cli.budget:budget",
    "config": "worker.cli.config:config",
    "deliveries": "worker.cli.deliveries:deliveries",
    "demo": "worker.cli.demo:demo",
    "doctor": "worker.cli.doctor:doctor",
    "enqueue": "worker.cli.enqueue:enqueue",
    "eval": "worker.cli.evaluate:evaluate",
    "events": "worker.cli.events:events",
    "follow": "worker.cli.follow:follow",
    "guard": "worker.cli.guard:guard",
    "intake": "worker.cli.intake:intake",
    "investigations": "worker.cli.investigations:investigations",
    "llm": "worker.cli.llm:llm",
    "migrate": "worker.cli.migrate:migrate",
    "purge": "worker.cli.purge:purge",
    "report": "worker.cli.report:report",
    "roles": "worker.cli.roles:roles",
    "secrets": "worker.cli.secrets:secrets",
    "schema": "worker.cli.schema:schema",
    "tokens": "worker.cli.tokens:tokens",
    "up": "worker.cli.up:up",
    "usage": "worker.cli.usage:usage",
    "web": "worker.cli.web:web",
}
"""Name to where it is: `rca schema` in an alerting script does not wait for the database driver."""


class ShownError(click.ClickException):
    """An error raised on purpose, shown as one line; exit code 1."""

    def __init__(self, error: WorkerError) -> None:
        super().__init__(" ".join(str(error).split()) or error.reason)


class ShownUserError(ShownError):
    """The same where the caller can mend it."""

    exit_code = 2


class LazyCommands(click.Group):
    """The commands of `COMMANDS`, imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            raise ShownUserError(error) from error
        except WorkerError as error:
            raise ShownError(error) from error


@click.group(cls=LazyCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="rca-worker", prog_name="rca")
@click.pass_context
def main(context: click.Context) -> None:
    """Investigate incidents: events in on a queue, reports with evidence out."""
    _keep_quiet(context)


def _keep_quiet(context: click.Context) -> None:
    """Let a command say what it has to say itself; of the log only warnings are for people, on standard error.

    A process that serves configures its log anew.
    """
    before = structlog.get_config()
    only_warnings = structlog.make_filtering_bound_logger(logging.WARNING)
    structlog.configure(wrapper_class=only_warnings, logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    context.call_on_close(lambda: structlog.configure(**before))


if __name__ == "__main__":
    main()
