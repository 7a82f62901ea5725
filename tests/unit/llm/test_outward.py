"""Where a caller's address may lead: whatever form an address has, nobody gets into the operator's networks (7.5)."""

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import UserError
from worker.llm.outward import check_address, is_of_the_world, look_up

WORLD = "93.184.216.34"
INSIDE = [
    "127.0.0.1",
    "127.255.255.254",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "not an address",
]


def checked(url: str, *found: str, allowed: tuple[str, ...] = ()) -> str:
    return check_address(url, allowed=allowed, look_up=lambda _host, _port: list(found or (WORLD,)))


@pytest.mark.parametrize("address", INSIDE)
def test_7_5_an_address_of_ones_own_networks_is_none_of_the_world(address: str) -> None:
    assert not is_of_the_world(address)
    with pytest.raises(UserError, match="callers may not reach"):
        checked("https://api.example.com/v1", address)
    with pytest.raises(UserError, match="callers may not reach"):
        checked("https://api.example.com/v1", WORLD, address)  # one of several is enough


@pytest.mark.parametrize("address", [WORLD, "8.8.8.8", "2606:4700::6810:84e5", "64:ff9b::808:808", "::ffff:8.8.8.8"])
def test_7_5_what_is_the_worlds_is_returned_to_connect_to(address: str) -> None:
    assert checked("https://api.example.com/v1", address) == address


@given(st.ip_addresses(v=4))
def test_7_5_an_ipv4_address_in_ipv6_means_what_it_means_alone(ip: ipaddress.IPv4Address) -> None:
    alone = is_of_the_world(str(ip))

    assert is_of_the_world(f"::ffff:{ip}") is alone
    assert is_of_the_world(str(ipaddress.IPv6Address((0x64FF9B << 96) | int(ip)))) is alone
    if not alone:
        assert not is_of_the_world(str(ipaddress.IPv6Address((0x2002 << 112) | (int(ip) << 80))))


@given(st.ip_addresses(v=4, network="127.0.0.0/8") | st.ip_addresses(v=4, network="169.254.0.0/16"))
def test_7_5_no_way_to_write_a_number_leads_inside(ip: ipaddress.IPv4Address) -> None:
    number, parts = int(ip), str(ip).split(".")
    forms = (
        str(number),
        hex(number),
        f"0{number:o}",
        ".".join(f"0{int(p):o}" for p in parts),
        ".".join(hex(int(p)) for p in parts),
        f"[::ffff:{ip}]",
    )
    for form in forms:
        with pytest.raises(UserError):
            check_address(f"https://{form}/v1", look_up=_numbers_only)


def _numbers_only(host: str, port: int) -> list[str]:
    """Look a number up as the system does, and no name anywhere else."""
    return look_up(host, port)


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example.com/v1",
        "ftp://api.example.com",
        "https://user@api.example.com/v1",
        "https://user:secret@api.example.com/v1",
        "https://api.example.com/v1?x=1",
        "https://api.example.com/v1#x",
        "https:///v1",
        "https://[::1/v1",
        "https://api.example.com:port/v1",
        "api.example.com",
        "",
    ],
)
def test_7_5_only_a_plain_https_address_is_one(url: str) -> None:
    with pytest.raises(UserError, match=r"^llm\.base_url: "):
        checked(url)


def test_7_5_a_host_that_nobody_knows_is_said_so() -> None:
    def unknown(_host: str, _port: int) -> list[str]:
        raise OSError("no such host")

    with pytest.raises(UserError, match="its host is not known"):
        check_address("https://nowhere.example.com", look_up=unknown)


def test_7_5_a_host_the_operator_allows_may_be_ones_own_and_be_asked_by_http() -> None:
    allowed: Any = ("models.internal",)

    assert checked("http://models.internal:8000/v1", "10.0.0.9", allowed=allowed) == "10.0.0.9"
    with pytest.raises(UserError):
        checked("http://other.internal/v1", "10.0.0.9", allowed=allowed)
