"""Redaction: a secret never survives, equal secrets stay equal, and ordinary text stays as it is."""

import base64
import json
import time
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.ops.redaction import Redactor

KNOWN = "correct-horse/battery+staple=9"
BODY = "MIIEpAIBAAKCAQEA7bq\nProc-Type: 4,ENCRYPTED\nq1w2e3r4t5y6"
SECRETS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=8, max_size=60)
TOKENS = st.text("abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789", min_size=40, max_size=60)


@given(SECRETS, st.text(max_size=40), st.text(max_size=40))
def test_a_known_secret_never_survives(secret: str, before: str, after: str) -> None:
    assert (
        secret not in Redactor([secret]).scrub(before + secret + after) or secret in "[redacted:known:0123456789abcdef]"
    )


@pytest.mark.parametrize("spell", [str, lambda s: quote(s, safe=""), quote, quote_plus, lambda s: json.dumps(s)[1:-1]])
def test_a_known_secret_is_found_as_it_is_spelled_elsewhere(spell) -> None:  # noqa: ANN001 -- a function of the list
    assert Redactor([KNOWN]).scrub(f"x {spell(KNOWN)} y").startswith("x [redacted:known:")


@given(SECRETS, st.binary(max_size=7), st.binary(max_size=7))
def test_a_known_secret_inside_base64_cannot_be_decoded(secret: str, before: bytes, after: bytes) -> None:
    encoded = base64.b64encode(before + secret.encode() + after).decode()

    scrubbed = Redactor([secret]).scrub(encoded)

    assert scrubbed != encoded


def test_short_known_values_are_ignored() -> None:
    assert Redactor(["abc", "12345", ""]).scrub("abc 12345") == "abc 12345"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("key AKIAIOSFODNN7EXAMPLE used", "AKIAIOSFODNN7EXAMPLE"),
        ("aws_secret_access_key = wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY12", "wJalrXUtnFEMI"),
        ("token ghp_abcdefghijklmnopqrstuvwxyz0123456789", "ghp_abc"),
        ("github_pat_11ABCDEFG0abcdefghijklmnop_qrstuv", "11ABCDEFG0"),
        ("glpat-abcdefghij1234567890", "glpat-abc"),
        ("xoxb-" + "123456789012-abcdefghij", "123456789012"),
        ("sk-ant-api03-abcdefghijklmnop", "api03-abc"),
        ("sk-or-v1-abcdefghijklmnop", "v1-abc"),
        ("sk-abcdefghijklmnopqrstuvwx", "sk-abc"),
        ("AIzaSyA1234567890abcdefghijklmnopqrstuv", "AIzaSyA1"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NSJ9.c2lnbmF0dXJl", "eyJzdWIi"),
        (f"-----BEGIN RSA PRIVATE KEY-----\n{BODY}\n-----END RSA PRIVATE KEY-----", "q1w2e3r4t5y6"),
        (f"-----BEGIN OPENSSH PRIVATE KEY-----\n{BODY} (cut off", "q1w2e3r4t5y6"),
        ("postgresql://app:s3cr3tpw@db:5432/x", "s3cr3tpw"),
        ("redis://:s3cr3tpw@cache:6379", "s3cr3tpw"),
        ("amqp://u:p%40ss:word@mq/", "p%40ss"),
        ("Authorization: Bearer abc.def-ghi", "abc.def-ghi"),
        ("authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
        ('"Authorization": "token abcdefgh"', "abcdefgh"),
        ("curl -H 'X: bearer abcdefgh12'", "abcdefgh12"),
        ("Cookie: session=abcdef; other=1", "abcdef"),
        ("password=hunter22", "hunter22"),
        ("DB_PASSWORD: hunter22", "hunter22"),
        ('{"password": "two words here"}', "two words"),
        (r"{\"password\": \"two words here\"}", "two words"),
        ("mysql --password hunter22 -u app", "hunter22"),
        ("client_secret='hunter22'", "hunter22"),
        ("apiKey=hunter22&x=1", "hunter22"),
        ("access_token => hunter22", "hunter22"),
    ],
)
def test_what_looks_like_a_secret_is_taken_out(text: str, secret: str) -> None:
    scrubbed = Redactor().scrub(text)

    assert secret not in scrubbed
    assert "[redacted:" in scrubbed


@pytest.mark.parametrize(
    "text",
    [
        "tokens: 1200",
        "input_tokens=1200",
        "max_tokens: 500",
        "password authentication failed for user app",
        "GET /api/v1/keys 200",
        "http://shop.local:8080/cart",
        "https://example.com/a@b",
        "sha256:9f86d081884c7d65",
        "key=12345",
        "secret: null",
        "pods/checkout-7d9f sk-learn",
        "2026-01-02T03:04:05Z ERROR timeout after 3000ms",
        "the bearer of news",
        "trace_id=4bf92f3577b34da6a3ce929d0e0e4736",
    ],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert Redactor().scrub(text) == text


@given(
    TOKENS,
    st.sampled_from(["password={}", "Authorization: Bearer {}", "postgres://u:{}@h", '"api_key": "{}"', "sk-{}"]),
)
def test_scrubbing_twice_changes_nothing_more(token: str, template: str) -> None:
    redactor = Redactor()
    once = redactor.scrub(template.format(token))

    assert token not in once
    assert redactor.scrub(once) == once


def test_equal_secrets_stay_equal_and_others_differ_in_every_process() -> None:
    one, other = Redactor([KNOWN]), Redactor([KNOWN])

    assert one.scrub("password=hunter22") == other.scrub("password=hunter22")
    assert one.scrub("password=hunter22") != one.scrub("password=hunter23")


def test_the_placeholder_depends_on_the_key() -> None:
    assert Redactor(key=b"a").scrub("password=hunter22") != Redactor(key=b"b").scrub("password=hunter22")


def test_json_is_scrubbed_at_every_depth_by_name_and_by_look() -> None:
    value = {"env": [{"DB_PASSWORD": "a b", "n": 1}, f"x {KNOWN}"], "tokens": 7, "api_key": "", KNOWN: None}

    scrubbed = json.dumps(Redactor([KNOWN]).scrub_json(value))

    assert "a b" not in scrubbed
    assert KNOWN not in scrubbed
    assert '"tokens": 7' in scrubbed
    assert '"n": 1' in scrubbed


def test_a_secret_far_inside_a_long_text_is_found() -> None:
    text = "line of log\n" * 50_000 + "password=hunter22\n" + "line of log\n" * 50_000

    assert "hunter22" not in Redactor().scrub(text)


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "password=",
        "eyJ",
        "eyJa.",
        "-----BEGIN PRIVATE KEY-----",
        "://:",
        "a://b:",
        "Authorization: ",
        "aws secret ",
        "cookie: ",
        " --token ",
        "password = '",
        "secret_access",
        " ",
        "bearer ",
        "sk-",
        "secret='",
        "a.",
        "pass\n",
    ],
)
def test_time_grows_with_the_length_only(piece: str) -> None:
    def seconds(length: int) -> float:
        text = (piece * length)[:length]
        started = time.process_time()
        redactor.scrub(text)
        return time.process_time() - started

    redactor = Redactor([KNOWN])
    short, long = seconds(20_000), seconds(200_000)

    assert long < 40 * short + 0.3  # quadratic time would be a hundred times as long
