"""Redaction: a secret never survives, equal secrets stay equal, and ordinary text stays as it is."""

import base64
import json
import random
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.guardrails.secret_lines import (
    AROUND,
    NAMED,
    SCHEMES,
    TANGLES,
    URLSAFE,
    Values,
    kubernetes,
    private_keys,
    spellings,
    tokens,
)
from worker.ops.redaction import MAX_DEPTH, PART_CHARS, Redactor
from worker.ops.secret_spans import Span

ORDINARY = (Path(__file__).parent / "ordinary.txt").read_text().splitlines()
LEFT_CHARS = 8
"""No part of a secret of this length may be left at its end."""
KNOWN = "correct-horse/battery+staple=9"
BODY = "MIIEpAIBAAKCAQEA7bq\nProc-Type: 4,ENCRYPTED\nq1w2e3r4t5y6"
SECRETS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=8, max_size=60)
TOKENS = st.text("abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789", min_size=40, max_size=60)


@given(SECRETS, st.text(max_size=40), st.text(max_size=40))
def test_a_known_secret_never_survives(secret: str, before: str, after: str) -> None:
    assert (
        secret not in Redactor([secret], key=b"k").scrub(before + secret + after)
        or secret in "[redacted:known:0123456789abcdef]"
    )


@pytest.mark.parametrize("spell", [str, lambda s: quote(s, safe=""), quote, quote_plus, lambda s: json.dumps(s)[1:-1]])
def test_a_known_secret_is_found_as_it_is_spelled_elsewhere(spell) -> None:  # noqa: ANN001 -- a function of the list
    assert Redactor([KNOWN]).scrub(f"x {spell(KNOWN)} y").startswith("x [redacted:known:")


@given(SECRETS, st.binary(max_size=7), st.binary(max_size=7))
def test_a_known_secret_inside_base64_cannot_be_decoded(secret: str, before: bytes, after: bytes) -> None:
    encoded = base64.b64encode(before + secret.encode() + after).decode()

    scrubbed = Redactor([secret], key=b"k").scrub(encoded)

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


def test_without_secrets_or_a_salt_the_key_is_random() -> None:
    assert Redactor().scrub("password=hunter22") != Redactor().scrub("password=hunter22")
    assert Redactor(salt=b"a").scrub("password=hunter22") == Redactor(salt=b"a").scrub("password=hunter22")


@pytest.mark.parametrize(
    "place", ["{}", "token: {}", "x={}", "https://u:{}@h/", '{{"k": "{}"}}', "Authorization: Bearer {}"]
)
def test_a_secret_is_called_the_same_wherever_it_stands(place: str) -> None:
    token = f"ghp_{Values(1).of(36)}"
    redactor = Redactor(key=b"k")

    assert redactor.scrub(token) in redactor.scrub(place.format(token))
    assert redactor.scrub_json({"password": token}) == {"password": redactor.scrub(token)}


def left_of(secret: str, scrubbed: str) -> bool:
    return secret in scrubbed or secret[-LEFT_CHARS:] in scrubbed


@pytest.mark.parametrize("seed", range(2))
def test_tokens_are_caught_by_their_look(seed: int) -> None:
    redactor = Redactor(key=b"k")
    found = list(tokens(Values(seed)))

    assert len(found) * len(AROUND) >= 150
    assert [t for t in found for around in AROUND if left_of(t, redactor.scrub(around.format(t)))] == []


@pytest.mark.parametrize("template", NAMED)
def test_a_value_is_caught_by_its_name(template: str) -> None:
    redactor, v = Redactor(key=b"k"), Values(len(template))
    values = [v.of(16), v.of(24, URLSAFE), v.of(32, "0123456789abcdef"), v.of(40), v.uuid()]
    if "Basic" in template:
        values = [base64.b64encode(f"app:{value}".encode()).decode() for value in values]

    lines = [(value, template.replace("{}", value)) for value in values]
    told = [(value, json.dumps({"level": "error", "message": f"seen\n{line}\nand gone"})) for value, line in lines]
    again = [(value, f"rows: {json.dumps(f'x {line}')}") for value, line in told]

    assert [line for value, line in (*lines, *told, *again) if left_of(value, redactor.scrub(line))] == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_password_is_taken_out_of_an_address_of_every_scheme(scheme: str) -> None:
    redactor, v = Redactor(key=b"k"), Values(len(scheme))
    for value in (
        v.of(12),
        f"{v.of(9)}%40{v.of(9)}",
        f"{v.of(9)}@{v.of(9)}",
        f"{v.of(9)}/{v.of(9)}",
        f"{v.of(9)}:{v.of(9)}",
    ):
        for user in ("app", ""):
            scrubbed = redactor.scrub(f"dial {scheme}://{user}:{value}@db.shop:5432/shop failed")

            assert not left_of(value, scrubbed)
            assert scrubbed.endswith("@db.shop:5432/shop failed")


def test_private_keys_are_taken_out_whole_however_they_are_written() -> None:
    redactor = Redactor(key=b"k")
    for _, pem in private_keys():
        for text in spellings(pem):
            scrubbed = redactor.scrub(text)

            assert [line for line in pem.splitlines()[1:-1] if line and line in scrubbed] == []


def test_secrets_of_kubernetes_and_docker_are_taken_out_of_their_files() -> None:
    redactor = Redactor(key=b"k")
    for text, inside in kubernetes(Values(7)):
        scrubbed = redactor.scrub(text)

        assert [secret for secret in inside if left_of(secret, scrubbed)] == []
    assert redactor.scrub_json({"kind": "Secret", "data": {"a": "b3JkaW5hcnk="}})["data"]["a"].startswith("[redacted:")


def test_base64_is_taken_out_if_what_it_says_holds_a_secret() -> None:
    encoded = base64.b64encode(f"db: shop\npassword: {Values(3).of(20)}\n".encode()).decode()
    ordinary = base64.b64encode(b"2026-03-01 INFO order placed by customer 77, all well").decode()

    assert encoded not in Redactor().scrub(f"config {encoded} applied")
    assert Redactor().scrub(ordinary) == ordinary


def test_ordinary_lines_stay_as_they_are() -> None:
    redactor = Redactor(key=b"k")

    assert len(ORDINARY) >= 200
    assert [line for line in ORDINARY if redactor.scrub(line) != line] == []
    assert redactor.scrub("\n".join(ORDINARY)) == "\n".join(ORDINARY)


@given(st.integers(0, 2**32), st.integers(-60, 60))
@settings(max_examples=20)
def test_a_secret_is_found_across_the_border_of_parts_and_pieces(seed: int, shift: int) -> None:
    chosen = random.Random(seed)  # noqa: S311 - hypothesis gave the seed
    redactor, v = Redactor(key=b"k"), Values(seed)
    token, password = f"ghp_{v.of(36)}", v.of(20)
    filler = chosen.choice(["x", "line of log\n", "word "])
    before = (filler * PART_CHARS)[: PART_CHARS * 3 // 4 + shift]
    text = f"{before} {token} password:\n  {password} {filler * 20}" + filler * (PART_CHARS // len(filler))
    stream, at, said = redactor.stream(), 0, []
    while at < len(text):
        size = chosen.randint(1, 50_000)
        said.append(stream.feed(text[at : at + size]))
        assert len(stream._held) <= PART_CHARS
        at += size
    scrubbed = "".join([*said, stream.close()])

    assert scrubbed == redactor.scrub(text)
    assert not left_of(token, scrubbed)
    assert not left_of(password, scrubbed)


def test_a_key_file_is_found_in_a_text_of_many_parts() -> None:
    (_, pem), *_ = private_keys()
    text = "line of log\n" * 8_500 + pem + "line of log\n" * 20_000

    scrubbed = Redactor(key=b"k").scrub(text)

    assert pem.splitlines()[5] not in scrubbed
    assert scrubbed.count("line of log\n") == 28_500


def test_a_text_that_cannot_be_searched_is_withheld() -> None:
    def broken(text: str, _lower: str) -> Iterator[Span]:
        yield from [] if text in {"ordinary", "a"} else [Span(0, 0, len(text[1_000_000]), "x")]

    redactor = Redactor(detectors=[broken])

    assert redactor.scrub("ordinary") == "ordinary"
    assert (
        redactor.scrub("password=hunter22") == "[withheld: IndexError while it was searched for secrets, 17 characters]"
    )
    assert redactor.scrub_json({"a": "secret text"}) == {"a": redactor.scrub("secret text")}


def test_json_that_is_nested_too_deep_is_withheld() -> None:
    value: object = "hunter22"
    for _ in range(MAX_DEPTH * 20):
        value = [value]

    assert "hunter22" not in json.dumps(Redactor().scrub_json(value))


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


@pytest.mark.parametrize("piece", TANGLES)
def test_no_shape_of_text_keeps_a_secret_behind_it_from_being_found(piece: str) -> None:
    tangle, token = (piece * 50_000)[:50_000], f"ghp_{Values(9).of(36)}"

    assert not left_of(token, Redactor(key=b"k").scrub(f"{tangle}\n {token} \n{tangle}"))
