"""Bedrock's account: a gateway in front of it, or AWS itself with a region and one whole set of credentials."""

from worker.errors import ConfigError
from worker.llm.accounts import CHAT, Account, Value
from worker.llm.extras import require
from worker.settings import Settings

NATIVE = "bedrock_converse"
AWS_DEFAULT = "aws:default"
"""The reference of what AWS's library finds by itself."""

_REGIONS = ("bedrock_region", "aws_region", "aws_default_region")


def find_bedrock(settings: Settings, asked: bool) -> Account | None:  # noqa: FBT001 - see FindAccount
    """Find the gateway, else Bedrock itself. The usual AWS variables count only once somebody asks for Bedrock.

    Raises ConfigError for half a set of credentials, and where AWS's library is not installed.
    """
    if settings.bedrock_base_url:
        ref = "env:BEDROCK_API_KEY" if settings.bedrock_api_key else None
        return Account(CHAT, Value(settings.bedrock_base_url, "BEDROCK_BASE_URL"), ref, is_own=True)
    region = find_region(settings) if asked or settings.bedrock_region else None
    if region is None:
        _own_set(settings, "bedrock")  # half a set is a mistake, whatever else is missing
        return None
    require("boto3", extra="bedrock", provider="Bedrock")
    return Account(NATIVE, Value(""), find_credentials(settings), region=region)


def find_region(settings: Settings) -> Value | None:
    for field in _REGIONS:
        if given := getattr(settings, field):
            return Value(given, field.upper())
    return None


def find_credentials(settings: Settings) -> str:
    """Name the set of variables that counts: any of BEDROCK_ beats all of AWS_; keys, profile, the SDK's own chain.

    Such as `env:AWS_ACCESS_KEY_ID,AWS_SECRET_ACCESS_KEY`. Raises ConfigError for half a set.
    """
    return _own_set(settings, "bedrock") or _own_set(settings, "aws") or AWS_DEFAULT


def _own_set(settings: Settings, owner: str) -> str | None:
    """Name the variables of this owner that are used; None where it has none."""
    key, secret, token = (f"{owner}_access_key_id", f"{owner}_secret_access_key", f"{owner}_session_token")
    given = [field for field in (key, secret, token) if getattr(settings, field) is not None]
    if given and not {key, secret} <= set(given):
        missing = " and ".join(field.upper() for field in (key, secret) if field not in given)
        raise ConfigError(f"{', '.join(map(str.upper, given))} is half a set of AWS credentials; set {missing} too")
    if given:
        return "env:" + ",".join(field.upper() for field in given)
    return f"env:{owner.upper()}_PROFILE" if getattr(settings, f"{owner}_profile") else None
