"""`query_sql` against real PostgreSQL: one read, in a transaction that cannot write and does not last."""

import json
import time
from typing import Any

import psycopg
import pytest

from tests.servers import PostgresServer
from tests.unit.tools.test_command import context
from worker.errors import ToolDeniedError, ToolError, ToolFailedError
from worker.tools.database import _QueryArguments, _read, query_sql

pytestmark = pytest.mark.services


@pytest.fixture(scope="module")
def url(postgres_server: PostgresServer) -> str:
    url = postgres_server.create_database()
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        connection.execute("create table orders (id int, total numeric, at timestamptz, note text)")
        connection.execute(
            "insert into orders select i, i * 1.5, '2026-03-01T12:00Z', repeat('x', 600) from generate_series(1, 20) i"
        )
        connection.execute("create function sneak() returns int language sql as 'delete from orders returning 1'")
    return url


def ask(url: str, statement: str, *, limit: int = 100, seconds: float = 10) -> dict[str, Any]:
    output = query_sql(url).run({"statement": statement, "limit": limit}, context(seconds))
    answer: dict[str, Any] = json.loads(output.text)
    return answer


def test_rows_are_told_with_their_number(url: str) -> None:
    answer = ask(url, "select id, total, at, note from orders order by id;", limit=2)

    assert answer["row_count"] == 2
    assert answer["rows"][0]["total"] == 1.5
    assert answer["rows"][0]["at"].startswith("2026-03-01T12:00:00")
    assert len(answer["rows"][0]["note"]) < 600
    assert "more than 2 rows" in answer["note"]


@pytest.mark.parametrize(
    "statement",
    [
        "select count(*) as n from orders where total > 3",
        "with late as (select * from orders where id > 5) select count(*) from late union select 1",
        "select state, count(*) from pg_stat_activity group by state",
        "select date_trunc('hour', at) as hour, sum(total) from orders group by 1",
    ],
)
def test_reads_are_answered(url: str, statement: str) -> None:
    assert ask(url, statement)["row_count"] >= 1


@pytest.mark.parametrize(
    "statement",
    [
        "delete from orders",
        "select 1; delete from orders",
        "with gone as (delete from orders returning 1) select * from gone",
        "select sneak()",
        "select pg_read_file('/etc/passwd')",
        "select pg_terminate_backend(1)",
        "select set_config('a.b', 'c', true)",
        "select pg_sleep(5)",
        "select * from pg_shadow",
        "select * from pg_settings",
        "select * from orders for update",
        "select * into copied from orders",
        "copy orders to program 'sh'",
        "explain analyze delete from orders",
        "select 1 -- x",
        "",
    ],
)
def test_what_is_no_plain_read_is_refused_before_it_is_sent(url: str, statement: str) -> None:
    with pytest.raises(ToolDeniedError):
        ask(url, statement)


@pytest.mark.parametrize(
    "statement",
    ["select sneak()", "with gone as (delete from orders returning 1) select * from gone", "select 1; select 2"],
)
def test_the_transaction_holds_where_the_reading_would_not(url: str, statement: str) -> None:
    with pytest.raises(ToolFailedError):
        _read(url, _QueryArguments(statement=statement), timeout_s=5)

    assert ask(url, "select count(*) as n from orders")["rows"] == [{"n": 20}]


def test_a_statement_that_lasts_is_ended(url: str) -> None:
    started = time.monotonic()

    with pytest.raises(ToolFailedError, match="timeout"):
        ask(
            url,
            f"select count(*) from {', '.join(f'orders {name}' for name in 'abcdefg')}",  # noqa: S608 -- fixed names
            seconds=0.5,
        )

    assert time.monotonic() - started < 5


def test_what_the_database_says_is_told_without_its_address() -> None:
    with pytest.raises(ToolError) as raised:
        ask("postgresql://u:hunter2@127.0.0.1:1/x", "select 1")

    assert "hunter2" not in str(raised.value)
