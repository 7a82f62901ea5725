"""A whole system for one command: `rca up` in a child process and a folder of its own, ended with the command."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from worker.cli.embedded import free_port, is_free
from worker.cli.processes import rca
from worker.cli.up import MARGIN_S, is_healthy
from worker.cli.upfile import UpFile, read_up_file
from worker.errors import UserError
from worker.settings import Settings, child_environment

START_S = 90.0
LOOK_EVERY_S = 0.2
LOG_LINES_SHOWN = 15


@dataclass(frozen=True)
class Stack:
    """A running system: where it is, where its output goes, and the process all others hang on."""

    home: Path
    up: UpFile
    log: Path
    settings: Settings
    child: subprocess.Popen[bytes]

    def tell_end(self) -> str:
        """Say how the system ended, with the last lines of its output."""
        return f"the system ended with code {self.child.returncode}; the end of its output:\n{_last_lines(self.log)}"


@contextmanager
def running_stack(settings: Settings, home: Path, **overrides: str) -> Iterator[Stack]:
    """Start a system in `home`, hand it out when its web server answers, end it afterwards.

    Raises `UserError` with the last lines of its output when it does not come up.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = home / "up.log"
    environment = child_environment(keys=True, RCA_HOME=str(home.resolve()), **_ports(settings), **overrides)
    with log.open("wb") as output:
        child = subprocess.Popen(rca("up"), env=environment, stdout=output, stderr=subprocess.STDOUT)  # noqa: S603 - ours
        try:
            up = _wait(child, home, log)
            own = settings.model_copy(update={"rca_home": home, "redis_url": up.redis_url})
            yield Stack(home, up, log, own, child)
        finally:
            child.terminate()
            child.wait(timeout=settings.rca_grace_s + MARGIN_S * 2)


def _ports(settings: Settings) -> dict[str, str]:
    """Keep the configured ports where they are free, else take others: this system is not the only one."""
    wanted = {"RCA_HTTP_PORT": settings.rca_http_port, "RCA_FLOWER_PORT": settings.rca_flower_port}
    return {name: str(port if is_free(port) else free_port()) for name, port in wanted.items()}


def _wait(child: subprocess.Popen[bytes], home: Path, log: Path) -> UpFile:
    ends = time.monotonic() + START_S
    while child.poll() is None and time.monotonic() < ends:
        up = read_up_file(home)
        if up is not None and is_healthy(up.local_url):
            return up
        time.sleep(LOOK_EVERY_S)
    raise UserError(f"the system did not start; the end of {log}:\n{_last_lines(log)}")


def _last_lines(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:])
