"""Signing in with an issuer is configured whole or refused, with the variable that is wrong."""

import json
from typing import Any

import pytest
from pydantic import SecretStr

from tests.llm_builders import bare_settings
from worker.errors import ConfigError
from worker.sign_in import Grant, SignIn, find_sign_in

ACCESS = {
    "admins": {"scopes": ["reports:read", "users:manage"]},
    "sre": {"scopes": ["reports:read"], "user_path": "team/sre/"},
}
WHOLE = {
    "rca_oidc_issuer": "https://id.example.com/realm/",
    "rca_oidc_client_id": "rca",
    "rca_oidc_client_secret": "s",
    "rca_oidc_access": json.dumps(ACCESS),
}


def find(**changed: Any) -> SignIn | None:
    return find_sign_in(bare_settings(**WHOLE | changed))


def test_nothing_configured_is_no_sign_in() -> None:
    assert find_sign_in(bare_settings()) is None


def test_a_whole_configuration_is_taken() -> None:
    found = find()

    assert found is not None
    assert (found.issuer, found.client_id, found.groups_claim) == ("https://id.example.com/realm", "rca", "groups")
    assert found.client_secret == SecretStr("s")
    assert found.grants["sre"] == Grant(scopes=frozenset({"reports:read"}), user_path="/team/sre")
    assert found.grants["admins"].user_path == "/"


def test_an_issuer_on_this_machine_may_do_without_tls() -> None:
    assert find(rca_oidc_issuer="http://127.0.0.1:9000") is not None


def test_the_first_of_the_groups_that_is_held_counts() -> None:
    found = find()

    assert found is not None
    assert found.grant_of(["sre", "admins"]) == found.grants["admins"]
    assert found.grant_of(["others", "sre"]) == found.grants["sre"]
    assert found.grant_of(["others"]) is None
    assert found.grant_of([]) is None


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"rca_oidc_issuer": None}, "RCA_OIDC_ISSUER: missing, though RCA_OIDC_CLIENT_ID"),
        ({"rca_oidc_issuer": "http://id.example.com"}, "RCA_OIDC_ISSUER: has to begin with https://"),
        ({"rca_oidc_client_id": None}, "RCA_OIDC_CLIENT_ID: missing"),
        ({"rca_oidc_access": None}, "RCA_OIDC_ACCESS: missing"),
        ({"rca_oidc_access": "{"}, "RCA_OIDC_ACCESS: Invalid JSON"),
        ({"rca_oidc_access": "{}"}, "RCA_OIDC_ACCESS: Dictionary should have at least 1 item"),
        ({"rca_oidc_access": '{"sre": {}}'}, "RCA_OIDC_ACCESS: sre: scopes: Field required"),
        ({"rca_oidc_access": '{"sre": {"scopes": []}}'}, "RCA_OIDC_ACCESS: sre: scopes: Frozenset should have"),
        ({"rca_oidc_access": '{"sre": {"scopes": ["all"]}}'}, "sre: scopes: 0: Input should be 'incidents:write'"),
        (
            {"rca_oidc_access": '{"sre": {"scopes": ["reports:read"], "user_path": "/a/../b"}}'},
            "RCA_OIDC_ACCESS: sre: user_path: Value error, segments of user_path",
        ),
        (
            {"rca_oidc_access": '{"sre": {"scopes": ["reports:read"], "path": "/a"}}'},
            "RCA_OIDC_ACCESS: sre: path: Extra inputs are not permitted",
        ),
        ({"rca_http_host": "0.0.0.0"}, "RCA_PUBLIC_URL: missing"),
    ],
)
def test_what_is_wrong_is_named_by_its_variable(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        find(**changed)

    assert said in str(refused.value)
