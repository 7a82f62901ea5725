"""AWS in tests: an environment without any of the developer's credentials, and signatures made anew."""

import hashlib
import hmac
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

_GIVEN = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION")
_SIGNED = re.compile(r"AWS4-HMAC-SHA256 Credential=(\S+?)/(\S+), SignedHeaders=(\S+), Signature=(\S+)")


def empty_environment(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Let AWS's library find nothing but what a test writes below `home`."""
    for name in (*_GIVEN, "AWS_DEFAULT_REGION", "AWS_BEARER_TOKEN_BEDROCK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(home / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(home / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def is_signed_with(secret: str, *, url: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Recompute the signature of a POST as AWS documents it (Signature Version 4) and compare it with the one sent.

    The path is encoded once more, as for every service but S3.
    """
    given = {name.lower(): value for name, value in headers.items()}
    found = _SIGNED.fullmatch(given["authorization"])
    assert found is not None
    _, scope, names, signature = found.groups()
    address = urlsplit(url)
    values = {"host": address.netloc, **given}
    signed = "".join(f"{name}:{values[name].strip()}\n" for name in names.split(";"))
    canonical = "\n".join(("POST", quote(address.path), "", signed, names, hashlib.sha256(body).hexdigest()))
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = "\n".join(("AWS4-HMAC-SHA256", given["x-amz-date"], scope, digest))
    return hmac.digest(key, text.encode(), "sha256").hex() == signature
