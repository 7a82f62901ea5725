"""`rca usage` adds up what the models were asked, on both databases."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import insert

from tests.builders import incident
from tests.fakes import ScriptedModel
from worker import pipeline
from worker.cli.main import main
from worker.services import Services
from worker.storage.sums import Group, add_up, total
from worker.storage.tables import UsageRow

Open = Callable[..., Services]
Run = Callable[..., Result]
NOW = datetime.now(UTC)


@pytest.fixture
def run(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("RCA_HOME", str(tmp_path))
    return lambda *arguments: CliRunner().invoke(main, ["usage", *arguments])


@pytest.fixture
def services(open_services: Open) -> Services:
    return open_services(ScriptedModel([]))


def call(investigation: str, **fields: Any) -> dict[str, Any]:
    known = {"agent_id": "agt", "turn_no": 1, "purpose": "rca", "provider": "openai", "model": "gpt-4.1"}
    tokens = {"input_tokens": 900, "cached_input_tokens": 100, "output_tokens": 50, "cost_usd": 0.25}
    return {"investigation_id": investigation, "outcome": "ok", "created_at": NOW, **known, **tokens, **fields}


@pytest.fixture
def two(services: Services) -> tuple[str, str]:
    """Book calls of two investigations: one of them two days ago, one failed, one of unknown price."""
    first, second = (
        pipeline.accept(services, incident(title, service=title, user_path=f"/{title}"), via="test").investigation_id
        for title in ("a", "b")
    )
    unknown = {"provider": "vllm", "model": "own", "cost_usd": None, "input_tokens": None, "output_tokens": None}
    rows = [
        call(first),
        call(first, purpose="judge", cost_usd=0.5, created_at=NOW - timedelta(days=2)),
        call(second, outcome="provider_unavailable", **dict.fromkeys(("input_tokens", "output_tokens", "cost_usd"))),
        call(second, **unknown, cached_input_tokens=None),
        call(second, outcome="reserved", purpose="verify"),
    ]
    with services.database.transaction() as session:
        for row in rows:
            session.execute(insert(UsageRow).values(**row))
    return first, second


@pytest.mark.parametrize(
    ("by", "names"),
    [
        (Group.MODEL, ["openai/gpt-4.1", "vllm/own"]),
        (Group.PURPOSE, ["judge", "rca"]),
        (Group.USER_PATH, ["/a", "/b"]),
        (Group.DAY, [f"{NOW - timedelta(days=2):%Y-%m-%d}", f"{NOW:%Y-%m-%d}"]),
    ],
)
def test_each_group_is_a_sum_and_all_of_them_the_whole(
    services: Services, two: tuple[str, str], by: Group, names: list[str]
) -> None:
    with services.database.transaction() as session:
        sums = add_up(session, by, days=30)

    whole = total(sums)
    assert [one.name for one in sums] == names
    assert (whole.calls, whole.failed, whole.cost_usd) == (3, 1, 0.75)
    assert (whole.input_tokens, whole.cached_input_tokens, whole.output_tokens) == (1800, 300, 100)
    assert (whole.unsaid, whole.unpriced) == (1, 1)


def test_investigations_come_the_dearest_first(services: Services, two: tuple[str, str]) -> None:
    with services.database.transaction() as session:
        assert [one.name for one in add_up(session, Group.INVESTIGATION, days=30)] == list(two)


def test_what_is_older_is_left_out(services: Services, two: tuple[str, str]) -> None:
    with services.database.transaction() as session:
        assert [one.calls for one in add_up(session, Group.USER_PATH, days=1)] == [1, 1]


def test_the_table_ends_with_the_total_and_says_what_it_does_not_know(run: Run, two: tuple[str, str]) -> None:
    headings, dear, unknown, whole, left_out = run().stdout.splitlines()

    assert headings.split() == ["model", "calls", "failed", "tokens", "in", "cached", "tokens", "out", "cost"]
    assert dear.split() == ["openai/gpt-4.1", "2", "1", "1,800", "300", "100", "$0.7500"]
    assert unknown.split() == ["vllm/own", "1", "0", *["unknown"] * 4]
    assert whole.split() == ["total", "3", "1", "1,800+", "300+", "100+", "$0.7500+"]
    assert left_out == "not counted: 1 call of unknown price beside that cost; 1 call whose tokens nobody said"


def test_scripts_get_it_as_json(run: Run, two: tuple[str, str]) -> None:
    body = json.loads(run("--by", "user-path", "--days", "7", "--json").stdout)

    assert (body["by"], body["days"], body["total"]["calls"]) == ("user-path", 7, 3)
    assert [group["name"] for group in body["groups"]] == ["/a", "/b"]


def test_where_nothing_was_asked_it_says_so(run: Run, services: Services) -> None:
    assert run("--days", "1").stdout == "no model was asked in the last 1 day\n"


@pytest.mark.parametrize("arguments", [("--by", "colour"), ("--days", "0")])
def test_what_cannot_be_asked_is_an_error_of_usage(run: Run, arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2
