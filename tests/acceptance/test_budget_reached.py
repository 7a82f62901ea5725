"""A budget reached ends in a partial report that says which: the model's if a call still fits, else the rows'."""

from collections.abc import Callable, Iterator

import pytest

from tests.acceptance.system import Provider, System, reports, runs
from tests.model_server import Reply
from tests.servers import PostgresServer, RedisServer

Install = Callable[..., System]


@pytest.fixture(scope="module")
def bounded(
    provider: Provider,
    redis_server: RedisServer,
    postgres_server: PostgresServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[System]:
    """Return an installation whose worker has small budgets."""
    system = System(
        tmp_path_factory.mktemp("bounded"),
        database_url=postgres_server.create_migrated(),
        redis_url=redis_server.url.removesuffix("/0") + "/15",
        provider=provider,
        RCA_MAX_TURNS="3",
        RCA_MAX_TOKENS="100000",
        RCA_MAX_COST_USD="0.1",
    )
    system.start_worker()
    yield system
    system.close()


def test_the_last_turn_has_no_tools_and_asks_for_the_report(bounded: System) -> None:
    marker = "three turns are all there are"
    bounded.provider.play(marker, [runs("uptime"), runs("uname -r"), reports(summary="What I know.")])

    report = bounded.wait_until_completed(bounded.open(marker))

    offered = [[t.name for t in e.tools] for e in bounded.provider.exchanges(marker)]
    assert "run_command" in offered[1]
    assert offered[2] == ["submit_report"]
    assert bounded.provider.exchanges(marker)[2].tool_choice["function"]["name"] == "submit_report"
    assert report["summary"] == "What I know."
    assert report["turns"] == 3


def test_a_model_that_uses_its_last_turn_for_a_tool_gets_a_report_written_from_its_rows(bounded: System) -> None:
    marker = "asks for one more tool"
    bounded.provider.play(marker, [runs("uptime"), runs("uname -r"), runs("nproc")])

    report = bounded.wait_until_completed(bounded.open(marker))

    assert report["verdict"] == "inconclusive"
    assert "budget of 3 turns" in report["partial"]
    assert bounded.provider.turns(marker) == {1: 1, 2: 1, 3: 1}
    assert {e["id"]: e["status"] for e in report["evidence"]} == {
        "e1.1": "succeeded",
        "e2.1": "succeeded",
        "e3.1": "failed",
    }


@pytest.mark.parametrize(
    ("usage", "budget"),
    [((99_000, 20), "budget of 100000 tokens"), ((100, 62_450), "budget of $0.1")],
    ids=["tokens", "dollars"],
)
def test_a_budget_in_which_no_call_fits_any_more_ends_in_a_report_from_the_rows(
    bounded: System, usage: tuple[int, int], budget: str
) -> None:
    marker = f"spends the {budget}"
    bounded.provider.play(marker, [runs("uptime", usage=usage), Reply(text="must not be asked")])

    report = bounded.wait_until_completed(bounded.open(marker))

    assert (report["verdict"], budget in report["partial"]) == ("inconclusive", True), report["partial"]
    assert [e["id"] for e in report["evidence"]] == ["e1.1"]
    assert bounded.provider.turns(marker) == {1: 1}
