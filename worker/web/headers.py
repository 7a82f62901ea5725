"""What every answer carries, and the one log line it leaves."""

import time
from types import MappingProxyType

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger()

SECURITY_HEADERS = MappingProxyType({
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; "
        "base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
})  # fmt: skip
"""No script runs, nothing is fetched from elsewhere, nobody frames us, no cache keeps a report."""

_QUIET_ROUTES = {"/healthz", "/readyz", "/metrics"}
"""Asked every few seconds by machines: worth a line only when one looks for it."""


class SecureAnswers:
    """Puts the headers on an answer that has not set them itself, and logs it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s = time.monotonic()

        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                _note(scope, message["status"], time.monotonic() - began_s)
            await send(message)

        await self._app(scope, receive, send_secured)


def _note(scope: Scope, status: int, elapsed_s: float) -> None:
    """Log the route, not the path: a path is whatever a stranger sends."""
    route = getattr(scope.get("route"), "path", "unknown")
    facts = {"method": scope["method"], "route": route, "status": status, "duration_ms": round(elapsed_s * 1000)}
    if route in _QUIET_ROUTES:
        log.debug("request_answered", **facts)
    else:
        log.info("request_answered", **facts)
