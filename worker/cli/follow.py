"""`rca follow`: an investigation as it goes on, to its end."""

import time
from collections.abc import Callable

import click

from worker.cli.console import Screen, open_console, open_screen
from worker.cli.enqueue import Sent
from worker.cli.stored import find_id, open_database
from worker.cli.system import find_settings, open_redis
from worker.cli.telling import tell_news, tell_status
from worker.cli.tree import tell_team, tell_tree
from worker.cli.upfile import read_up_file
from worker.domain.report import Report
from worker.domain.states import AgentKind, InvestigationStatus
from worker.errors import StorageUnavailableError, UserError
from worker.intake.bridge import Names
from worker.intake.rejected import all_rejected
from worker.reporting import words
from worker.reporting.failures import fix_for
from worker.reporting.inert import one_line
from worker.reporting.render import render_terminal
from worker.settings import Settings
from worker.storage import reports
from worker.storage.activity import Activity, investigation_of_alert, load
from worker.storage.database import Database
from worker.storage.standing import read_standing

LOOK_EVERY_S = 0.5
QUIET_LOOKS = 20
"""After so many in which nothing happened it is asked whether any worker lives."""
SLOW_INTAKE_S = 10.0
INTERRUPTED = 130
"""The exit code of what Ctrl-C ended, as shells have it."""

Wait = Callable[[float], object]
"""Waits so many seconds; tests hand in what does not."""


class Follower:
    """Looks at one investigation after the other on behalf of one command."""

    def __init__(self, database: Database, screen: Screen, *, wait: Wait = time.sleep) -> None:
        self._database = database
        self._screen = screen
        self._wait = wait
        self._is_away = False
        self._quiet_looks = 0

    def to_the_end(self, investigation_id: str) -> Activity:
        """Show what happens until nothing more will; an absent database is waited out."""
        before: Activity | None = None
        while True:
            activity = self._look(investigation_id)
            if activity is not None:
                self._show(before, activity)
                if InvestigationStatus(activity.investigation.status).is_final:
                    return activity
            before = activity or before
            self._wait(LOOK_EVERY_S)

    def _look(self, investigation_id: str) -> Activity | None:
        """Return how it stands; None, and a line once, while the database is away."""
        try:
            with self._database.transaction() as session:
                activity = load(session, investigation_id)
        except StorageUnavailableError as error:
            if not self._is_away:
                self._screen.say(f"{error}; still trying", style="yellow")
            self._is_away = True
            return None
        self._is_away = False
        return activity

    def _show(self, before: Activity | None, activity: Activity) -> None:
        news = tell_news(before, activity)
        for line in news:
            self._screen.say(line, style=_style(line))
        self._screen.show_status("\n".join((tell_status(activity), *tell_team(activity))))
        self._quiet_looks = 0 if news else self._quiet_looks + 1
        if self._quiet_looks == QUIET_LOOKS:
            self._look_for_workers()

    def _look_for_workers(self) -> None:
        """Say that nobody is there to do the work, where that is why nothing happens."""
        try:
            with self._database.transaction() as session:
                is_swept = read_standing(session).is_swept
        except StorageUnavailableError:
            return  # the next look says so
        if not is_swept:
            self._screen.say("no worker is alive: start one with `rca up`; `rca doctor` tells more", style="yellow")


@click.command()
@click.argument("investigation_id", metavar="ID|latest")
def follow(investigation_id: str) -> None:
    """Watch an investigation until it ends: turns, tool calls, denials, cost.

    Exit code 0 if it completed, 1 if it failed or was cancelled. Ctrl-C only ends the watching.

    Example: rca follow latest
    """
    settings = find_settings()
    with open_database(settings) as database:
        with database.transaction() as session:
            found = find_id(session, investigation_id)
        raise SystemExit(follow_to_verdict(settings, database, found))


def follow_to_verdict(settings: Settings, database: Database, investigation_id: str, *, wait: Wait = time.sleep) -> int:
    """Follow, then say how it ended and how to open the report. Returns the exit code."""
    try:
        with open_screen() as screen:
            ended = Follower(database, screen, wait=wait).to_the_end(investigation_id)
    except KeyboardInterrupt:
        click.echo(f"the investigation goes on; `rca follow {investigation_id}` looks again", err=True)
        return INTERRUPTED
    click.echo(tell_status(ended))
    if any(agent.is_sub_agent for agent in ended.agents):
        click.echo("\n".join(tell_tree(ended)))
    if ended.investigation.status != InvestigationStatus.COMPLETED:
        click.echo(tell_failure(ended))
        return 1
    click.echo(tell_verdict(read_report(database, investigation_id)))
    click.echo("\n".join(ways_to_open(settings, investigation_id)))
    return 0


def follow_event(settings: Settings, sent: Sent) -> int:
    """Follow an event from the stream to its report, and print that. Returns the exit code."""
    with open_database(settings) as database:
        try:
            investigation_id = await_intake(settings, database, sent)
        except KeyboardInterrupt:
            click.echo("the event is on the stream and will be taken in; `rca investigations list` shows it", err=True)
            return INTERRUPTED
        code = follow_to_verdict(settings, database, investigation_id)
        if code == 0:
            click.echo()
            render_terminal(read_report(database, investigation_id), console=open_console())
        return code


def await_intake(settings: Settings, database: Database, sent: Sent, *, wait: Wait = time.sleep) -> str:
    """Return the investigation the event led to. Raises `UserError` if it was rejected."""
    waited_s = 0.0
    while True:
        with database.transaction() as session:
            found = investigation_of_alert(session, user_path=sent.user_path, key=sent.key)
        if found == "":
            raise UserError("the event tells the end of something nobody had reported: there is nothing to investigate")
        if found is not None:
            return found
        wait(LOOK_EVERY_S)
        waited_s += LOOK_EVERY_S
        if waited_s % SLOW_INTAKE_S == 0:
            _require_not_rejected(settings, sent)
            click.echo("nobody has taken the event in yet: does `rca intake` run? `rca doctor` tells", err=True)


def _require_not_rejected(settings: Settings, sent: Sent) -> None:
    with open_redis(settings) as redis:
        reasons = {e.message_id: e.reason for e in all_rejected(redis, Names(settings.rca_stream, settings.rca_list))}
    if sent.message_id in reasons:
        raise UserError(f"the event was rejected: {reasons[sent.message_id]}")


def read_report(database: Database, investigation_id: str) -> Report:
    with database.transaction() as session:
        return reports.get(session, investigation_id)


def tell_verdict(report: Report) -> str:
    """Return verdict, summary and first cause in a few lines."""
    title = f"{words.VERDICT_TITLES[report.verdict]}, {words.CONFIDENCE_WORDS[report.confidence]}"
    causes = [f"{one_line(c.entity)}: {one_line(c.statement)}" for c in report.root_causes[:1]]
    return "\n".join((title, one_line(report.summary), *causes))


def tell_failure(activity: Activity) -> str:
    """Say what went wrong and what to do."""
    row = activity.investigation
    if row.status == InvestigationStatus.CANCELLED:
        return f"cancelled; `rca investigations retry {row.id}` goes on from its last finished turn"
    reason = one_line(row.failure_reason or "no reason was recorded")
    fix = f"{fix_for(row.failure_class, setting=_model_setting(activity))} (`rca investigations retry {row.id}`)"
    return f"failed: {row.failure_class}: {reason}\nwhat to do: {fix}"


def _model_setting(activity: Activity) -> str:
    """Name the variable that chose the model of the investigation's own agent: a sub-agent's failure ends no other."""
    if not activity.is_orchestrated:
        return "RCA_MODEL"
    is_lead = any(agent.kind == AgentKind.LEAD for agent in activity.agents)
    return "RCA_ORCHESTRATOR_MODEL" if is_lead else "RCA_SUBAGENT_MODEL"


def ways_to_open(settings: Settings, investigation_id: str) -> list[str]:
    """Say how to read the report: in the terminal, and on its page where a web server is known."""
    up = read_up_file(settings.rca_home)
    url = settings.rca_public_url or (up.web_url if up else None)
    lines = [f"report: rca report show {investigation_id}"]
    return [*lines, f"page:   {url.rstrip('/')}/investigations/{investigation_id}"] if url else lines


def _style(line: str) -> str:
    if ": denied by " in line:
        return "red"
    return "yellow" if any(words in line for words in (": failed", "did not answer", "no finding: ")) else ""
