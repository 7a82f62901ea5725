"""Watching an investigation: to its end, through an outage, and until Ctrl-C."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy.orm import Session

from tests.builders import drain, incident, queue_of, run_step, submits_report
from tests.fakes import ScriptedModel, calls_tools
from worker import pipeline
from worker.cli import follow as following
from worker.cli.follow import Follower, follow_to_verdict
from worker.cli.main import main
from worker.domain.states import InvestigationStatus
from worker.errors import ProviderAuthError, StorageUnavailableError
from worker.services import Services
from worker.settings import Settings
from worker.storage.database import Database

Open = Callable[..., Services]


class Lines:
    """A screen that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.status = ""

    def say(self, line: str, *, style: str = "") -> None:
        self.said.append(line)

    def show_status(self, text: str) -> None:
        self.status = text


class FailingOnce(Database):
    """A database that is away for the first three looks."""

    looks = 0

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        self.looks += 1
        if self.looks <= 3:
            raise StorageUnavailableError("the database does not answer")
        with super().transaction() as session:
            yield session


@pytest.fixture
def follow(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], Result]:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("RCA_HOME", str(tmp_path))
    return lambda found: CliRunner().invoke(main, ["follow", found])


def two_turns() -> ScriptedModel:
    look = ("run_command", {"command": "uname -r", "purpose": "kernel"})
    harm = ("run_command", {"command": "rm -rf /", "purpose": "havoc"})
    return ScriptedModel([calls_tools(look, harm), submits_report()])


def begin(services: Services) -> str:
    return pipeline.accept(services, incident(), via="test").investigation_id


def do_one_step(services: Services) -> None:
    for wake_up in queue_of(services).take():
        run_step(services, wake_up)


def test_one_that_completed_is_told_to_its_verdict(open_services: Open, follow: Callable[[str], Result]) -> None:
    services = open_services(two_turns())
    found = begin(services)
    drain(services)

    result = follow("latest")

    assert result.exit_code == 0
    assert "e1.2 run_command rm -rf /: denied by " in result.stdout
    assert "completed · 2 turns · 3 calls · 220 tokens" in result.stdout
    assert "Inconclusive, low confidence\nNothing stands out.\n" in result.stdout
    assert f"report: rca report show {found}" in result.stdout


def test_one_that_failed_is_told_with_its_fix_and_code_1(open_services: Open, follow: Callable[[str], Result]) -> None:
    services = open_services(ScriptedModel([ProviderAuthError("the key was rejected")]))
    found = begin(services)
    drain(services)

    result = follow(found)

    assert result.exit_code == 1
    assert "failed: provider_auth: the key was rejected\nwhat to do: check the provider's key" in result.stdout


def test_one_that_was_cancelled_has_code_1(open_services: Open, follow: Callable[[str], Result]) -> None:
    services = open_services(two_turns())
    found = begin(services)
    pipeline.cancel(services, found)

    result = follow(found)

    assert result.exit_code == 1
    assert f"cancelled; `rca investigations retry {found}`" in result.stdout


def test_nothing_to_follow_says_how_to_begin(follow: Callable[[str], Result]) -> None:
    result = follow("latest")

    assert result.exit_code == 2
    assert "send an incident with `rca enqueue FILE`" in result.stderr


def test_each_thing_is_told_once_as_it_happens(open_services: Open) -> None:
    services, screen = open_services(two_turns()), Lines()
    found = begin(services)
    told: list[int] = []

    def work(_: float) -> None:
        told.append(len(screen.said))
        do_one_step(services)

    ended = Follower(services.database, screen, wait=work).to_the_end(found)

    assert ended.investigation.status == InvestigationStatus.COMPLETED
    assert told == sorted(told)
    assert len(set(told)) > 2
    assert len(screen.said) == len(set(screen.said))
    assert screen.status.startswith("completed")


def test_a_database_that_is_away_is_waited_out_and_said_once(open_services: Open) -> None:
    services, screen = open_services(two_turns()), Lines()
    found = begin(services)
    drain(services)
    database = FailingOnce(services.settings.database)

    ended = Follower(database, screen, wait=lambda _: None).to_the_end(found)
    database.close()

    assert ended.investigation.status == InvestigationStatus.COMPLETED
    assert screen.said.count("the database does not answer; still trying") == 1


def test_silence_without_a_worker_is_explained_once(open_services: Open) -> None:
    services, screen = open_services(two_turns()), Lines()
    found = begin(services)
    looks = iter(range(1000))

    def work_late(_: float) -> None:
        if next(looks) > 3 * following.QUIET_LOOKS:
            do_one_step(services)

    Follower(services.database, screen, wait=work_late).to_the_end(found)

    assert [line for line in screen.said if "no worker is alive" in line] == [
        "no worker is alive: start one with `rca up`; `rca doctor` tells more"
    ]


def test_ctrl_c_leaves_the_investigation_running_and_says_so(
    open_services: Open, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    services = open_services(two_turns())
    found = begin(services)

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    settings = Settings(rca_home=tmp_path)
    code = follow_to_verdict(settings, services.database, found, wait=interrupt)

    assert code == following.INTERRUPTED
    assert f"the investigation goes on; `rca follow {found}` looks again" in capsys.readouterr().err
    drain(services)
    assert follow_to_verdict(settings, services.database, found) == 0


def test_the_page_is_named_where_its_address_is_known(open_services: Open, tmp_path: Path) -> None:
    settings = Settings(rca_home=tmp_path, rca_public_url="https://rca.example/")

    assert following.ways_to_open(settings, "inv_1")[-1] == "page:   https://rca.example/investigations/inv_1"
