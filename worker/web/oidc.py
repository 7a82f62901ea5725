"""The issuer, asked where a browser signs in, then who it is that came back (OpenID Connect Core 1.0).

Its library is an extra: this module is imported where an issuer is configured.
"""

import base64
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from authlib.oauth2.client import OAuth2Client

from worker.errors import ProviderError
from worker.llm.transport import Answered, Request, Transport
from worker.llm.wires.reading import fields_of, parse_json
from worker.sign_in import SignIn
from worker.web import id_tokens
from worker.web.attempts import Attempt, IssuerUnavailableError, SignInRefusedError
from worker.web.id_tokens import Expected, UnknownKeyError

SCOPE = "openid profile email"
KEPT_S = 600.0
"""How long what the issuer publishes is believed to be still so."""
ANSWER_S = 5.0
_OK = 200
_REFUSALS = {400, 401, 403}


class Issuer:
    """Asks the issuer. Safe to share between threads."""

    def __init__(self, sign_in: SignIn) -> None:
        self.sign_in = sign_in
        self._transport = Transport()
        self._kept: dict[str, tuple[float, dict[str, Any]]] = {}

    def address_for(self, attempt: Attempt, *, way_back: str) -> str:
        """Return where to send a browser that signs in. Raises IssuerUnavailableError."""
        client = OAuth2Client(
            None, self.sign_in.client_id, scope=SCOPE, redirect_uri=way_back, code_challenge_method="S256"
        )
        address, _ = client.create_authorization_url(
            self._endpoint("authorization_endpoint"),
            state=attempt.state,
            nonce=attempt.nonce,
            code_verifier=attempt.verifier,
        )
        return str(address)

    def claims_for(self, attempt: Attempt, code: str, *, way_back: str) -> dict[str, Any]:
        """Return what the ID token says that the code stands for.

        Raises SignInRefusedError where it proves nothing, IssuerUnavailableError where there is no answer.
        """
        told = self._exchange(attempt, code, way_back)
        token = told.get("id_token")
        if not isinstance(token, str):
            raise SignInRefusedError("no ID token came")
        document = self._document()
        expected = Expected(document["issuer"], self.sign_in.client_id, attempt.nonce, told.get("access_token"))
        algorithms = document.get("id_token_signing_alg_values_supported") or ["RS256"]
        try:
            return id_tokens.read(token, expected, keys=self._keys(), algorithms=algorithms)
        except UnknownKeyError:
            self._kept.clear()  # the issuer may have changed its keys
        try:
            return id_tokens.read(token, expected, keys=self._keys(), algorithms=algorithms)
        except UnknownKeyError as error:
            raise SignInRefusedError("the ID token is not signed with a key of the issuer") from error

    def _exchange(self, attempt: Attempt, code: str, way_back: str) -> dict[str, Any]:
        """Give the code away for tokens (RFC 6749, 4.1.3)."""
        fields = {"grant_type": "authorization_code", "code": code, "redirect_uri": way_back}
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        self._add_client(fields, headers)
        body = urlencode(fields | {"code_verifier": attempt.verifier}).encode()
        url = self._endpoint("token_endpoint")
        answer = _asked(lambda: self._transport.post(Request(url, headers, body), timeout_s=ANSWER_S))
        if answer.status in _REFUSALS:
            raise SignInRefusedError(f"the issuer refused the code with {answer.status}")
        return _object(answer)

    def _add_client(self, fields: dict[str, str], headers: dict[str, str]) -> None:
        """Say who we are in the way that the issuer takes (RFC 6749, 2.3.1)."""
        client_id, secret = self.sign_in.client_id, self.sign_in.client_secret
        ways = self._document().get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        if secret is not None and "client_secret_basic" in ways:
            pair = ":".join(quote(part, safe="") for part in (client_id, secret.get_secret_value()))
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
            return
        fields["client_id"] = client_id
        if secret is not None:
            fields["client_secret"] = secret.get_secret_value()

    def _keys(self) -> dict[str, Any]:
        return self._fetch(self._endpoint("jwks_uri"))

    def _endpoint(self, name: str) -> str:
        """Return an address that the issuer publishes; one less safe than its own is none."""
        url = self._document().get(name)
        if not isinstance(url, str) or urlsplit(url).scheme not in {"https", urlsplit(self.sign_in.issuer).scheme}:
            raise IssuerUnavailableError(f"its {name} is no address to go to")
        return url

    def _document(self) -> dict[str, Any]:
        """Return what the issuer publishes of itself (OpenID Connect Discovery 1.0)."""
        found = self._fetch(self.sign_in.document_url)
        if not self.sign_in.is_named(found.get("issuer")):
            raise IssuerUnavailableError("it calls itself by another name than RCA_OIDC_ISSUER")
        return found

    def _fetch(self, url: str) -> dict[str, Any]:
        fetched_at, kept = self._kept.get(url, (0.0, None))
        if kept is None or time.monotonic() - fetched_at > KEPT_S:
            kept = _object(_asked(lambda: self._transport.get(url, headers={}, timeout_s=ANSWER_S)))
            self._kept[url] = time.monotonic(), kept
        return kept


def _asked(ask: Callable[[], Answered]) -> Answered:
    try:
        return ask()
    except ProviderError as error:
        raise IssuerUnavailableError(str(error)) from error


def _object(answer: Answered) -> dict[str, Any]:
    if answer.status != _OK:
        raise IssuerUnavailableError(f"it answered {answer.status}")
    try:
        found = fields_of(parse_json(answer.body))
    except ValueError as error:
        raise IssuerUnavailableError("it answered no JSON") from error
    return dict(found)
