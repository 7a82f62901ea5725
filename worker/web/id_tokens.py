"""ID tokens: what an issuer signed for us at one login, while it holds (OpenID Connect Core 1.0, 3.1.3.7)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import BadSignatureError, InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from worker.web.attempts import SignInRefusedError

ALGORITHMS = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"})
"""Signatures that only the issuer can make: neither `none` nor one made with the client's secret."""
CLOCK_S = 60
"""How far the issuer's clock may be from ours."""


class UnknownKeyError(Exception):
    """The token is not signed with a key of those given."""


@dataclass(frozen=True)
class Expected:
    """What a token has to say: who made it, for whom, at which login, beside which access token."""

    issuer: str
    client_id: str
    nonce: str
    access_token: Any


def read(token: str, expected: Expected, *, keys: Any, algorithms: Iterable[str]) -> dict[str, Any]:
    """Return the claims of a token that holds. Raises SignInRefusedError, or UnknownKeyError.

    `keys` is the issuer's JSON Web Key Set, `algorithms` what it says that it signs with.
    """
    registry = JWSRegistry(algorithms=sorted(ALGORITHMS.intersection(algorithms)), strict_check_header=False)
    try:
        signed = jwt.decode(token, KeySet.import_key_set(keys), registry=registry)
        claims = CodeIDToken(signed.claims, signed.header, _options(expected), _parameters(expected))
        claims.validate(leeway=CLOCK_S)
    except (InvalidKeyIdError, BadSignatureError) as error:
        raise UnknownKeyError from error
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise SignInRefusedError(f"the ID token does not hold: {type(error).__name__}: {error}") from error
    return dict(claims)


def _options(expected: Expected) -> dict[str, Any]:
    return {
        "iss": {"essential": True, "value": expected.issuer},
        "aud": {"essential": True, "value": expected.client_id},
    }


def _parameters(expected: Expected) -> dict[str, Any]:
    return {"nonce": expected.nonce, "client_id": expected.client_id, "access_token": expected.access_token}
