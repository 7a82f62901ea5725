"""Where a caller's address may lead: to the world by https, never into the operator's own networks.

The name is looked up once. What is found is checked, and it is what the connection goes to, so that a name that means
another machine a moment later leads nowhere else.
"""

import ipaddress
import socket
from collections.abc import Callable, Collection
from urllib.parse import urlsplit

from worker.errors import UserError

LookUp = Callable[[str, int], list[str]]
"""Return the addresses of a host. Raises OSError where it has none."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_IP = ipaddress.IPv4Address | ipaddress.IPv6Address


def look_up(host: str, port: int) -> list[str]:
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def check_address(url: str, *, allowed: Collection[str] = (), look_up: LookUp = look_up) -> str:
    """Return the IP address that a base URL's host has now. Raises UserError for one that may not be asked.

    Hosts in `allowed` may be the operator's own, and be asked by http.
    """
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        raise UserError("llm.base_url: is no address; write https://host/path") from None
    if not host or parts.username is not None or parts.password is not None or parts.fragment or parts.query:
        raise UserError("llm.base_url: has to be https://host/path, without user, password, query or fragment")
    is_allowed = host in allowed
    if parts.scheme != "https" and not (is_allowed and parts.scheme == "http"):
        raise UserError("llm.base_url: has to begin with https://")
    try:
        found = look_up(host, port or (443 if parts.scheme == "https" else 80))
    except (OSError, UnicodeError) as error:
        raise UserError("llm.base_url: its host is not known; check the name") from error
    if not found or not (is_allowed or all(map(is_of_the_world, found))):
        raise UserError("llm.base_url: its host lies in a network that callers may not reach from here")
    return found[0]


def is_of_the_world(address: str) -> bool:
    """Say whether an IP address is anybody's: not private, local, reserved, nor one of these in another form."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return all(one.is_global and not one.is_multicast and not one.is_reserved for one in _meanings(ip))


def _meanings(ip: _IP) -> list[_IP]:
    """Return the address and the IPv4 addresses that it carries inside."""
    if isinstance(ip, ipaddress.IPv4Address):
        return [ip]
    inside = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
    if ip in _NAT64:
        inside.append(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
    carried: list[_IP] = [one for one in inside if one is not None]
    return carried if ip.ipv4_mapped is not None or ip in _NAT64 else [ip, *carried]
