"""How commands find what runs: the environment first, then what `rca up` wrote down."""

import os
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError, OutOfMemoryError, RedisError, ResponseError

from worker.cli.stored import open_database
from worker.cli.system import find_settings, open_redis, redis_address
from worker.cli.upfile import UpFile, write_up_file
from worker.errors import ConfigError, UserError
from worker.settings import Settings

UP_URL = "redis://:embedded-secret@127.0.0.1:7001/0"


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("RCA_HOME", str(tmp_path))
    return tmp_path


def runs(home: Path, *, database: str = "sqlite") -> None:
    up = UpFile(
        pid=os.getpid(), redis_url=UP_URL, redis_kind="embedded", web_url="http://x", local_url="http://x",
        database=database,
    )  # fmt: skip
    write_up_file(home, up)


def test_the_running_system_gives_redis_where_the_environment_does_not(home: Path) -> None:
    runs(home)

    settings = find_settings()

    assert settings.redis_url == UP_URL
    assert "embedded-secret" in settings.secrets


def test_the_environment_comes_first(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs(home)
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere:6379/0")

    assert find_settings().redis_url == "redis://elsewhere:6379/0"


def test_without_a_running_system_nothing_is_made_up(home: Path) -> None:
    assert find_settings().redis_url is None


def test_another_database_than_the_running_systems_is_refused(home: Path) -> None:
    runs(home, database="postgresql+psycopg")

    with pytest.raises(ConfigError, match="runs here on postgresql: set DATABASE_URL"):
        find_settings()


@pytest.mark.parametrize("url", ["postgres://db/rca", "postgresql://db/rca", "postgresql+psycopg://db/rca"])
def test_every_spelling_of_the_same_database_is_the_same(url: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs(home, database="postgresql+psycopg")
    monkeypatch.setenv("DATABASE_URL", url)

    assert find_settings().redis_url == UP_URL


def test_looking_makes_no_database(tmp_path: Path) -> None:
    settings = Settings(rca_home=tmp_path / "home", database_url=None, redis_url=None)

    with pytest.raises(UserError, match=r"there is no database at .*rca\.db: start the system with `rca up`"):
        open_database(settings).__enter__()

    assert not (tmp_path / "home").exists()


def test_a_database_without_tables_asks_for_a_migration(tmp_path: Path) -> None:
    (tmp_path / "rca.db").touch()
    settings = Settings(rca_home=tmp_path, database_url=None, redis_url=None)

    with pytest.raises(UserError, match="has no tables: run `rca migrate`"):
        open_database(settings).__enter__()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RedisConnectionError("at redis://:secret@x"), "does not answer"),
        (NoPermissionError("user secret"), "refuses this user"),
        (OutOfMemoryError("OOM command not allowed, secret"), "refuses the command: OOM"),
        (ResponseError("unknown command 'secret'"), "refuses the command: ResponseError"),
    ],
)
def test_what_redis_says_becomes_one_line_without_its_words(error: RedisError, said: str) -> None:
    settings = Settings(redis_url="redis://me:secret@queue:6380/0")

    with pytest.raises(UserError) as raised, open_redis(settings):
        raise error

    assert said in str(raised.value)
    assert "queue:6380" in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://user:pw@host:7000/1", "host:7000"),
        ("rediss://host", "host:6379"),
        ("redis://[bad", "the address in REDIS_URL"),
    ],
)
def test_an_address_is_shown_without_user_and_password(url: str, shown: str) -> None:
    assert redis_address(url) == shown
