"""A random value that the processes of one machine share, for the placeholders of an installation without keys."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

_BYTES = 32


def read_salt(folder: Path) -> bytes:
    """Return the folder's salt, made by whoever comes first; nobody ever reads half of one."""
    path = folder / "redaction.salt"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        own = folder / f"redaction.{os.getpid()}.{secrets.token_hex(4)}"
        with os.fdopen(os.open(own, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(secrets.token_bytes(_BYTES))
        with suppress(FileExistsError):
            os.link(own, path)
        own.unlink()
    return path.read_bytes()
