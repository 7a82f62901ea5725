"""Which hosts mean this machine."""

from ipaddress import ip_address
from urllib.parse import urlsplit


def is_loopback(host: str | None) -> bool:
    """Say whether a name or address means this machine and no other."""
    if host is None:
        return False
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def host_of(url: str) -> str | None:
    """Return the host of an address; None where there is none."""
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
