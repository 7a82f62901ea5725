"""Where a browser is led: to the login page, then back to what it had asked for."""

import re
from urllib.parse import quote

from fastapi import Request

HOME, LOGIN = "/investigations", "/login"
MAX_CHARS = 2000
_APIS = ("/v1/", "/api/", "/admin/api/")
_LOCAL = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f]*")
"""A path on this host: browsers read `//` and `/\\` as another, and skip tabs and line ends before they look."""


def is_for_people(request: Request) -> bool:
    """Say whether a person will read the answer, in a browser."""
    return not request.url.path.startswith(_APIS) and "text/html" in request.headers.get("accept", "")


def leads_to_login(request: Request) -> bool:
    """Say whether a browser opens a page, and has not said who it is by a header, which the answer is then about."""
    is_opened = request.method == "GET" and request.headers.get("sec-fetch-mode", "navigate") == "navigate"
    return is_opened and is_for_people(request) and "authorization" not in request.headers


def login_url(request: Request) -> str:
    """Return the address of the login page that leads back to what is asked for."""
    asked = quote(request.url.path) + (f"?{request.url.query}" if request.url.query else "")
    return f"{LOGIN}?next={quote(asked, safe='/')}"


def local_path(given: str | None) -> str:
    """Return a path of this server as it was given; the list of incidents for anything else."""
    is_local = given is not None and len(given) <= MAX_CHARS and _LOCAL.fullmatch(given)
    is_elsewhere = is_local and given is not None and not given.startswith((LOGIN, "/logout"))
    return given if given is not None and is_elsewhere else HOME
