"""Statements of databases' own clients: one read of what the database says of itself is proven, nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.guardrails.sql import is_read_only_mysql, is_read_only_psql

READS = (
    "select 1",
    "SELECT version();",
    "select count(*) from pg_stat_activity",
    "select a.pid, l.mode from pg_stat_activity a join pg_locks l on l.pid = a.pid where not l.granted",
    "select * from pg_class c, pg_namespace n where c.relnamespace = n.oid limit 5",
    "select datname from pg_database where datname in ('a', 'it''s')",
    "select extract(epoch from now() - query_start) from pg_stat_activity",
    "select state, count(*) filter (where wait_event is null) from pg_stat_activity group by 1 having count(*) > 1",
    "select * from (select pid from pg_locks) x where exists (select 1 from pg_stat_activity)",
    "select query from pg_stat_activity where query like '%delete from x%'",
    "show max_connections",
    r"\l+",
    r"\d+ public.orders",
)


@pytest.mark.parametrize("statement", READS)
def test_one_look_at_a_catalogue_is_proven(statement: str) -> None:
    assert is_read_only_psql(statement)


@pytest.mark.parametrize("statement", READS[:-3])
@pytest.mark.parametrize(
    "change",
    [
        "{}; drop table x",
        "{} -- x",
        "{} /* x */",
        "{} union select passwd from pg_shadow",
        "{} for update",
        "{} into outfile 'x'",
        "explain analyze {}",
        "with x as (delete from y returning 1) {}",
        "{}, pg_sleep(9)",
        "copy ({}) to program 'sh'",
        "{} limit (select count(*) from users)",
    ],
)
def test_whatever_is_added_makes_it_unproven(statement: str, change: str) -> None:
    assert not is_read_only_psql(change.format(statement.rstrip(";")))


@pytest.mark.parametrize("place", ["select {}", "select 1 from pg_class where 1 = {}", "select count(*) from {}"])
@pytest.mark.parametrize(
    "call",
    ["pg_read_file('x')", "lo_import('x')", "pg_terminate_backend(1)", "set_config('a','b',true)", "dblink('x')"],
)
def test_no_function_with_effects_is_proven_anywhere(place: str, call: str) -> None:
    assert not is_read_only_psql(place.format(call))
    assert not is_read_only_psql(place.format(f"pg_catalog.{call}"))
    assert not is_read_only_psql(place.format(call.replace("(", "  (")))


@pytest.mark.parametrize(
    ("statement", "is_proven"),
    [
        ("show full processlist", True),
        (r"show replica status\G", True),
        ("show global status like 'Threads%'", True),
        ("select * from performance_schema.events_statements_summary_by_digest limit 5", True),
        ("select * from information_schema.innodb_trx", True),
        ("select * from mysql.user", False),
        ("select load_file('/etc/shadow')", False),
        ("select 1 into @x", False),
        ("select /*!50000 1 */", False),
        (r"select 1\G drop table x", False),
        ("select 1\nsystem id", False),
        ("show grants", False),
        ("select * from performance_schema.user_variables_by_thread", False),
    ],
)
def test_mysql_is_read_its_own_way(statement: str, is_proven: bool) -> None:  # noqa: FBT001
    assert is_read_only_mysql(statement) is is_proven


@given(st.text(st.sampled_from("selctfromwhr pg_class,()*;'\"-/\\$1users"), max_size=60))
def test_no_text_breaks_the_reading(statement: str) -> None:
    if is_read_only_psql(f"select 1 from pg_class {statement}"):  # noqa: S608 -- read, not run
        assert "users" not in statement.replace("pg_class", "").split()
