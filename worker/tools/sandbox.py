"""Where a command runs: an empty folder, a scrubbed environment, and around it bubblewrap, where there is one.

In the cage the host's files are read-only, devices are not there, and only programs that need the network have it:
those that ask a server, or look at this host's own sockets. Processes are the host's, so that `ps` sees them.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal

from worker.errors import ConfigError
from worker.guardrails.table import Table

PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
_PROBE_S = 10.0
_CAPABILITIES = ("CAP_DAC_READ_SEARCH", "CAP_SYS_PTRACE", "CAP_SYSLOG", "CAP_NET_RAW")
"""What root keeps: reading. Anybody else has none to keep."""


def needs_network(argv: tuple[str, ...], table: Table) -> bool:
    """Say whether the table gives a program the network, or it looks at that of this host (`/proc/net`)."""
    program = argv[0].rsplit("/", 1)[-1]
    return program in table.networked or any("/net" in word for word in argv)


@dataclass(frozen=True)
class Cage:
    """Bubblewrap, by its path."""

    bwrap: str

    def around(self, argv: tuple[str, ...], *, folder: Path, has_network: bool) -> tuple[str, ...]:
        """Return the words that run a program in the cage, in its own folder."""
        kept = [word for name in _CAPABILITIES for word in ("--cap-add", name)]
        rights = kept if os.geteuid() == 0 else ["--unshare-user"]
        return (
            *(self.bwrap, "--ro-bind", "/", "/", "--dev", "/dev", "--bind", str(folder), str(folder)),
            *("--unshare-ipc", "--die-with-parent", "--cap-drop", "ALL", *rights),
            *(() if has_network else ("--unshare-net",)),
            *("--", *argv),
        )


@lru_cache(maxsize=8)
def find_cage(mode: Literal["auto", "bwrap", "none"], *, path: str = PATH) -> Cage | None:
    """Return the cage that a setting asks for, tried once per process.

    None for `none`, and for `auto` where bubblewrap is missing or the kernel does not let it make namespaces.
    Raises `ConfigError` where `bwrap` is asked for and cannot be had.
    """
    if mode == "none":
        return None
    bwrap = shutil.which("bwrap", path=path)
    fault = _fault(Cage(bwrap)) if bwrap else "is not installed"
    if bwrap and fault is None:
        return Cage(bwrap)
    if mode == "bwrap":
        raise ConfigError(f"RCA_SANDBOX=bwrap: bubblewrap {fault}")
    return None


def _fault(cage: Cage) -> str | None:
    words = cage.around(("/bin/true",), folder=Path("/tmp"), has_network=False)  # noqa: S108 -- nothing is written
    try:
        tried = subprocess.run(words, capture_output=True, timeout=_PROBE_S, check=False, text=True, env={})  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"cannot be run ({type(error).__name__})"
    return None if tried.returncode == 0 else f"cannot be used here: {' '.join(tried.stderr.split())[:200]}"


@dataclass(frozen=True)
class Sandbox:
    """An empty working directory and an empty home, both gone afterwards."""

    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    cage: Cage | None = None

    @property
    def work(self) -> Path:
        return self.folder / "work"

    def around(self, argv: tuple[str, ...], *, has_network: bool) -> tuple[str, ...]:
        return self.cage.around(argv, folder=self.folder, has_network=has_network) if self.cage else argv

    def environment(self) -> dict[str, str]:
        """Allow-listed variables only; git's switch off what a repository's own configuration could run."""
        return {
            "PATH": PATH,
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.folder / "home"),
            "PAGER": "cat",
            **_GIT,
            **self.variables,
        }


_GIT_CONFIG = {
    "core.fsmonitor": "false",
    "diff.ignoreSubmodules": "dirty",
    "core.hooksPath": "/dev/null",
    "core.pager": "cat",
    "log.showSignature": "false",
    "gpg.program": "false",
    "gpg.openpgp.program": "false",
    "gpg.x509.program": "false",
    "gpg.ssh.program": "false",
}
_GIT = {
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_PAGER": "cat",
    "GIT_CONFIG_COUNT": str(len(_GIT_CONFIG)),
    **{f"GIT_CONFIG_KEY_{i}": key for i, key in enumerate(_GIT_CONFIG)},
    **{f"GIT_CONFIG_VALUE_{i}": value for i, value in enumerate(_GIT_CONFIG.values())},
}
