"""Requests of Bedrock: signed by AWS's own library, with the credential it should take."""

import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws

from tests.aws import empty_environment, is_signed_with
from tests.llm_builders import KEY, bare_settings, hello
from tests.receiver import Receiver, Say
from worker.domain.conversation import Route
from worker.errors import (
    InvalidRequestError,
    ProviderAuthError,
    ProviderError,
    ProviderUnavailableError,
)
from worker.llm.aws_signing import KEPT_S, MAX_CLIENTS, AwsSigner
from worker.llm.secrets import Credentials
from worker.llm.standing import constant
from worker.llm.transport import Request, Transport
from worker.llm.wires.bedrock_converse import NAME, encode

SECRET, TOKEN = "s3cr3t/zq7Wm4v9LkTt2Rr8Xx1+abcdefghij", "t0ken-Qq8Yw2Zx"
KEYS = f"AKIAZQ7WM4V9LKTT\n{SECRET}"
ROUTE = Route(provider="bedrock", model="us.anthropic.claude-haiku-4-5-20251001-v1:0", wire=NAME, region="us-east-1")
BODY = encode(hello(), ROUTE)


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    empty_environment(monkeypatch, tmp_path)
    return tmp_path


def sign(key: str = KEYS, **changes: Any) -> Request:
    return AwsSigner().sign(BODY, ROUTE.model_copy(update=changes), key)


def is_ours(request: Request, secret: str = SECRET) -> bool:
    return is_signed_with(secret, url=request.url, headers=request.headers, body=request.body)


def test_the_signature_is_the_one_that_aws_computes() -> None:
    request = sign()

    assert is_ours(request)
    assert not is_ours(request, "another")
    assert "AKIAZQ7WM4V9LKTT/" in request.headers["Authorization"]


def test_a_session_token_is_sent_and_signed() -> None:
    request = sign(f"{KEYS}\n{TOKEN}")

    assert request.headers["X-Amz-Security-Token"] == TOKEN
    assert "x-amz-security-token" in request.headers["Authorization"]
    assert is_ours(request)


@pytest.mark.parametrize(
    ("region", "base", "host"),
    [
        ("eu-central-1", "", "https://bedrock-runtime.eu-central-1.amazonaws.com"),
        ("us-gov-west-1", "", "https://bedrock-runtime.us-gov-west-1.amazonaws.com"),
        ("cn-north-1", "", "https://bedrock-runtime.cn-north-1.amazonaws.com.cn"),
        ("eu-central-1", "https://vpce-1.example.com", "https://vpce-1.example.com"),
    ],
)
def test_the_address_is_awss_own_or_the_one_given(region: str, base: str, host: str) -> None:
    request = sign(region=region, base_url=base)

    assert request.url == f"{host}/model/us.anthropic.claude-haiku-4-5-20251001-v1%3A0/converse"
    assert f"/{region}/bedrock/aws4_request" in request.headers["Authorization"]


def test_a_profile_is_read_from_awss_files(home: Path) -> None:
    (home / "credentials").write_text(f"[ops]\naws_access_key_id = AKIAOPS\naws_secret_access_key = {SECRET}\n")
    (home / "config").write_text("[profile ops]\nregion = eu-west-1\n")

    request = sign("ops", region=None)

    assert "Credential=AKIAOPS/" in request.headers["Authorization"]
    assert request.url.startswith("https://bedrock-runtime.eu-west-1.")
    assert is_ours(request)


def test_a_role_is_assumed_through_its_chain(home: Path) -> None:
    (home / "credentials").write_text(f"[base]\naws_access_key_id = AKIABASE\naws_secret_access_key = {SECRET}\n")
    (home / "config").write_text(
        "[profile rca]\nrole_arn = arn:aws:iam::123456789012:role/rca\nsource_profile = base\nregion = us-east-1\n"
    )

    with mock_aws():
        request = sign("rca")

    assert "Credential=ASIA" in request.headers["Authorization"]
    assert request.headers["X-Amz-Security-Token"]


def test_what_the_library_finds_by_itself_is_used_where_nothing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)

    assert is_ours(sign(""))


def test_what_is_named_beats_all_else_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bearer")
    monkeypatch.setenv("AWS_PROFILE", "gone")

    assert is_ours(sign())


def test_a_bearer_token_of_the_environment_is_the_librarys_own_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bearer")

    assert sign("").headers["Authorization"] == "Bearer bearer"


@pytest.mark.parametrize(
    ("key", "changes", "error", "words"),
    [
        ("", {}, ProviderAuthError, "BEDROCK_ACCESS_KEY_ID"),
        ("gone", {}, ProviderAuthError, "ProfileNotFound"),
        (KEYS, {"region": None}, InvalidRequestError, "BEDROCK_REGION"),
        (KEYS, {"base_url": "nowhere"}, InvalidRequestError, "base URL"),
    ],
)
def test_what_is_missing_is_named(key: str, changes: dict[str, Any], error: type[ProviderError], words: str) -> None:
    with pytest.raises(error, match=words):
        sign(key, **changes)


@pytest.fixture
def chained(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """Let the profile `rca` take a role from an STS of ours."""
    (home / "credentials").write_text(f"[base]\naws_access_key_id = AKIABASE\naws_secret_access_key = {SECRET}\n")
    (home / "config").write_text("[profile rca]\nrole_arn = arn:aws:iam::1:role/rca\nsource_profile = base\n")
    sts = Receiver()
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts.url)
    yield sts
    sts.close()


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (403, "AccessDenied", ProviderAuthError),
        (400, "Throttling", ProviderUnavailableError),
        (503, "ServiceUnavailable", ProviderUnavailableError),
    ],
)
def test_a_role_that_is_refused_is_told_from_one_that_is_late(
    chained: Receiver, status: int, code: str, error: type[ProviderError]
) -> None:
    reply = f"<ErrorResponse><Error><Code>{code}</Code><Message>{SECRET}</Message></Error></ErrorResponse>"
    chained.says = [Say(status, body=reply.encode())]

    with pytest.raises(error) as caught:
        sign("rca")

    assert code in str(caught.value)
    assert SECRET not in str(caught.value)
    assert len(chained.posts) == 1


def test_a_connection_that_breaks_is_asked_once_and_may_work_later(chained: Receiver) -> None:
    chained.says = [Say(drop=True)]

    with pytest.raises(ProviderUnavailableError):
        sign("rca")

    assert len(chained.posts) == 1


def test_no_key_reaches_a_log_though_everything_is_logged(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    (home / "credentials").write_text(
        f"[ops]\naws_access_key_id = AKIAOPS\naws_secret_access_key = {SECRET}\naws_session_token = {TOKEN}\n"
    )
    caplog.set_level(logging.DEBUG)

    signature = sign("ops").headers["Authorization"].rpartition("=")[2]
    logging.getLogger("botocore.auth").warning("seen")

    assert "seen" in caplog.text
    assert not any(word in caplog.text for word in (SECRET, TOKEN, signature))


def test_few_clients_are_kept_and_none_is_built_for_a_call() -> None:
    signer = AwsSigner()

    for number in range(MAX_CLIENTS + 3):
        signer.sign(BODY, ROUTE, f"AKIA{number}\nsecret")
    last = signer._client(ROUTE, f"AKIA{MAX_CLIENTS + 2}\nsecret")

    assert len(signer._kept) == MAX_CLIENTS
    assert signer._client(ROUTE, f"AKIA{MAX_CLIENTS + 2}\nsecret") is last
    assert not any("secret" in name for name in signer._kept)


def test_new_keys_in_awss_files_count_after_a_while(home: Path) -> None:
    now = [0.0]
    signer = AwsSigner(clock=lambda: now[0])
    heard = []
    for name, moment in (("AKIAOLD", 0.0), ("AKIANEW", KEPT_S), ("AKIANEW", KEPT_S + 1)):
        (home / "credentials").write_text(f"[ops]\naws_access_key_id = {name}\naws_secret_access_key = {SECRET}\n")
        now[0] = moment
        heard.append("AKIANEW" in signer.sign(BODY, ROUTE, "ops").headers["Authorization"])

    assert heard == [False, False, True]


def test_a_set_of_credentials_is_looked_up_one_value_a_line() -> None:
    settings = bare_settings(openai_api_key=KEY, anthropic_api_key="second", bedrock_profile="ops")
    with closing(Transport()) as transport:
        find = Credentials(constant(settings), transport).find

        assert find("env:OPENAI_API_KEY,ANTHROPIC_API_KEY") == f"{KEY}\nsecond"
        assert find("env:BEDROCK_PROFILE") == "ops"
        assert find("aws:default") == ""
        with pytest.raises(ProviderAuthError, match="OPENROUTER_API_KEY"):
            find("env:OPENAI_API_KEY,OPENROUTER_API_KEY")
