"""From a credential's name to its value, at the last moment: only the call itself ever holds one."""

import re

from pydantic import SecretStr

from worker.errors import ProviderAuthError
from worker.settings import Settings

_SENDABLE = re.compile(r"[!-~]+")


def credential(settings: Settings, ref: str) -> str:
    """Look up a reference such as `env:OPENAI_API_KEY`. Raises ProviderAuthError that names the variable."""
    scheme, _, name = ref.partition(":")
    if scheme != "env":
        raise ProviderAuthError(f"the credential reference {scheme}: is not understood; use env:VARIABLE")
    value = getattr(settings, name.lower(), None)
    if not isinstance(value, SecretStr):
        raise ProviderAuthError(f"{name} is not set; set it to the provider's key")
    key = value.get_secret_value()
    # Checked here because the HTTP library quotes a bad header, key and all, in its own error.
    if not _SENDABLE.fullmatch(key):
        raise ProviderAuthError(f"{name} holds characters no key can have; paste the key again")
    return key
