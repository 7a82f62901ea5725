"""Access tokens for Vertex AI, by google-auth: of a service account's key, or of whatever it finds by itself."""

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import google.auth
from google.auth.credentials import Credentials
from google.auth.exceptions import GoogleAuthError, TransportError
from google.auth.transport import Request, Response
from google.oauth2 import service_account

from worker.errors import ProviderAuthError, ProviderUnavailableError
from worker.llm import transport
from worker.llm.transport import Transport
from worker.settings import Settings

SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
RENEWAL_S = 20.0
"""What getting a new token may take."""


class GoogleTokens:
    """Hands out tokens, and renews each shortly before it runs out. Safe to share between threads."""

    def __init__(self, settings: Settings, transport: Transport) -> None:
        self._settings = settings
        self._request = _Request(transport)
        self._credentials: dict[str, Credentials] = {}
        self._lock = threading.Lock()

    def token(self, name: str) -> str:
        """Return a token of the key that a variable holds or points to, or of `default`.

        Raises ProviderAuthError where there is no such credential or Google takes none, ProviderUnavailableError
        where nobody answers.
        """
        try:
            with self._lock:  # one renewal serves all who wait
                credentials = self._credentials.get(name) or self._load(name)
                self._credentials[name] = credentials
                if not credentials.valid:
                    credentials.refresh(self._request)
                return str(credentials.token)
        except TransportError as error:
            raise ProviderUnavailableError("Google's token server does not answer; check the network") from error
        except (GoogleAuthError, ValueError, OSError) as error:
            raise ProviderAuthError(f"{_described(name)} ({type(error).__name__})") from error

    def _load(self, name: str) -> Credentials:
        account = self._read_account(name)
        if account is not None:
            loaded: Credentials = service_account.Credentials.from_service_account_info(account, scopes=SCOPES)
            return loaded
        found: Credentials = google.auth.default(scopes=SCOPES, request=self._request)[0]
        return found

    def _read_account(self, name: str) -> dict[str, Any] | None:
        """Return a service account's key; None for what only the library knows how to read."""
        if name == "VERTEX_AI_SERVICE_ACCOUNT_JSON":
            key = self._settings.vertex_ai_service_account_json
            return dict(json.loads(key.get_secret_value())) if key else {}
        path = self._settings.google_application_credentials
        if name != "GOOGLE_APPLICATION_CREDENTIALS" or path is None:
            return None
        read = json.loads(Path(path).read_text())
        is_other = isinstance(read, dict) and read.get("type", "service_account") != "service_account"
        return None if is_other else dict(read)


def _described(name: str) -> str:
    if name == "default":
        return "Google finds no credentials here; set VERTEX_AI_SERVICE_ACCOUNT_JSON or GOOGLE_APPLICATION_CREDENTIALS"
    return f"Google takes no token from {name}; check that it is a service account's key that is still valid"


class _Answer(Response):
    def __init__(self, status: int, headers: Mapping[str, str], data: bytes) -> None:
        self._parts = status, headers, data

    @property
    def status(self) -> int:
        return self._parts[0]

    @property
    def headers(self) -> Mapping[str, str]:
        return self._parts[1]

    @property
    def data(self) -> bytes:
        return self._parts[2]


class _Request(Request):
    """How google-auth asks for tokens: over the client's own transport, so within the same bounds."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def __call__(  # noqa: PLR0917 - the library's signature
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_: object,
    ) -> _Answer:
        within, sent = min(timeout or RENEWAL_S, RENEWAL_S), dict(headers or {})
        if method == "GET":
            answered = self._transport.get(url, headers=sent, timeout_s=within)
        else:
            answered = self._transport.post(transport.Request(url, sent, body or b""), timeout_s=within)
        return _Answer(answered.status, answered.headers, answered.body)
