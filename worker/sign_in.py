"""Signing in with an OpenID Connect issuer: what is configured of it, down to what each group may do."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError

from worker.domain.incident import clean_user_path
from worker.errors import ConfigError
from worker.llm import extras
from worker.ops.loopback import is_loopback
from worker.settings import Settings
from worker.storage.tokens import SCOPES


class Grant(BaseModel):
    """What a group may do, and the subtree it may see."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scopes: Annotated[frozenset[Literal[SCOPES]], Field(min_length=1)]  # type: ignore[valid-type]  # a tuple of words
    user_path: Annotated[str, AfterValidator(clean_user_path)] = "/"


_ACCESS = TypeAdapter(Annotated[dict[str, Grant], Field(min_length=1)])
_PARTS = ("rca_oidc_client_id", "rca_oidc_client_secret", "rca_oidc_access")


@dataclass(frozen=True)
class SignIn:
    """An issuer, who we are there, and what each group may do."""

    issuer: str
    client_id: str
    client_secret: SecretStr | None
    groups_claim: str
    grants: Mapping[str, Grant]

    @property
    def host(self) -> str:
        """The issuer's host, the name that people know it by."""
        return urlsplit(self.issuer).hostname or self.issuer

    @property
    def bond(self) -> str:
        """What a session that was begun here is bound to: with another issuer or client it ends."""
        return f"{self.issuer} {self.client_id}"

    @property
    def document_url(self) -> str:
        """Where the issuer publishes what it is (OpenID Connect Discovery 1.0)."""
        return f"{self.issuer}/.well-known/openid-configuration"

    def is_named(self, issuer: object) -> bool:
        """Say whether this is the issuer's name; a slash at its end makes no difference."""
        return isinstance(issuer, str) and issuer.rstrip("/") == self.issuer

    def grant_of(self, groups: Iterable[str]) -> Grant | None:
        """Return what the first group of RCA_OIDC_ACCESS that is among these allows; None where none is.

        Grants are not added up: scopes of one group would then reach into the subtree of another.
        """
        held = set(groups)
        return next((grant for group, grant in self.grants.items() if group in held), None)


def find_sign_in(settings: Settings) -> SignIn | None:
    """Return how people sign in; None where no issuer is set. Raises ConfigError that says what is wrong."""
    if settings.rca_oidc_issuer is None:
        _require_nothing_else(settings)
        return None
    extras.require("authlib", extra="oidc", provider="RCA_OIDC_ISSUER")
    _require_address(settings.rca_oidc_issuer)
    _require_way_back(settings)
    if settings.rca_oidc_client_id is None:
        raise ConfigError("RCA_OIDC_CLIENT_ID: missing; set the id that the issuer gave us")
    return SignIn(
        settings.rca_oidc_issuer,
        settings.rca_oidc_client_id,
        settings.rca_oidc_client_secret,
        settings.rca_oidc_groups_claim,
        _read_access(settings.rca_oidc_access),
    )


def _require_nothing_else(settings: Settings) -> None:
    given = [name.upper() for name in _PARTS if getattr(settings, name) is not None]
    if given:
        raise ConfigError(f"RCA_OIDC_ISSUER: missing, though {', '.join(given)} is set; set it, or unset all of them")


def _require_address(issuer: str) -> None:
    parts = urlsplit(issuer)
    if parts.scheme != "https" and not is_loopback(parts.hostname):
        raise ConfigError("RCA_OIDC_ISSUER: has to begin with https://; keys that come over http:// prove nothing")


def _require_way_back(settings: Settings) -> None:
    if settings.rca_public_url is None and not is_loopback(settings.rca_http_host):
        raise ConfigError("RCA_PUBLIC_URL: missing; the issuer sends people back to it, so set how they reach us")


def _read_access(text: str | None) -> dict[str, Grant]:
    if text is None:
        raise ConfigError('RCA_OIDC_ACCESS: missing; say who may do what: {"GROUP": {"scopes": ["reports:read"]}}')
    try:
        return _ACCESS.validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ": ".join(map(str, first["loc"]))
        raise ConfigError(f"RCA_OIDC_ACCESS: {where + ': ' if where else ''}{first['msg']}") from None
