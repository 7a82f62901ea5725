"""The doctor and the check of the configuration say what is wrong with signing in."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.llm_builders import bare_settings
from worker.cli.doctor_sign_in import check_sign_in, look_at_sign_in
from worker.cli.main import main
from worker.ops.health import Check, CheckStatus

ISSUER = "https://id.example.com"
ADDRESSES = ("authorization_endpoint", "token_endpoint", "jwks_uri")
DOCUMENT = {"issuer": ISSUER} | dict.fromkeys(ADDRESSES, f"{ISSUER}/x")
WHOLE = {
    "rca_oidc_issuer": ISSUER,
    "rca_oidc_client_id": "rca",
    "rca_oidc_access": json.dumps({"sre": {"scopes": ["reports:read"]}}),
    "rca_public_url": "https://rca.example.com",
}


def look(document: Any, **changed: Any) -> list[Check]:
    body = None if document is None else json.dumps(document).encode()
    return list(look_at_sign_in(bare_settings(**WHOLE | changed), get=lambda _: body))


def test_without_an_issuer_there_is_nothing_to_say() -> None:
    assert list(look_at_sign_in(bare_settings(), get=lambda _: None)) == []


def test_an_issuer_that_answers_as_one_is_well() -> None:
    (check,) = look(DOCUMENT)

    assert (check.status, check.detail) == (CheckStatus.OK, f"{ISSUER} answers; 1 groups are let in")


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (None, f"{ISSUER}/.well-known/openid-configuration does not answer"),
        ([], "has no authorization_endpoint, token_endpoint, jwks_uri"),
        ({**DOCUMENT, "jwks_uri": None}, "has no jwks_uri"),
        ({**DOCUMENT, "issuer": "https://other.example"}, "calls itself https://other.example"),
    ],
)
def test_one_that_does_not_is_a_failure_with_a_fix(document: Any, said: str) -> None:
    (check,) = look(document)

    assert check.status is CheckStatus.FAIL
    assert said in check.detail
    assert check.fix


def test_half_a_configuration_is_a_failure_and_nobody_is_asked() -> None:
    (check,) = look(None, rca_oidc_client_id=None)

    assert check.status is CheckStatus.FAIL
    assert "RCA_OIDC_CLIENT_ID: missing" in check.detail


def test_a_way_back_to_loopback_alone_is_doubted() -> None:
    (check,) = check_sign_in(bare_settings(**WHOLE | {"rca_public_url": None}))

    assert check.status is CheckStatus.WARN
    assert "RCA_PUBLIC_URL" in check.fix


def test_config_check_fails_for_what_does_not_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RCA_HOME", str(tmp_path))
    monkeypatch.setenv("RCA_OIDC_ISSUER", ISSUER)
    monkeypatch.setenv("RCA_OIDC_CLIENT_ID", "rca")
    monkeypatch.setenv("RCA_OIDC_ACCESS", '{"sre": {"scopes": ["everything"]}}')

    result = CliRunner().invoke(main, ["config", "check"])

    assert result.exit_code == 1
    assert "sign-in: RCA_OIDC_ACCESS: sre: scopes: 0: Input should be" in result.stderr
