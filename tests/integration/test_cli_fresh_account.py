"""`rca investigations retry|rerun ID --llm FILE`: a fresh account from a file or standard input, never from `ps`."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from redis import Redis
from sqlalchemy import select

from tests.builders import build_services, close_services, drain, incident
from tests.fakes import ScriptedModel
from tests.llm_builders import bare_settings
from tests.model_server import ModelServer, Reply, demo
from tests.servers import RedisServer
from worker import pipeline
from worker.cli.main import main
from worker.domain.callers import CallersModel
from worker.llm.callers import Callers
from worker.storage.database import Database
from worker.storage.tables import InvestigationRow

pytestmark = pytest.mark.services
FRESH = "callers-fresh-key-8d02b7"
SEED = "a-seed"
Run = Callable[..., Result]


@pytest.fixture
def redis(redis_server: RedisServer) -> Iterator[Redis]:
    with Redis.from_url(redis_server.url) as client:
        client.flushall()
        yield client


@pytest.fixture
def run(database_url: str, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    given = {
        "DATABASE_URL": database_url,
        "RCA_HOME": str(tmp_path),
        "REDIS_URL": redis_server.url,
        "AURORA_SECRET_KEY": SEED,
        "BYO_BASE_URL_ALLOWLIST": "127.0.0.1",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return lambda *arguments, **how: CliRunner().invoke(main, list(arguments), **how)


@pytest.fixture
def expired(database_url: str, redis: Redis) -> str:
    """Return an investigation whose key was gone before it began."""
    services = build_services(database_url, ScriptedModel([]), aurora_secret_key=SEED)
    llm = CallersModel(handle="byo_nobody")
    found = pipeline.accept(services, incident(llm=llm), via="test").investigation_id
    drain(services)
    close_services(services)
    return found


def account(server: ModelServer, **fields: Any) -> str:
    known = {"provider": "openai", "model": "my-model", "key": FRESH, "base_url": server.openai_url}
    return json.dumps(known | fields)


def rows(database_url: str) -> list[InvestigationRow]:
    database = Database(database_url)
    with database.transaction() as session:
        found = session.scalars(select(InvestigationRow).order_by(InvestigationRow.id)).all()
    database.close()
    return list(found)


@pytest.mark.parametrize("what", ["retry", "rerun"])
def test_7_3_a_fresh_account_comes_from_a_file_or_from_standard_input(
    run: Run, expired: str, database_url: str, redis: Redis, *, what: str, tmp_path: Path
) -> None:
    with ModelServer(demo) as server:
        file = tmp_path / "account.json"
        file.write_text(account(server, preflight=True))
        given = ("-", account(server)) if what == "retry" else (str(file), None)
        result = run("investigations", what, expired, "--llm", given[0], input=given[1])

    assert result.exit_code == 0, result.output
    new = rows(database_url)[-1]
    assert result.stdout.split()[0] == new.id
    callers = Callers(redis, bare_settings(aurora_secret_key=SEED))
    assert callers.key(new.llm_handle or "") == FRESH
    assert (new.retry_of, new.status) == (expired if what == "retry" else None, "queued")
    assert FRESH not in result.output


@pytest.mark.parametrize(
    ("text", "said", "code"),
    [
        ("{", "llm: Invalid JSON", 2),
        (json.dumps({"provider": "openai", "key": FRESH, "unknown": FRESH}), "llm.unknown: Extra inputs", 2),
        (json.dumps({"provider": "openai", "model": "m"}), "llm.key: is required", 2),
        (json.dumps({"handle": "byo_gone"}), "is no longer kept", 1),
    ],
)
def test_7_3_an_account_that_does_not_fit_is_told_by_its_field_and_starts_nothing(
    run: Run, expired: str, database_url: str, *, text: str, said: str, code: int
) -> None:
    result = run("investigations", "retry", expired, "--llm", "-", input=text)

    assert (result.exit_code, said in result.output) == (code, True), result.output
    assert FRESH not in result.output
    assert len(rows(database_url)) == 1


def test_7_3_a_preflight_that_fails_keeps_nothing(run: Run, expired: str, redis: Redis, database_url: str) -> None:
    reply = Reply(status=401, body=json.dumps({"error": {"message": f"bad {FRESH}"}}).encode())
    with ModelServer(lambda _: reply) as server:
        result = run("investigations", "retry", expired, "--llm", "-", input=account(server, preflight=True))

    assert result.exit_code == 1
    assert "401: the key is wrong or revoked" in result.output
    assert FRESH not in result.output
    assert redis.keys("rca:byo:*") == []
    assert len(rows(database_url)) == 1
