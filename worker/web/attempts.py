"""One login with an issuer under way: what binds its answer to the browser that began it."""

import base64
import hashlib
import hmac
from dataclasses import dataclass


class IssuerUnavailableError(Exception):
    """The issuer does not answer, or not as one; the message is for the log."""


class SignInRefusedError(Exception):
    """What came back proves nothing; the message is for the log."""


@dataclass(frozen=True)
class Attempt:
    """All that is sent and expected back is derived from a random seed, which stands in a cookie and nowhere else."""

    seed: str

    @property
    def state(self) -> str:
        return self._derived("state")

    @property
    def nonce(self) -> str:
        return self._derived("nonce")

    @property
    def verifier(self) -> str:
        """The secret of PKCE (RFC 7636): 43 characters."""
        return self._derived("verifier")

    def _derived(self, word: str) -> str:
        digest = hmac.new(self.seed.encode(), word.encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
