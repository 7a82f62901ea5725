"""How a command finds the running system: by the environment, else by what `rca up` wrote down in RCA_HOME."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from redis import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

from worker.cli.upfile import UpFile, find_redis_url, read_up_file
from worker.errors import ConfigError, UserError
from worker.settings import Settings, load_settings

REDIS_S = 5.0
"""What a command waits for Redis, to connect and to answer."""


def find_settings() -> Settings:
    """Read the environment; where it names no Redis, take that of the `rca up` that runs in RCA_HOME."""
    settings = load_settings()
    up = read_up_file(settings.rca_home)
    if up is None:
        return settings
    _require_same_database(settings, up)
    return settings if settings.redis_url else settings.model_copy(update={"redis_url": up.redis_url})


def _require_same_database(settings: Settings, up: UpFile) -> None:
    """Refuse to look into one database while the system that runs here uses another."""
    ours, theirs = (url.partition(":")[0].partition("+")[0] for url in (settings.database_url or "sqlite", up.database))
    if ours.replace("postgresql", "postgres") != theirs.replace("postgresql", "postgres"):
        raise ConfigError(f"`rca up` runs here on {theirs}: set DATABASE_URL to what it was started with")


@contextmanager
def open_redis(settings: Settings) -> Iterator[Redis]:
    """Hand out a client. Whatever goes wrong with it inside is a `UserError` that names the address, no password."""
    url = find_redis_url(settings)
    where = redis_address(url)
    client = connect_redis(url)
    try:
        yield client
    except (AuthenticationError, NoPermissionError) as error:
        raise UserError(f"Redis at {where} refuses this user ({type(error).__name__}): check REDIS_URL") from error
    except ResponseError as error:
        raise UserError(f"Redis at {where} refuses the command: {_code(error)}; see `rca doctor`") from error
    except RedisError as error:
        raise UserError(
            f"Redis at {where} does not answer ({type(error).__name__}): start it with `rca up`, or check REDIS_URL"
        ) from error
    finally:
        client.close()


def connect_redis(url: str) -> Redis:
    """Return a client that is not connected yet. Raises `ConfigError` for what is no address of a Redis."""
    try:
        return Redis.from_url(url, socket_timeout=REDIS_S, socket_connect_timeout=REDIS_S)
    except ValueError as error:
        raise ConfigError("REDIS_URL: has to look like redis://host:6379/0") from error


def redis_address(url: str) -> str:
    """Return host and port, without user and password."""
    try:
        address = urlsplit(url)
        host, port = address.hostname or "localhost", address.port or 6379
    except ValueError:
        return "the address in REDIS_URL"
    return f"{host}:{port}"


def _code(error: ResponseError) -> str:
    """Return Redis' word for what is wrong, such as OOM; the rest of its message may hold what was sent."""
    first = str(error).partition(" ")[0]
    return first if first.isupper() and first.isalpha() else type(error).__name__
