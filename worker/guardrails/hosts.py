"""Which hosts a command may reach: those the operator lists, this one, and the inside of a network; never metadata."""

import re
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

_NAME = re.compile(r"[A-Za-z0-9_](?!.*\.\.)[A-Za-z0-9_.-]{0,252}", re.ASCII)
_DATABASE = re.compile(r"[A-Za-z_][\w-]*", re.ASCII)
_INSIDE = (".internal", ".local", ".localdomain", ".svc", ".lan", ".intranet", ".private")
_INSIDE_NETS = tuple(map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "fd00::/8")))
_CONNINFO = {"host", "port", "dbname", "user", "connect_timeout", "sslmode"}
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_METADATA = re.compile(
    r"metadata|instance-data|169\W?254|100\W100\W100\W200|192\W0\W0\W192|(\.|^)(0x[0-9a-f]*|\d+)\.?$", re.IGNORECASE
)
"""Names of the clouds' metadata services; a last label that is a number is an address in disguise."""
_METADATA_NETS = tuple(
    map(ip_network, ("169.254.0.0/16", "fe80::/10", "fd00:ec2::/32", "100.100.100.200/32", "192.0.0.192/32"))
)

_PROBES = re.compile(
    r"""
    (/-)? /(healthz?|healthy|health[-_]?check|ready|readyz|readiness|livez?|liveness|ping|status|up|version|metrics)
        (/[\w-]+)*
    |/(nginx_status|server-status|basic_status|stub_status|stats|stats/prometheus|server_info|clusters|varz|routez|subsz|jsz)
    |/actuator/(health|info|prometheus|metrics)(/[\w.-]+)*
    |/_cluster/(health|stats|pending_tasks)(/[\w-]+)* |/_cluster/allocation/explain |/_cat/[a-z_]+ (/[\w.*-]+)?
    |/_nodes/(stats|hot_threads)(/[\w,-]+)*
    |/connectors(/[\w.-]+/(status|tasks))? |/debug/pprof/(goroutine|threadcreate|block|mutex) |/api/v2/(alerts|status)
    |/api/v1/(query|query_range|alerts|rules|targets|labels|series|label/\w+/values|status/(buildinfo|runtimeinfo|tsdb))
    |/v1/(status/(leader|peers)|sys/health|health/state/\w+) |/loki/api/v1/(query|query_range|labels|label/\w+/values)
    """,
    re.VERBOSE | re.ASCII,
)
"""What a service says of its own state, by convention; on this host no allowance is needed for these."""

_URL = re.compile(
    r"(?:https?://)?(?P<host>[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:]+\])(?P<port>:\d{1,5})?"
    r"(?P<path>/[\w./~%+:,=*-]*)?(?P<query>\?[\w.,:=&%+*\"'()~/-]*)?",
    re.ASCII,
)


def is_listed(host: str, hosts: Collection[str], *, port: str = "") -> bool:
    """Say whether the operator lists a host; `port` is written `:80`."""
    if _is_metadata(host):
        return False
    name = host.lower()
    return any(
        pattern in {name, name + port} or (pattern.startswith("*.") and name.endswith(pattern[1:])) for pattern in hosts
    )


def is_own(host: str, hosts: Collection[str]) -> bool:
    """Say whether it is this host, or one that the operator lists."""
    return host.strip("[]") in _LOOPBACK or is_listed(host, hosts)


def is_inside(host: str, hosts: Collection[str]) -> bool:
    """Say whether it is a host inside the network by its address or its name, or one that the operator lists."""
    if is_own(host, hosts) or _is_inside_address(host):
        return True
    if not _NAME.fullmatch(host) or _is_metadata(host):
        return False
    return "." not in host or host.lower().endswith(_INSIDE)


def is_inside_conninfo(value: str, hosts: Collection[str]) -> bool:
    """Say the same of the host in PostgreSQL's `host=db dbname=app user=ro`, or of none: then it is this one."""
    pairs = [part.partition("=") for part in value.split()]
    if not all(equals and name in _CONNINFO and _NAME.fullmatch(said) for name, equals, said in pairs):
        return False
    return all(is_inside(said, hosts) for name, _, said in pairs if name == "host")


def are_inside(value: str, hosts: Collection[str]) -> bool:
    """Say the same of `host:port,host:port`, with or without `http://`."""
    parts = [re.fullmatch(r"(?:https?://)?([\w.-]+|\[[0-9a-f:]+\])(:\d+)?", part) for part in value.split(",")]
    return all(part and is_inside(part[1].strip("[]"), hosts) for part in parts)


def is_database(value: str, hosts: Collection[str]) -> bool:
    """Say whether it is the name of a database, or says where one inside the network is."""
    return bool(_DATABASE.fullmatch(value)) or is_inside_conninfo(value, hosts)


def is_network_end(value: str, _: Collection[str]) -> bool:
    """Say whether it is `host:port` of any host but one of metadata."""
    host, _, port = value.rpartition(":")
    return bool(_NAME.fullmatch(host) or _address(host)) and port.isdecimal() and not _is_metadata(host)


def may_be_fetched(url: str, hosts: Collection[str]) -> bool:
    """Say whether a GET of it is of a host that the operator lists, or of this host's state."""
    parts = _URL.fullmatch(url)
    if parts is None or ".." in url:
        return False
    host, port = parts["host"], parts["port"] or ""
    if is_listed(host, hosts, port=port):
        return True
    return host.strip("[]") in _LOOPBACK and bool(_PROBES.fullmatch(parts["path"] or ""))


def _is_inside_address(host: str) -> bool:
    address = _address(host)
    return address is not None and not _is_metadata(host) and any(address in net for net in _INSIDE_NETS)


def _is_metadata(host: str) -> bool:
    address = _address(host)
    if address is None:
        return bool(_METADATA.search(host))
    return any(address in net for net in _METADATA_NETS)


def _address(host: str) -> IPv4Address | IPv6Address | None:
    """Return the address that is written, the one inside an IPv6 spelling of IPv4; None for a name."""
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
