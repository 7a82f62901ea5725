"""`query_sql`: one read of the operator's database, in a transaction that cannot write and does not last."""

import time
from datetime import date, datetime
from decimal import Decimal
from math import isfinite
from typing import Any

import psycopg
from psycopg.rows import dict_row
from pydantic import Field

from worker.domain.tooling import ToolContext
from worker.errors import ToolDeniedError, ToolFailedError
from worker.guardrails.sql import fault_of_read
from worker.tools.output import Answer
from worker.tools.typed import Arguments, Limit, TypedTool

CONNECT_S = 5
STATEMENT_S = 30.0
_CELL_CHARS = 500


class _QueryArguments(Arguments):
    statement: str = Field(description="one SELECT or WITH statement of PostgreSQL", max_length=1500)
    limit: Limit = Field(default=100, description="rows that are shown")


def query_sql(url: str) -> TypedTool[_QueryArguments]:
    def answer(arguments: _QueryArguments, context: ToolContext) -> Answer:
        fault = fault_of_read(arguments.statement)
        if fault:
            raise ToolDeniedError(f"query_sql: {fault}")
        rows = _read(url, arguments, timeout_s=min(STATEMENT_S, context.deadline - time.monotonic()))
        note = f"more than {arguments.limit} rows: count, group or limit them" if len(rows) > arguments.limit else None
        return Answer(query=arguments.said(), rows=rows[: arguments.limit], note=note)

    return TypedTool(
        name="query_sql",
        description=(
            "Read the operator's PostgreSQL database with one SELECT: its own state (pg_stat_activity, pg_locks …) and "
            "tables. Nothing is written; functions beyond the usual ones, comments and quoted names are refused."
        ),
        arguments=_QueryArguments,
        answer=answer,
    )


def _read(url: str, arguments: _QueryArguments, *, timeout_s: float) -> list[dict[str, Any]]:
    """Return up to one row more than asked for. Raises `ToolFailedError` with what the database says."""
    if timeout_s <= 0:
        raise ToolFailedError("no time is left for the statement")
    timeout_ms = max(int(timeout_s * 1000), 1)
    options = f"-c default_transaction_read_only=on -c statement_timeout={timeout_ms} -c lock_timeout=2000"
    plain = url.replace("postgresql+psycopg://", "postgresql://", 1)
    try:
        with psycopg.connect(plain, connect_timeout=CONNECT_S, options=options, row_factory=dict_row) as connection:
            connection.read_only = True
            with connection.cursor("reading", binary=True) as cursor:  # on the server: a large result stays there
                cursor.execute(arguments.statement.strip().rstrip(";").encode())
                rows = cursor.fetchmany(arguments.limit + 1)
            connection.rollback()
    except psycopg.Error as error:
        said = error.diag.message_primary or type(error).__name__
        raise ToolFailedError(f"query_sql: {said}") from error
    return [{name: _cell(value) for name, value in row.items()} for row in rows]


def _cell(value: Any) -> Any:
    """Return a value that JSON can hold: times as ISO-8601, what is long cut short."""
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and isfinite(value)):
        return value
    if isinstance(value, Decimal) and value.is_finite():
        return float(value)
    text = value.isoformat() if isinstance(value, date | datetime) else str(value)
    return text if len(text) <= _CELL_CHARS else f"{text[:_CELL_CHARS]}…"
