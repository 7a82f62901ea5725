"""Hosts: listed ones, this one and those inside a network may be reached; no spelling of a metadata address may."""

import pytest

from worker.guardrails.hosts import are_inside, is_inside, is_own, may_be_fetched

LISTED = ("grafana.example.com", "*.corp.example", "metrics.example:9090")
METADATA = (
    "169.254.169.254",
    "169.254.170.2",
    "169.254.1.1",
    "2852039166",
    "0xa9fea9fe",
    "0xA9.0xFE.0xA9.0xFE",
    "0251.0376.0251.0376",
    "169.254.43518",
    "fd00:ec2::254",
    "[fd00:ec2::254]",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "metadata",
    "metadata.google.internal",
    "METADATA.google.internal",
    "instance-data",
    "instance-data.ec2.internal",
    "169-254-169-254.internal",
    "100.100.100.200",
    "192.0.0.192",
)


@pytest.mark.parametrize("host", METADATA)
def test_no_spelling_of_a_metadata_address_is_reached(host: str) -> None:
    assert not is_inside(host, LISTED)
    assert not is_own(host, LISTED)
    assert not may_be_fetched(f"http://{host}/health", (*LISTED, host))


@pytest.mark.parametrize(
    "host", ["10.0.0.5", "172.16.3.4", "192.168.1.1", "db", "db.internal", "api.shop.svc", "x.cluster.local", "fd12::1"]
)
def test_the_inside_of_a_network_is_reached(host: str) -> None:
    assert is_inside(host, ())


@pytest.mark.parametrize(
    "host", ["8.8.8.8", "evil.example", "172.32.0.1", "10.0.0.5.example", "a..local", "-x", "127.1"]
)
def test_the_outside_is_not(host: str) -> None:
    assert not is_inside(host, LISTED)


def test_every_one_of_several_hosts_counts() -> None:
    assert are_inside("kafka-1:9092,kafka-2:9092", ())
    assert are_inside("https://127.0.0.1:2379", ())
    assert not are_inside("kafka-1:9092,evil.example:9092", ())
    assert not are_inside("", ())


def test_a_listed_host_is_fetched_whole_and_this_one_only_for_its_state() -> None:
    assert may_be_fetched("https://grafana.example.com/api/any", LISTED)
    assert may_be_fetched("http://metrics.example:9090/x", LISTED)
    assert not may_be_fetched("http://metrics.example:22/x", LISTED)
    assert may_be_fetched("http://a.corp.example", LISTED)
    assert not may_be_fetched("http://corp.example", LISTED)
    assert may_be_fetched("localhost:8080/healthz", ())
    assert not may_be_fetched("localhost:8080/env", ())


@pytest.mark.parametrize(
    "url",
    [
        "http://grafana.example.com@evil.example/",
        "http://evil.example/#@grafana.example.com",
        "http://grafana.example.com.evil.example/",
        "ftp://grafana.example.com/",
        "file://grafana.example.com/etc/hosts",
        "http://{grafana.example.com,evil.example}/",
        "http://grafana.example.com/../x",
        "http://grafana.example.com\\@evil.example/",
        "http://localhost:8080/health/../env",
    ],
)
def test_no_url_smuggles_another_host_or_path(url: str) -> None:
    assert not may_be_fetched(url, LISTED)
