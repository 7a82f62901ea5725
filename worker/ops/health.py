"""Small answers to "is it well?": shown by `rca doctor`, `rca config check` and `/readyz`."""

import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

LOW_DISK_BYTES = 500 * 1024 * 1024


class CheckStatus(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"

    @property
    def rank(self) -> int:
        """0 is well."""
        return list(CheckStatus).index(self)


@dataclass(frozen=True)
class Check:
    """One thing looked at; `fix` says what to do where it is not well."""

    name: str
    status: CheckStatus
    detail: str
    fix: str = ""

    @classmethod
    def ok(cls, name: str, detail: str) -> "Check":
        return cls(name, CheckStatus.OK, detail)

    @classmethod
    def warn(cls, name: str, detail: str, *, fix: str = "") -> "Check":
        return cls(name, CheckStatus.WARN, detail, fix)

    @classmethod
    def fail(cls, name: str, detail: str, *, fix: str = "") -> "Check":
        return cls(name, CheckStatus.FAIL, detail, fix)


def worst(checks: Iterable[Check]) -> CheckStatus:
    """Return the worst status; no checks at all are well."""
    return max((check.status for check in checks), key=lambda status: status.rank, default=CheckStatus.OK)


def probe(name: str, look: Callable[[], str], *, errors: tuple[type[Exception], ...], fix: str) -> Check:
    """Run `look`, whose result is the detail; one of `errors` makes it a failure that names only its class."""
    try:
        return Check.ok(name, look())
    except errors as error:
        return Check.fail(name, type(error).__name__, fix=fix)


def check_folder(name: str, path: Path) -> Check:
    """Say whether files can be written there, and whether there is room."""
    existing = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        return Check.fail(name, f"{existing} cannot be written", fix="choose another folder, or change its owner")
    free_bytes = shutil.disk_usage(existing).free
    if free_bytes < LOW_DISK_BYTES:
        return Check.warn(name, f"{path}: {free_bytes // 2**20} MiB free", fix="free some space")
    return Check.ok(name, f"{path}: {free_bytes // 2**20} MiB free")


def check_program(name: str, *, fix: str) -> Check:
    """Say where a program is found; a missing one is a warning."""
    path = shutil.which(name)
    return Check.ok(name, path) if path else Check.warn(name, "not on PATH", fix=fix)


def render_check(check: Check) -> str:
    """Return one line of text."""
    line = f"{check.status.value:<4}  {check.name}: {check.detail}"
    return f"{line}  ({check.fix})" if check.fix else line
