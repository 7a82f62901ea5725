"""Keys in Vault or OpenBao, by KV version 2 (https://openbao.org/api-docs/secret/kv/kv-v2). Needs the extra `vault`."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from worker.errors import (
    ProviderAuthError,
    ProviderCredentialMissingError,
    ProviderUnavailableError,
)
from worker.llm.extras import require
from worker.settings import Settings

if TYPE_CHECKING:
    import hvac

ASK_S = 3.0
KEPT_S = 30.0
"""How long a secret is used before it is asked for again: so long a rotation takes to be seen."""
FIELD = "api_key"
_REF = re.compile(r"(?:(?P<mount>[^:/#]+):)?(?P<path>[^:#]+)(?:#(?P<field>[^#]+))?")


class Vault:
    """Reads and writes secrets. Safe to share between threads."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._clock = settings, clock
        self._kept: dict[str, tuple[float, str]] = {}
        self._lock = threading.Lock()

    @property
    def is_configured(self) -> bool:
        return self._settings.vault_addr is not None and self._settings.vault_token is not None

    def find(self, ref: str) -> str:
        """Return what a reference `[mount:]path[#field]` leads to.

        Raises ProviderCredentialMissingError where there is nothing, ProviderAuthError where it may not be read,
        ProviderUnavailableError where nobody answers.
        """
        with self._lock:
            kept = self._kept.get(ref)
        if kept and self._clock() < kept[0]:
            return kept[1]
        match = _REF.fullmatch(ref)
        if match is None or not self.is_configured:
            why = "set VAULT_ADDR and VAULT_TOKEN" if match else "write vault:[mount:]path[#field]"
            raise ProviderCredentialMissingError(f"vault:{ref} cannot be read; {why}")
        mount = match["mount"] or self._settings.vault_llm_mount
        value = self._read(mount, match["path"]).get(match["field"] or FIELD)
        if not isinstance(value, str) or not value:
            raise ProviderCredentialMissingError(f"vault:{ref} holds no {match['field'] or FIELD}; put it there")
        with self._lock:
            self._kept[ref] = (self._clock() + KEPT_S, value)
        return value

    # The keys of providers

    def keys(self) -> dict[str, str]:
        """Return the keys that are stored of providers. Raises as `find` does."""
        found = {}
        for name in self._list():
            value = self._read(self._settings.vault_llm_mount, self._path(name)).get(FIELD)
            if isinstance(value, str) and value:
                found[name] = value
        return found

    def put(self, provider: str, key: str) -> None:
        """Store a provider's key. Raises as `find` does."""
        with _explained():
            self._kv.create_or_update_secret(
                path=self._path(provider), secret={FIELD: key}, mount_point=self._settings.vault_llm_mount
            )

    def remove(self, provider: str) -> None:
        """Take all versions of a provider's key away. Raises as `find` does."""
        with _explained():
            self._kv.delete_metadata_and_all_versions(
                path=self._path(provider), mount_point=self._settings.vault_llm_mount
            )

    def _list(self) -> list[str]:
        from hvac.exceptions import InvalidPath  # noqa: PLC0415  # an extra

        try:
            with _explained():
                told = self._kv.list_secrets(
                    path=self._settings.vault_llm_path, mount_point=self._settings.vault_llm_mount
                )
        except InvalidPath:
            return []
        return [name for name in told["data"]["keys"] if not name.endswith("/")]

    def _read(self, mount: str, path: str) -> dict[str, Any]:
        from hvac.exceptions import InvalidPath  # noqa: PLC0415  # an extra

        try:
            with _explained():
                told = self._kv.read_secret_version(path=path, mount_point=mount, raise_on_deleted_version=True)
        except InvalidPath as error:
            raise ProviderCredentialMissingError(f"Vault holds nothing at {mount}/{path}; put the key there") from error
        data: dict[str, Any] = told["data"]["data"] or {}
        return data

    def _path(self, provider: str) -> str:
        return f"{self._settings.vault_llm_path}/{provider}"

    @property
    def _kv(self) -> Any:
        return self._client().secrets.kv.v2

    def _client(self) -> "hvac.Client":
        require("hvac", extra="vault", provider="Vault")
        import hvac  # noqa: PLC0415  # an extra

        token = self._settings.vault_token
        return hvac.Client(
            url=self._settings.vault_addr, token=token.get_secret_value() if token else None, timeout=ASK_S
        )


@contextmanager
def _explained() -> Iterator[None]:
    """Raise what Vault or the way to it refuses as an error of ours; that there is nothing goes on as it is."""
    import requests  # noqa: PLC0415  # an extra
    from hvac.exceptions import Forbidden, InvalidPath, Unauthorized, VaultError  # noqa: PLC0415

    try:
        yield
    except InvalidPath:
        raise
    except (Forbidden, Unauthorized) as error:
        raise ProviderAuthError("Vault refuses VAULT_TOKEN; give it a policy for the keys of models") from error
    except (VaultError, requests.RequestException) as error:
        said = f"Vault does not answer ({type(error).__name__}); check VAULT_ADDR, and that it is unsealed"
        raise ProviderUnavailableError(said) from error
