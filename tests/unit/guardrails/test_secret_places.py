"""Secrets are found where tools, tongues and encodings put them, and only there."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.unit.guardrails.secret_lines import ALNUM, HEX, Values, private_keys
from worker.ops.redaction import Redactor
from worker.ops.secret_values import is_generated

PLACES = tuple(
    line.encode().decode("unicode_escape")
    for line in (Path(__file__).parent / "placed_secrets.txt").read_text().splitlines()
)
"""Where a secret stands, one place a line."""

SENTENCES = (
    "invalid token {}",
    "Unauthorized: token '{}' is expired",
    "login failed for user app with password {}",
    "The new password for user elastic is: {}",
    "A temporary password is generated for root@localhost: {}",
    "invalid api key provided: {}",
    'could not parse secret "{}"',
    "your token is {}",
    "Authentication failed with passphrase {}",
)


def tokens(v: Values) -> Iterator[str]:
    yield f"AQ.Ab8R{v.of(46)}"
    yield f"fw_{v.of(22)}"
    yield f"tvly-dev-{v.of(32)}"
    yield f"sk_{v.of(48, HEX)}"
    yield f"LTAI5t{v.of(18)}"
    yield f"t1.{v.of(60)}.{v.of(86, ALNUM)}"
    yield f"key-{v.of(32, HEX)}"
    yield f"NRAK-{v.of(27, 'ABCDEFGHIJ0123456789')}"
    yield f"ntn_{v.of(46)}"
    yield f"ATBB{v.of(32)}"
    yield f"dp.st.prd.{v.of(43)}"
    yield f"fm2_{v.of(160)}"
    yield f"snyk_uat.{v.of(8, HEX)}.{v.of(60)}"
    yield f"sqp_{v.of(40, HEX)}"
    yield f"tskey-auth-{v.of(12)}CNTRL-{v.of(32)}"
    yield f"pat{v.of(14)}.{v.of(64, HEX)}"
    yield f"$apr1${v.of(8)}${v.of(22)}"
    yield f"pbkdf2_sha256$260000${v.of(22)}${v.of(43)}="
    yield f"SCRAM-SHA-256$4096:{v.base64(16)}${v.base64(32)}:{v.base64(32)}"
    yield f"{{SSHA}}{v.base64(24)}"


@pytest.mark.parametrize("place", PLACES)
def test_a_secret_is_found_where_tools_and_tongues_put_it(place: str) -> None:
    redactor, v = Redactor(key=b"k"), Values(len(place))
    for value in (v.of(16), v.of(24), v.of(32, HEX)):
        if "installation" in place:
            value = v.of(32, HEX)  # noqa: PLW2901 - Jenkins makes no others
        assert value not in redactor.scrub(place.replace("{}", value))


@pytest.mark.parametrize("sentence", SENTENCES)
def test_what_a_sentence_calls_a_secret_is_taken_out_if_it_was_made_by_chance(sentence: str) -> None:
    redactor, value = Redactor(key=b"k"), f"x7{Values(len(sentence)).of(22)}Q3"

    assert value not in redactor.scrub(sentence.format(value))


@pytest.mark.parametrize("ordinary", ["expired", "db-credentials-v2", "shop/db-1", "OAuth2Provider", "v1.2.3-rc1"])
def test_a_sentence_about_a_thing_stays_as_it_is(ordinary: str) -> None:
    for sentence in ("invalid token {}", "secret {} not found", "login with password {} failed"):
        assert Redactor().scrub(sentence.format(ordinary)) == sentence.format(ordinary)


def test_tokens_that_the_catalogue_lacks_are_caught_by_their_look() -> None:
    redactor = Redactor(key=b"k")

    found = [*tokens(Values(1)), *tokens(Values(2))]

    assert [token for token in found if token in redactor.scrub(f"request rejected for {token} (401)")] == []


def test_the_token_of_a_bot_is_found_in_its_address() -> None:
    token = f"123456789:AA{Values(3).of(33)}"

    assert token not in Redactor().scrub(f"POST https://api.telegram.org/bot{token}/sendMessage")


@pytest.mark.parametrize("value", ["hunter2", "OAuth2AccessToken", "kubernetes1", "2026-11-26T10:11:12Z", "user=app12"])
def test_names_numbers_and_words_were_not_made_by_chance(value: str) -> None:
    assert not is_generated(value)


def test_a_quote_that_is_escaped_does_not_end_a_secret() -> None:
    assert "tail9x" not in Redactor().scrub(json.dumps({"password": 'q1"tail9x'}))


def test_key_files_are_found_in_further_spellings() -> None:
    redactor = Redactor(key=b"k")
    lines = [Values(n).base64(48) for n in range(6)]
    putty = "PuTTY-User-Key-File-3: ssh-rsa\nEncryption: none\nComment: k\nPrivate-Lines: 6\n" + "\n".join(lines)
    ssh2 = "\n".join(["---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----", *lines, "---- END SSH2 ENCRYPTED PRIVATE KEY ----"])
    vault = "$ANSIBLE_VAULT;1.1;AES256\n" + "\n".join(Values(n).of(80, HEX) for n in range(3))

    assert [line for text in (putty, ssh2) for line in lines if line in redactor.scrub(text)] == []
    assert Values(2).of(80, HEX) not in redactor.scrub(vault)
    for _, pem in private_keys():
        assert quote(pem.splitlines()[1], safe="") not in redactor.scrub("key=" + quote(pem, safe=""))


def test_base64_behind_an_equals_sign_is_read_too() -> None:
    encoded = base64.b64encode(f"postgres://app:{Values(3).of(16)}@db/shop".encode()).decode()

    assert encoded not in Redactor().scrub(f"x={encoded}")


def test_a_routing_key_is_a_secret_only_where_it_is_one_of_a_receiver() -> None:
    key, redactor = Values(4).of(32, HEX), Redactor()

    assert key not in redactor.scrub(f"- routing_key: {key}")
    assert redactor.scrub("routing_key=order.payment.failed") == "routing_key=order.payment.failed"


@pytest.mark.parametrize(
    "text",
    [
        "https://ghp_{}@github.com/a/b.git",
        "https://{}:x-oauth-basic@github.com/a",
        "kafka-configs --add-config 'SCRAM-SHA-512=[password={}]'",
        "login xoxe.xoxp-1-{}{}{}{}{}",
        "Authorization: AWS4-HMAC-SHA256 Credential={}, Signature={}",
        "kind: Secret\ndata:\n  a: {}\n  b: {}\n",
    ],
)
def test_scrubbing_again_leaves_placeholders_beside_other_signs_alone(text: str) -> None:
    redactor = Redactor(key=b"k")
    once = redactor.scrub(text.replace("{}", Values(5).of(36)))

    assert redactor.scrub(once) == once


def test_what_stands_beside_a_placeholder_is_still_taken_out() -> None:
    redactor = Redactor(key=b"k")
    tail = Values(6).of(20)

    assert tail not in redactor.scrub(f"password=[redacted:named:ab12cd34]{tail}")
