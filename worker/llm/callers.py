"""Callers' own accounts: sealed, kept in Redis for a while, and known by a handle that says nothing."""

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from redis import Redis
from redis.exceptions import RedisError

from worker.domain.callers import CallersModel
from worker.domain.incident import covers_path
from worker.errors import (
    ByoCredentialExpiredError,
    ConfigError,
    ProviderUnavailableError,
    SealError,
    StorageUnavailableError,
    UserError,
)
from worker.llm.accounts import Account
from worker.llm.azure import is_azure
from worker.llm.endpoints import Said, make_account
from worker.llm.outward import check_address
from worker.llm.providers import Provider, find_provider
from worker.llm.sealing import Seals
from worker.settings import Settings

SCHEME = "byo"
_PREFIX = "rca:byo:"
_PURPOSE = "a caller's key"
ACCEPTED = ("anthropic", "openai", "azure", "google", "deepseek", "openrouter", "openai-compatible")
_EXTRAS = {"azure": frozenset({"api_version"})}


class Kept(BaseModel):
    """What is kept under a handle, sealed as a whole. `ip` is what the address's host was when it was checked."""

    provider: str
    model: str
    key: str
    user_path: str
    base_url: str | None = None
    api_version: str | None = None
    ip: str | None = None
    for_all: bool = False


@dataclass(frozen=True)
class CallersAccount:
    """A caller's account, ready to make a route of."""

    provider: Provider
    account: Account
    model: str
    ip: str | None
    for_all: bool


class Callers:
    """Safe to share between threads. `learn` is told each key that is kept or used, so that nothing else repeats it."""

    def __init__(
        self,
        redis: Redis,
        settings: Settings,
        *,
        check: Callable[..., str] = check_address,
        learn: Callable[[Iterable[str]], object] = lambda _: None,
    ) -> None:
        self._redis, self._settings, self._check, self._learn = redis, settings, check, learn
        self._seals = Seals(settings, purpose=_PURPOSE)

    def keep(self, llm: CallersModel, *, user_path: str) -> str:
        """Seal an account and return its handle.

        Raises UserError that names the field that does not fit, StorageUnavailableError while Redis is away.
        """
        kept = self._read(llm, user_path)
        self._learn([kept.key])
        try:
            sealed, seed_id = self._seals.seal(kept.model_dump_json())
        except ConfigError as error:
            raise UserError(f"llm: keys of callers are not taken here: {error}") from error
        handle = f"byo_{secrets.token_urlsafe(24)}"
        value = f"{seed_id}:{sealed}"
        try:
            self._redis.set(_PREFIX + handle, value, ex=round(self._settings.rca_byo_ttl_s))
        except RedisError as error:
            raise StorageUnavailableError("Redis is away, where keys of callers are kept") from error
        return handle

    def key(self, handle: str) -> str:
        """Return the key of a handle. Raises as `find` does."""
        return self._open(handle).key

    def find(self, handle: str, *, user_path: str) -> CallersAccount:
        """Return the account of a handle.

        Raises ByoCredentialExpiredError where it is gone or another path's, ProviderUnavailableError while Redis is
        away.
        """
        kept = self._open(handle)
        if not covers_path(kept.user_path, user_path):
            raise ByoCredentialExpiredError("the caller's key was handed in for another user_path; hand it in there")
        try:
            return _account_of(kept, handle)
        except ConfigError as error:
            raise ByoCredentialExpiredError(f"the caller's account cannot be used: {error}") from error

    def drop(self, handle: str) -> None:
        """Forget an account. While Redis is away it stays until its time is up."""
        try:
            self._redis.delete(_PREFIX + handle)
        except RedisError:
            return

    def _open(self, handle: str) -> Kept:
        try:
            value: Any = self._redis.get(_PREFIX + handle)
        except RedisError as error:
            raise ProviderUnavailableError("Redis is away, where keys of callers are kept") from error
        if value is None:
            raise ByoCredentialExpiredError(
                "the caller's key is no longer kept; retry it with a fresh llm, or send the incident again"
            )
        text = value.decode() if isinstance(value, bytes) else str(value)
        seed_id, _, sealed = text.partition(":")
        try:
            kept = Kept.model_validate_json(self._seals.open(sealed, seed_id))
        except (SealError, ConfigError) as error:
            raise ByoCredentialExpiredError(f"the caller's key cannot be opened: {error}") from error
        self._learn([kept.key])
        return kept

    def _read(self, llm: CallersModel, user_path: str) -> Kept:
        """Raise UserError that names the first field that is missing or does not fit."""
        for name in ("provider", "model"):
            if getattr(llm, name) is None:
                raise UserError(f"llm.{name}: is required")
        key = llm.key.get_secret_value().strip() if llm.key else ""
        if not key:
            raise UserError("llm.key: is required")
        base_url = llm.base_url.rstrip("/") if llm.base_url else None
        provider = _kind_of(_provider(llm.provider or ""), base_url)
        _require_fitting(provider, llm)
        kept = Kept(
            provider=provider,
            model=llm.model or "",
            key=key,
            user_path=user_path,
            base_url=base_url,
            api_version=llm.extra.get("api_version"),
            for_all="all" in llm.apply_to,
        )
        try:
            _account_of(kept, handle="")
        except ConfigError as error:
            raise UserError(f"llm: {error}") from error
        return kept.model_copy(update={"ip": self._check(base_url, allowed=self._allowed)}) if base_url else kept

    @property
    def _allowed(self) -> frozenset[str]:
        return frozenset(host.strip().lower() for host in (self._settings.byo_base_url_allowlist or "").split(","))


def _provider(name: str) -> str:
    """Return the provider's own name. Raises UserError for one whose account a caller cannot bring."""
    provider = find_provider(name)
    if provider is None or provider.name not in ACCEPTED:
        why = "takes a set of credentials" if provider and provider.name in {"vertex", "bedrock"} else "is not taken"
        raise UserError(f"llm.provider: {name[:60]!r} {why}; a caller may bring one of {', '.join(ACCEPTED)}")
    return provider.name


def _kind_of(provider: str, base_url: str | None) -> str:
    """Return whose kind an account of OpenAI's kind is, by where it leads."""
    if base_url and provider in {"openai", "openai-compatible"}:
        return "azure" if is_azure(base_url) else "openai-compatible"
    return provider


def _require_fitting(provider: str, llm: CallersModel) -> None:
    """Raise UserError that names a field that is missing for the provider, or that it does not have."""
    if provider in {"azure", "openai-compatible"} and llm.base_url is None:
        raise UserError(f"llm.base_url: is required for {provider}")
    if provider == "google" and llm.base_url:
        raise UserError("llm.base_url: is not taken for google; leave it out")
    unknown = sorted(set(llm.extra) - _EXTRAS.get(provider, frozenset()))
    if unknown:
        raise UserError(f"llm.extra.{unknown[0]}: is not known for {llm.provider}")
    if llm.provider == "azure" and not llm.extra.get("api_version", "").strip():
        raise UserError("llm.extra.api_version: is required for azure, such as 2024-10-21")


def _account_of(kept: Kept, handle: str) -> CallersAccount:
    """Return the account that is kept under a handle. Raises ConfigError where that cannot be one."""
    provider = find_provider(kept.provider)
    if provider is None:
        raise ConfigError(f"{kept.provider} is no provider here; send another llm")
    said = Said(provider, "llm", kept.base_url, f"{SCHEME}:{handle}", kept.api_version, "llm.extra.api_version")
    return CallersAccount(provider, make_account(said), kept.model, kept.ip, kept.for_all)
