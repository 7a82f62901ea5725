"""`rca usage` adds up what the models were asked, on both databases."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import insert, select

from tests.builders import incident
from tests.fakes import ScriptedModel
from worker import pipeline
from worker.cli.main import main
from worker.services import Services
from worker.storage import repricing
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


HAIKU = {"provider": "anthropic", "model": "claude-haiku-4-5", "cached_input_tokens": None}


@pytest.fixture
def unpriced(services: Services) -> list[dict[str, Any]]:
    """Book three calls: one that had no price, one by an older list, one that nobody can price."""
    investigation = pipeline.accept(services, incident("c"), via="test").investigation_id
    rows = [
        call(investigation, **HAIKU, cost_usd=None),
        call(investigation, **HAIKU, turn_no=2, cost_usd=9.0, price_source="an older list", counted_cost_usd=9.0),
        call(investigation, turn_no=3, provider="vllm", model="own", cost_usd=0.0, price_source="my own table"),
    ]
    with services.database.transaction() as session:
        for row in rows:
            session.execute(insert(UsageRow).values(**row))
    return rows


def costs(services: Services) -> list[float | None]:
    with services.database.transaction() as session:
        return list(session.scalars(select(UsageRow.cost_usd).order_by(UsageRow.id)))


def test_calls_are_priced_again_once_it_is_confirmed(
    run: Run, services: Services, unpriced: list[dict[str, Any]]
) -> None:
    looked = run("recalculate")
    unchanged = costs(services)
    done = run("recalculate", "--confirm", "recalculate")
    again = run("recalculate", "--confirm", "recalculate")

    assert looked.output.startswith("2 calls matched a price, 2 would change (write it with --confirm recalculate)")
    assert unchanged == [None, 9.0, 0.0]
    assert done.output == "2 calls matched a price, 2 changed\n1 call still of unknown price\n"
    assert costs(services) == pytest.approx([0.00115, 0.00115, 0.0])
    assert "2 calls matched a price, 0 changed" in again.output
    with services.database.transaction() as session:
        row = session.scalars(select(UsageRow).order_by(UsageRow.id)).all()[1]
        assert (row.price_source or "").startswith("public list prices, genai-prices")
        assert row.counted_cost_usd == 9.0  # what a budget counted, it counted


def test_another_word_confirms_nothing(run: Run, services: Services, unpriced: list[dict[str, Any]]) -> None:
    result = run("recalculate", "--confirm", "yes")

    assert result.exit_code == 2
    assert "--confirm recalculate" in result.output
    assert costs(services) == [None, 9.0, 0.0]


def test_every_batch_is_priced(
    run: Run, services: Services, unpriced: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repricing, "BATCH", 1)

    assert "2 calls matched a price, 2 changed" in run("recalculate", "--confirm", "recalculate").output
