"""Where a request comes from: this machine or not, our own pages or somebody else's."""

from urllib.parse import urlsplit

from fastapi import Request

from worker.ops.loopback import host_of, is_loopback
from worker.settings import Settings

_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


def is_private(settings: Settings) -> bool:
    """Say whether only this machine reaches the server: by what it binds, and by what people are told."""
    public = settings.rca_public_url
    return is_loopback(settings.rca_http_host) and (public is None or is_loopback(host_of(public)))


def is_from_this_machine(request: Request) -> bool:
    """Say whether the other end is on this machine and is no proxy that speaks for another."""
    peer = request.client.host if request.client else None
    return is_loopback(peer) and not any(name in request.headers for name in _FORWARDED)


def is_addressed_locally(request: Request) -> bool:
    """Say whether it was sent to a loopback name: a rebound DNS name of another site is not one."""
    return is_loopback(host_of(f"//{request.headers.get('host', '')}"))


def is_cross_site(request: Request, settings: Settings) -> bool:
    """Say whether another site's page made the browser send this.

    `Sec-Fetch-Site` is the browser's own word, so it is believed first; over plain HTTP to another machine browsers
    send `Origin` alone. Following a link to a page is no harm: reading it changes nothing, and nobody frames us.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in {"same-origin", "none"} and not _follows_link(request)
    origin = request.headers.get("origin")
    return origin is not None and not _is_ours(origin, request, settings)


def is_from_our_page(request: Request, settings: Settings) -> bool:
    """Say whether the browser itself says that a page of ours made it send this."""
    origin = request.headers.get("origin")
    is_same = request.headers.get("sec-fetch-site") == "same-origin"
    return is_same or (origin is not None and _is_ours(origin, request, settings))


def peer_of(request: Request) -> str:
    """Return the address of the other end, where there is one."""
    return request.client.host if request.client else ""


def _follows_link(request: Request) -> bool:
    is_navigation = request.headers.get("sec-fetch-mode") == "navigate"
    return request.method == "GET" and is_navigation and request.headers.get("sec-fetch-dest") == "document"


def _is_ours(origin: str, request: Request, settings: Settings) -> bool:
    ours = {request.headers.get("host"), urlsplit(settings.rca_public_url or "").netloc or None}
    return urlsplit(origin).netloc in ours
