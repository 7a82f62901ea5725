"""What children and logs may know of the environment."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worker.errors import ConfigError
from worker.settings import Settings, child_environment, find_problems, is_secret, load_settings, unknown_variables

KEY = "sk-live-0123456789abcdef"


def test_a_child_of_ours_gets_all_and_the_overrides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("REDIS_URL", "redis://old")

    environment = child_environment(keys=True, REDIS_URL="redis://new")

    assert environment["OPENAI_API_KEY"] == KEY
    assert environment["REDIS_URL"] == "redis://new"


def test_a_stranger_gets_plain_settings_and_what_programs_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RCA_LOG_LEVEL", "DEBUG")

    environment = child_environment(keys=False, EXTRA="1")

    assert {"PATH", "RCA_LOG_LEVEL", "EXTRA"} <= set(environment)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.from_regex(r"[A-Z][A-Z_]{2,20}(KEY|TOKEN|SECRET|PASSWORD)", fullmatch=True))
def test_a_stranger_gets_no_key_whatever_it_is_called(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv(name, KEY)

        assert KEY not in child_environment(keys=False).values()


@pytest.mark.parametrize("field", [name for name in Settings.model_fields if is_secret(name)])
def test_a_stranger_gets_no_secret_setting(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(field.upper(), KEY)
    monkeypatch.setenv(field, KEY)

    assert KEY not in child_environment(keys=False).values()


def test_what_is_named_like_a_key_is_a_secret() -> None:
    named = [name for name in Settings.model_fields if name.endswith(("_key", "_token", "_auth", "_secret"))]

    assert named
    assert all(is_secret(name) for name in named)


def test_passwords_inside_addresses_are_secrets_too() -> None:
    made = Settings(database_url="postgresql://u:pg-pw@h/d", redis_url="redis://:redis-pw@h/0", rca_api_token=KEY)

    assert set(made.secrets) >= {"pg-pw", "redis-pw", KEY}


def test_an_address_that_is_none_has_no_password() -> None:
    assert Settings(redis_url="redis://[broken").secrets == ()


def test_problems_name_variables_and_not_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RCA_GRACE_S", KEY)
    monkeypatch.setenv("RCA_MAX_TURNS", "-1")

    assert {variable for variable, _ in find_problems()} == {"RCA_GRACE_S", "RCA_MAX_TURNS"}
    with pytest.raises(ConfigError, match="RCA_GRACE_S") as refused:
        load_settings()
    assert KEY not in str(refused.value)


def test_only_our_own_unknown_variables_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RCA_WORKER_SLOT", "5")
    monkeypatch.setenv("RCA_WORKER_SLOTS", "5")
    monkeypatch.setenv("SOMETHING_ELSE", "5")

    assert unknown_variables() == ["RCA_WORKER_SLOT"]
