"""What a wire may have beside its words: something that makes and signs its requests, with the vendor's library."""

from typing import Protocol

from worker.domain.conversation import JsonObject, Route
from worker.llm.transport import Request


class Signer(Protocol):
    """Makes whole requests; safe to share between threads."""

    def sign(self, body: JsonObject, route: Route, key: str) -> Request:
        """Return the request that says `body`. Raises a ProviderError where no credential can be had."""
