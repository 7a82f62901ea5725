"""Who holds a credential: a token, a secret that the operator chose, a session; too many guesses are held back."""

from collections.abc import Sequence
from functools import cached_property
from hmac import compare_digest
from typing import TYPE_CHECKING, NamedTuple

import structlog
from fastapi.exceptions import HTTPException

from worker.ops import metrics
from worker.services import Services
from worker.sign_in import SignIn, find_sign_in
from worker.storage import audit, tokens
from worker.storage.audit import Act
from worker.storage.tokens import Identity
from worker.web import sessions
from worker.web.failed_logins import FailedLogins, open_failed_logins
from worker.web.refusals import refusal

if TYPE_CHECKING:
    from worker.web.oidc import Issuer

log = structlog.get_logger()

FORM, HEADER = "form", "header"


class Claim(NamedTuple):
    """What a request says of who sends it: the secret of a header, that of a session's cookie, or neither."""

    secret: str | None = None
    session: str | None = None
    peer: str = ""


class Credentials:
    """Looks credentials up. Nothing is remembered: a token that was revoked before a request came does not serve it."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @cached_property
    def failed_logins(self) -> FailedLogins:
        return open_failed_logins(self._services.settings)

    @cached_property
    def sign_in(self) -> SignIn | None:
        """How people sign in with an issuer; None where they do not. Raises ConfigError."""
        return find_sign_in(self._services.settings)

    def require_issuer(self) -> "Issuer":
        """Return the issuer that people sign in with. Raises a refusal, 404, where there is none."""
        if self._issuer is None:
            raise refusal(404, "not_found", "there is no other way to sign in than with a token")
        return self._issuer

    @cached_property
    def _issuer(self) -> "Issuer | None":
        if self.sign_in is None:
            return None
        from worker.web.oidc import Issuer  # noqa: PLC0415  # an extra, only where an issuer is configured

        return Issuer(self.sign_in)

    def look_up(self, claims: Sequence[Claim]) -> list[Identity | Exception | None]:
        """Return who each one is, or the refusal that is for it alone; the same claim is looked up once."""
        found = {claim: self._look_up(claim) for claim in set(claims)}
        return [found[claim] for claim in claims]

    def _look_up(self, claim: Claim) -> Identity | Exception | None:
        if claim.secret is not None:
            try:
                return self.holder(claim.secret, peer=claim.peer, via=HEADER)
            except HTTPException as refused:
                return refused
        if claim.session is not None:
            with self._services.database.transaction() as session:
                return sessions.identify(session, self._services.settings, self.sign_in, claim.session)
        return None if has_tokens(self._services) else Identity("local operator", sessions.EVERYTHING, "/")

    def holder(self, secret: str, *, peer: str, via: str) -> Identity | None:
        """Return who holds a secret; None for nobody, which counts. Raises a refusal, 429, after too many of these.

        A token of ours cannot be guessed, so a right one passes whatever else comes from the same address.
        """
        if secret.startswith(tokens.PREFIX):
            with self._services.database.transaction() as session:
                issued = tokens.identify(session, secret)
            if issued is not None:
                return issued
        self._require_patience(peer, via)
        for name, own in sessions.own_secrets(self._services.settings).items():
            if compare_digest(secret.encode(), own.encode()):
                return Identity(name, sessions.EVERYTHING, "/")
        self._note_failure(peer, via)
        return None

    def _require_patience(self, peer: str, via: str) -> None:
        wait_s = self.failed_logins.wait_s(peer)
        if wait_s is None:
            return
        metrics.FAILED_LOGINS.labels(via=via, outcome="held_back").inc()
        said = f"too many refused secrets from this address; try again in {wait_s} s"
        raise refusal(429, "too_many_failures", said, headers={"Retry-After": str(wait_s)})

    def _note_failure(self, peer: str, via: str) -> None:
        metrics.FAILED_LOGINS.labels(via=via, outcome="refused").inc()
        log.warning("login_refused", via=via, peer=peer)
        if not self.failed_logins.note(peer):
            return
        log.warning("logins_held_back", via=via, peer=peer)
        with self._services.database.transaction() as session:
            audit.append(session, Act(peer, "login.hold", "failed logins", {"via": via}, audit.REFUSED))


def has_tokens(services: Services) -> bool:
    """Say whether anybody was ever given a token, or signs in elsewhere: from then on, all have to say who they are."""
    settings = services.settings
    if sessions.own_secrets(settings) or settings.rca_oidc_issuer is not None:
        return True
    with services.database.transaction() as session:
        return tokens.is_any(session)
