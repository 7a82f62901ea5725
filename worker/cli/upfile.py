"""What runs here: `rca up` writes it down, and every other command finds Redis and the web server by it."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from worker.cli.embedded import write_private
from worker.errors import UserError
from worker.settings import Settings


class UpFile(BaseModel):
    """The running system; it is private to its owner, for the address of Redis may hold a password."""

    model_config = ConfigDict(frozen=True)

    pid: int
    redis_url: str
    redis_kind: str
    web_url: str
    local_url: str
    database: str
    flower_url: str | None = None
    flower_auth: str | None = None
    processes: dict[str, int | None] = {}


def write_up_file(home: Path, up: UpFile) -> None:
    write_private(_path(home), json.dumps(up.model_dump(), indent=2) + "\n")


def remove_up_file(home: Path) -> None:
    _path(home).unlink(missing_ok=True)


def read_up_file(home: Path) -> UpFile | None:
    """Return what runs in `home`; None if nothing does, also where a killed `rca up` left its file."""
    try:
        up = UpFile.model_validate_json(_path(home).read_text())
    except (FileNotFoundError, ValidationError):
        return None
    return up if _is_alive(up.pid) else None


def find_redis_url(settings: Settings) -> str:
    """Return the configured Redis, else the embedded one of a running `rca up`."""
    up = None if settings.redis_url else read_up_file(settings.rca_home)
    url = settings.redis_url or (up.redis_url if up else None)
    if not url:
        raise UserError("no Redis: set REDIS_URL, or start the system with `rca up`")
    return url


@contextmanager
def only_one(home: Path) -> Iterator[None]:
    """Hold the folder: a second `rca up` in it is refused, and a killed one leaves nothing behind."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (home / "up.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"`rca up` already runs in {home}; set RCA_HOME to run another beside it") from None
        yield


def describe_up(up: UpFile, *, names: list[str]) -> list[str]:
    """Say in a few lines where everything is."""
    flower = f"{up.flower_url}  (its login is in up.json, in RCA_HOME)" if up.flower_url else "off"
    lines = {
        "reports and API": up.web_url,
        "Flower": flower,
        "Redis": up.redis_kind,
        "database": up.database,
        "processes": ", ".join(names),
    }
    return ["ready", *(f"{name:<16} {value}" for name, value in lines.items())]


def _path(home: Path) -> Path:
    return home / "up.json"


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
