"""From a credential's name to its value, at the last moment: only the call itself ever holds one."""

import re
from functools import cached_property
from typing import TYPE_CHECKING

from pydantic import SecretStr

from worker.errors import ProviderAuthError, ProviderCredentialMissingError
from worker.llm.aws import AWS_DEFAULT
from worker.llm.callers import SCHEME, Callers
from worker.llm.config_file import LITERAL, literal_keys
from worker.llm.standing import Source
from worker.llm.transport import Transport
from worker.llm.vault import Vault
from worker.settings import read_variable

if TYPE_CHECKING:
    from worker.llm.google_tokens import GoogleTokens

_SENDABLE = re.compile(r"[!-~]+")


class Credentials:
    """Looks credentials up where they are now: a key that was changed or removed is so for the next call."""

    def __init__(self, source: Source, transport: Transport, callers: Callers | None = None) -> None:
        self._source = source
        self._transport = transport
        self._callers = callers
        self._vault = Vault(source().settings)

    def find(self, ref: str) -> str:
        """Look up a reference such as `env:OPENAI_API_KEY`. Raises ProviderAuthError that names the variable.

        The values of a set (`env:AWS_ACCESS_KEY_ID,AWS_SECRET_ACCESS_KEY`) come one a line, in its order;
        `aws:default`, which stands for what the vendor's own library finds, is empty.
        """
        scheme, _, names = ref.partition(":")
        if ref == AWS_DEFAULT:
            return ""
        if scheme == "google":
            return self._google.token(names)
        if scheme == SCHEME:
            key = self._callers.key(names) if self._callers else ""
            return _value("the caller's key", SecretStr(key))
        if scheme == "vault":
            return _value(f"vault:{names}", SecretStr(self._vault.find(names)))
        if scheme == LITERAL:
            return _value(f"the key of {names} in RCA_LLM_CONFIG", literal_keys(self._source().file).get(names))
        if scheme != "env":
            raise ProviderAuthError(f"the credential reference {scheme}: is not understood; use env:VARIABLE")
        return "\n".join(_value(name, self._variable(name)) for name in names.split(","))

    def _variable(self, name: str) -> object:
        """Return what a variable holds: one of ours with what is stored, or one that the operator's file names."""
        settings = self._source().settings
        if name.lower() in type(settings).model_fields:
            return getattr(settings, name.lower())
        value = read_variable(name)
        return SecretStr(value) if value else None

    @cached_property
    def _google(self) -> "GoogleTokens":
        from worker.llm.google_tokens import GoogleTokens  # noqa: PLC0415  # an extra: only Vertex AI wants it

        return GoogleTokens(self._source().settings, self._transport)


def _value(name: str, value: object) -> str:
    if isinstance(value, str) and name.endswith("_PROFILE"):
        return value  # it leads to keys and is none
    if not isinstance(value, SecretStr):
        raise ProviderCredentialMissingError(f"{name} is not set; set it to the provider's key")
    key = value.get_secret_value()
    # Checked here because the HTTP library quotes a bad header, key and all, in its own error.
    if not _SENDABLE.fullmatch(key):
        raise ProviderAuthError(f"{name} holds characters no key can have; paste the key again")
    return key
