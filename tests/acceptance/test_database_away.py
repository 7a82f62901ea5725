"""PostgreSQL gone for half a minute in the middle of everything: one outage, and what each part made of it."""

import json
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import psycopg
import pytest

from tests.acceptance.system import Provider, System, counts_in, reports, running, runs, times_run, wait_for
from tests.servers import PostgresServer, RedisServer, free_port, running_postgres, running_redis
from worker.domain.states import Step
from worker.storage.database import CONNECT_S, POOL_WAIT_S
from worker.storage.outbox import WakeUp

AWAY_S = 30.0
LONG_S = 6.0
"""What is under way for so long when the database goes ends while it is away."""
BACK_WITHIN_S = 30.0

THINKING, JUDGING, ACTING, SPANNING, WALKING = UNDER_WAY = (
    "answered while it is away", "judged while it is away", "run while it is away",
    "answered after it is back", "between two of many turns",
)  # fmt: skip
REFUSED = [f"refused over http, {name}" for name in ("carts", "orders", "mail", "search")]
STREAMED = [f"left on the stream, {name}" for name in ("carts", "orders")]
TITLES = [*UNDER_WAY, *REFUSED, *STREAMED]
TURNS_OF = {THINKING: 3, JUDGING: 3, ACTING: 2, SPANNING: 2, WALKING: 9}
Line = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What a client is told, and when."""

    status: int
    body: dict[str, Any]
    retry_after: str | None
    took_s: float


@dataclass
class Outage:
    """What was seen of it from outside."""

    answers: list[Answer] = field(default_factory=list)
    health: tuple[int, int] = (0, 0)
    unacknowledged: int = 0
    acknowledged_after: bool = False
    alive: list[bool] = field(default_factory=list)
    lines: dict[str, list[Line]] = field(default_factory=dict)
    ended: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    turns: dict[str, dict[int, int]] = field(default_factory=dict)
    judged: int = 0
    run: int = 0
    back_s: float = 0.0


SAID = {
    "the database does not answer; try again",
    "the database has no free connection; try again",
    "the connection to the database was lost; try again",
}


class Client:
    """An alerting system that posts over HTTP, several alerts at once."""

    def __init__(self, port: int) -> None:
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20)

    def post(self, title: str) -> Answer:
        began = time.monotonic()
        answer = self._http.post("/v1/incidents", json={"title": title, "idempotency_key": title})
        retry_after = answer.headers.get("Retry-After")
        return Answer(answer.status_code, answer.json(), retry_after, time.monotonic() - began)

    def post_all(self, titles: list[str]) -> list[Answer]:
        with ThreadPoolExecutor(len(titles)) as pool:
            return list(pool.map(self.post, titles))

    def health(self) -> tuple[int, int]:
        return self._http.get("/healthz").status_code, self._http.get("/readyz").status_code

    def close(self) -> None:
        self._http.close()


@pytest.fixture(scope="module")
def outage(
    redis_server: RedisServer, postgres_server: PostgresServer, provider: Provider, tmp_path_factory: Any
) -> Outage:
    """Live through one, on servers of its own. The shared ones say whether there are any at all."""
    del redis_server, postgres_server
    folder, port = tmp_path_factory.mktemp("away"), free_port()
    with ExitStack() as stack:
        data = stack.enter_context(tempfile.TemporaryDirectory(prefix="rca-postgres-"))
        postgres, redis = stack.enter_context(running_postgres(Path(data))), stack.enter_context(running_redis(folder))
        urls = {"database_url": postgres.create_migrated(), "redis_url": redis.url}
        system = stack.enter_context(running(System(folder, **urls, provider=provider, RCA_LOG_LEVEL="INFO")))
        system.start_all(workers=2, slots=8, port=port)
        client = stack.enter_context(closing(Client(port)))
        return live_through(system, postgres, client)


def live_through(system: System, postgres: PostgresServer, client: Client) -> Outage:
    """Get everything under way, take the database away and bring it back; wait until all has ended."""
    seen, counters = Outage(), (system.folder / "judged", system.folder / "run")
    write_scripts(system.provider, *counters)
    get_under_way(system, client, *counters)

    agents = [system.agent(row.id) for title in UNDER_WAY for row in system.find(title)]
    in_line = [WakeUp(Step.TURN, agent.id, agent.turn_no, "rca") for agent in agents] * 3
    logged = {p.name: len(p.log()) for p in system.processes}
    postgres.stop()
    system.services.send(in_line)  # what stood in line for a thread when it went
    seen.answers = report_in_vain(system, client)
    seen.health, seen.unacknowledged = client.health(), system.pending_messages()
    postgres.start()

    back = time.monotonic()
    wait_for(
        lambda: all(a.status in {200, 202} for a in client.post_all(REFUSED)),
        within_s=BACK_WITHIN_S,
        otherwise=lambda: "http still refuses",
    )
    wait_for(lambda: ended(system).total() >= len(TITLES), within_s=40, otherwise=lambda: f"{ended(system)}")
    seen.back_s, seen.ended = time.monotonic() - back, ended(system)
    seen.acknowledged_after = not system.pending_messages()
    client.health()
    seen.alive = [p.is_alive for p in system.processes]
    seen.lines = {p.name: [json.loads(x) for x in p.log()[logged[p.name] :].splitlines()] for p in system.processes}
    seen.turns = {title: system.provider.turns(title) for title in TITLES}
    seen.judged, seen.run = system.provider.judge_calls(str(counters[0])), times_run(counters[1])
    return seen


def write_scripts(provider: Provider, judged: Path, run: Path) -> None:
    for title in TITLES:
        provider.play(title, [runs("uptime", latency_s=0.3), reports()])
    provider.play(THINKING, [runs("uptime"), runs("uptime"), reports()], slow_once={2: LONG_S})
    provider.play(SPANNING, [runs("uptime"), reports()], slow_once={2: AWAY_S + 3})
    provider.play(JUDGING, [runs("uptime"), runs(counts_in(judged)), reports()])
    provider.delay_judge_once(str(judged), LONG_S)
    provider.play(ACTING, [runs(f"{counts_in(run)}; sleep {LONG_S:g}"), reports()])
    provider.play(WALKING, [*[runs("uptime", latency_s=0.3)] * 8, reports()])


def get_under_way(system: System, client: Client, judged: Path, run: Path) -> None:
    """Have something in each state: asking, judging, acting, and between two turns."""
    assert [a.status for a in client.post_all([THINKING, JUDGING, ACTING, SPANNING])] == [202] * 4
    system.wait_for_turn(THINKING, 2)
    system.wait_for_turn(SPANNING, 2)
    wait_for(lambda: system.provider.judge_calls(str(judged)), within_s=30, otherwise=lambda: "nothing is judged")
    wait_for(lambda: times_run(run), within_s=30, otherwise=lambda: "nothing is run")
    system.xadd(json.dumps({"title": WALKING}))
    system.wait_for_turn(WALKING, 2)


def report_in_vain(system: System, client: Client) -> list[Answer]:
    """Go on reporting through both doors while the database is away."""
    answers = []
    for title in STREAMED:
        system.xadd(json.dumps({"title": title}))
        ends = time.monotonic() + AWAY_S / len(STREAMED)
        while time.monotonic() < ends:
            answers += client.post_all(REFUSED)
            time.sleep(1)
    return answers


def ended(system: System) -> Counter[tuple[str, str, int]]:
    """Count what became of each incident: its title, its investigation's status, its reports."""
    with psycopg.connect(system.database_dsn) as connection:
        rows = connection.execute("""
            SELECT title, investigations.status, count(reports.investigation_id) FROM incidents
            JOIN investigations ON incident_id = incidents.id LEFT JOIN reports ON investigation_id = investigations.id
            WHERE finished_at IS NOT NULL GROUP BY title, investigations.id
        """).fetchall()
    return Counter((title, status, count) for title, status, count in rows)


def test_http_refuses_at_once_says_why_and_when_to_come_back(outage: Outage) -> None:
    assert len(outage.answers) >= AWAY_S / 2 * len(REFUSED)
    assert {a.status for a in outage.answers} == {503}
    assert {a.retry_after for a in outage.answers} == {"5"}
    assert {a.body["detail"]["error"] for a in outage.answers} == {"storage_unavailable"}
    assert {a.body["detail"]["message"] for a in outage.answers} <= SAID
    assert max(a.took_s for a in outage.answers) < CONNECT_S + POOL_WAIT_S
    assert median(a.took_s for a in outage.answers) < 1  # a server that is gone refuses: there is nothing to wait for


def test_the_web_process_is_alive_and_not_ready(outage: Outage) -> None:
    assert outage.health == (200, 503)


def test_the_bridge_acknowledges_nothing_until_it_is_kept(outage: Outage) -> None:
    assert (outage.unacknowledged, outage.acknowledged_after) == (len(STREAMED), True)


def test_everything_taken_in_ends_in_one_report(outage: Outage) -> None:
    assert outage.ended == Counter({(title, "completed", 1): 1 for title in TITLES})
    assert outage.back_s < BACK_WITHIN_S


def test_no_call_is_made_twice_not_even_those_in_flight(outage: Outage) -> None:
    expected = {title: dict.fromkeys(range(1, TURNS_OF.get(title, 2) + 1), 1) for title in TITLES}

    assert outage.turns == expected
    assert (outage.judged, outage.run) == (1, 1)


def test_every_process_lives_on(outage: Outage) -> None:
    assert outage.alive == [True] * 4


def test_every_process_says_once_that_it_is_away_and_once_that_it_is_back(outage: Outage) -> None:
    told = {name: changes_in(lines) for name, lines in outage.lines.items()}

    assert {counts for changes in told.values() for counts in changes.values()} == {(1, 1)}
    assert all(("database", "main") in changes for changes in told.values())
    assert any(("database", "heartbeat") in changes for changes in told.values())
    assert ("intake", None) in told["intake"]


def test_nothing_else_is_complained_of(outage: Outage) -> None:
    alarms = [
        line
        for lines in outage.lines.values()
        for line in lines
        if line["level"] != "info" and not line["event"].endswith("_interrupted")
    ]

    assert alarms == []


def changes_in(lines: list[Line]) -> dict[tuple[str, str | None], tuple[int, int]]:
    """Count, for each component, how often it told that it is interrupted, and how often that it has resumed."""
    told = Counter((*line["event"].rsplit("_", 1), line.get("pool")) for line in lines)
    parts = {(noun, pool) for noun, verb, pool in told if verb in {"interrupted", "resumed"}}
    return {(noun, pool): (told[noun, "interrupted", pool], told[noun, "resumed", pool]) for noun, pool in parts}
