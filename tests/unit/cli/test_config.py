"""`rca config` tells what is set, what is wrong and what there is, and never a secret."""

import json
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from worker.cli.config import variables
from worker.cli.main import main
from worker.ops import tracing
from worker.settings import Settings, is_secret

KEY = "sk-live-0123456789abcdef"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("RCA_HOME", str(tmp_path))


def check() -> Result:
    return CliRunner().invoke(main, ["config", "check"])


def line_of(variable: str, result: Result) -> str:
    return next(line for line in result.stdout.splitlines() if line.startswith(f"{variable} "))


def test_a_clean_configuration_passes() -> None:
    result = check()

    assert result.exit_code == 0
    assert result.stderr == ""


def test_each_setting_is_shown_with_its_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RCA_MAX_TURNS", "12")

    result = check()

    assert line_of("RCA_MAX_TURNS", result).split() == ["RCA_MAX_TURNS", "set", "12"]
    assert line_of("RCA_WORKER_SLOTS", result).split() == ["RCA_WORKER_SLOTS", "default", "200"]
    assert line_of("RCA_MODEL", result).split() == ["RCA_MODEL", "default", "unset"]


def test_a_secret_is_only_set_or_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        if is_secret(name):
            monkeypatch.setenv(name.upper(), f"redis://user:{KEY}@host/0")
    monkeypatch.setenv("VERTEX_AI_SERVICE_ACCOUNT_JSON", json.dumps({"private_key": KEY}))

    result = check()

    assert KEY not in result.output
    assert "set, not shown" in line_of("OPENAI_API_KEY", result)
    assert "set, not shown" in line_of("REDIS_URL", result)


def test_a_password_inside_an_address_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RCA_PUBLIC_URL", f"https://me:{KEY}@gateway/v1")

    assert "https://me:***@gateway/v1" in line_of("RCA_PUBLIC_URL", check())


@pytest.mark.parametrize(
    ("variable", "value", "accepted"),
    [
        ("RCA_LEASE_S", "0", "number > 0"),
        ("RCA_LOG_LEVEL", "LOUD", "DEBUG, INFO, WARNING, ERROR"),
        ("RCA_COMMANDS", "perhaps", "true, false"),
        ("RCA_WORKER_SLOTS", "many", "whole number >= 1"),
    ],
)
def test_a_bad_value_names_the_variable_and_what_fits(
    variable: str, value: str, accepted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)

    result = check()

    assert result.exit_code == 1
    assert f"fail  {variable}: " in result.stderr
    assert accepted in result.stderr


def test_all_bad_values_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RCA_LEASE_S", "-1")
    monkeypatch.setenv("RCA_MAX_TURNS", KEY)

    result = check()

    assert "RCA_LEASE_S" in result.stderr
    assert "RCA_MAX_TURNS" in result.stderr
    assert KEY not in result.output


def test_a_misspelled_variable_is_a_warning_with_the_likely_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RCA_WORKER_SLOT", "5")

    result = check()

    assert result.exit_code == 0
    assert "did you mean RCA_WORKER_SLOTS?" in result.stderr


def test_a_lease_shorter_than_its_heartbeats_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RCA_LEASE_S", "1")

    assert check().exit_code == 1


def test_an_open_address_without_a_token_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RCA_HTTP_HOST", "0.0.0.0")

    assert "without RCA_API_TOKEN" in check().stderr


def test_a_home_that_is_a_file_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("RCA_HOME", str(tmp_path / "file"))

    assert check().exit_code == 1


def test_every_variable_is_described() -> None:
    rows = variables()

    assert sorted(row["variable"] for row in rows) == sorted(name.upper() for name in Settings.model_fields)
    assert rows[0]["variable"] == "RCA_HOME"
    assert rows[-1]["variable"].startswith("LLM_")
    assert all(row["description"] and row["accepts"] for row in rows)


def test_the_list_can_be_a_markdown_table() -> None:
    result = CliRunner().invoke(main, ["config", "list", "--markdown"])

    lines = result.stdout.splitlines()
    assert len(lines) == len(Settings.model_fields) + 2
    assert {line.replace("\\|", "").count("|") for line in lines} == {5}


def test_the_list_is_the_same_whatever_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    before = CliRunner().invoke(main, ["config", "list"]).stdout
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    assert CliRunner().invoke(main, ["config", "list"]).stdout == before


@pytest.mark.parametrize(
    ("larger", "smaller"),
    [
        (("RCA_MAX_TOKENS", "1000"), ("RCA_DAY_TOKENS", "900")),
        (("RCA_MAX_COST_USD", "5"), ("RCA_DAY_COST_USD_PER_PATH", "4")),
        (("RCA_DAY_COST_USD_PER_PATH", "50"), ("RCA_DAY_COST_USD", "40")),
    ],
)
def test_a_bound_above_another_that_holds_it_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, larger: tuple[str, str], smaller: tuple[str, str]
) -> None:
    monkeypatch.setenv(*larger)
    monkeypatch.setenv(*smaller)

    result = check()

    assert result.exit_code == 0
    assert f"warn  {larger[0]}: {larger[1]} is more than {smaller[0]} allows ({smaller[1]})" in result.stderr


def orchestrate(monkeypatch: pytest.MonkeyPatch, **more: str) -> None:
    given = {"RCA_ORCHESTRATOR_MODEL": "offline/analyst", "RCA_SUBAGENT_MODEL": "offline/analyst", **more}
    for name, value in {"ORCHESTRATOR_ENABLED": "true", **given}.items():
        monkeypatch.setenv(name, value)


def test_models_that_cannot_work_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_ENABLED", "true")

    result = check()

    assert result.exit_code == 1
    assert "fail  models: ORCHESTRATOR_ENABLED needs RCA_ORCHESTRATOR_MODEL and RCA_SUBAGENT_MODEL" in result.stderr


def test_an_orchestrator_with_its_models_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    orchestrate(monkeypatch)

    assert (check().exit_code, check().stderr) == (0, "")


def test_a_bypassed_model_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    orchestrate(monkeypatch, RCA_MODEL="anthropic/claude-haiku-4.5")

    result = check()

    assert result.exit_code == 0
    assert "warn  models: RCA_MODEL is set and bypassed" in result.stderr


def write_role(folder: Path, **fields: str) -> Path:
    front = {"name": "cache_investigator", "description": "Caches.", "tools": "[rank_*]", **fields}
    file = folder / "role.md"
    file.write_text("\n".join(["---", *(f"{name}: {value}" for name, value in front.items()), "---", "Look.", ""]))
    return file


def test_a_bad_role_file_fails_by_file_and_field(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = write_role(tmp_path, max_turns="101")
    monkeypatch.setenv("RCA_ROLES_DIR", str(tmp_path))

    result = check()

    assert result.exit_code == 1
    assert f"fail  roles: {file}: max_turns: " in result.stderr
    assert "a whole number from 1 to 100" in result.stderr


def test_a_roles_model_that_leads_nowhere_fails_by_file_and_field(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = write_role(tmp_path, model="openai/gpt-4.1")
    orchestrate(monkeypatch, RCA_ROLES_DIR=str(tmp_path))

    result = check()

    assert result.exit_code == 1
    assert f"fail  roles: {file}: model: role cache_investigator uses" in result.stderr
    assert "OPENAI_API_KEY" in result.stderr


def test_a_folder_of_roles_that_is_not_there_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RCA_ROLES_DIR", str(tmp_path / "none"))

    assert f"fail  roles: {tmp_path / 'none'}: cannot be read" in check().stderr


def test_traces_that_nothing_installed_can_send_are_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(distribution: str) -> str:
        raise PackageNotFoundError(distribution)

    monkeypatch.setattr(tracing, "version", missing)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://me:{KEY}@127.0.0.1:4318")

    result = check()

    assert result.exit_code == 1
    assert "OTEL_EXPORTER_OTLP_ENDPOINT is set" in result.stderr
    assert "pip install 'rca-worker[otel]'" in result.stderr
    assert KEY not in result.output
