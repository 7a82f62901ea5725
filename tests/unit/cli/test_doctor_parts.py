"""What the doctor makes of what it finds."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from worker.cli.doctor_redis import check_info
from worker.cli.doctor_storage import check_clock, check_deliveries, check_sub_agents, check_workers
from worker.cli.main import main
from worker.ops.health import CheckStatus
from worker.storage.standing import Standing

OK, WARN, FAIL = CheckStatus.OK, CheckStatus.WARN, CheckStatus.FAIL
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def empty_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("RCA_HOME", str(tmp_path))
    return tmp_path


def doctor(*options: str) -> Result:
    return CliRunner().invoke(main, ["doctor", *options])


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({"aof_enabled": 1, "aof_last_write_status": "ok", "maxmemory_policy": "noeviction"}, [OK, OK]),
        ({"aof_enabled": 0, "maxmemory_policy": "allkeys-lru"}, [WARN, WARN]),
        ({"aof_enabled": 1, "aof_last_write_status": "err", "maxmemory_policy": "noeviction"}, [FAIL, OK]),
        (None, [WARN]),
        ({}, [WARN]),
    ],
)
def test_redis_has_to_keep_and_not_to_forget(info: dict[str, object] | None, expected: list[CheckStatus]) -> None:
    assert [check.status for check in check_info(info)] == expected


@pytest.mark.parametrize(("seconds", "expected"), [(0.5, OK), (-1.9, OK), (3, WARN), (-30, WARN)])
def test_clocks_that_differ_are_a_warning(seconds: float, expected: CheckStatus) -> None:
    assert check_clock(timedelta(seconds=seconds)).status is expected


@pytest.mark.parametrize(
    ("standing", "expected"),
    [
        (Standing(3, 1, NOON, is_swept=True), OK),
        (Standing(0, 0, None, is_swept=False), WARN),
        (Standing(0, 1, NOON, is_swept=False), FAIL),
    ],
)
def test_no_worker_fails_only_where_work_waits(standing: Standing, expected: CheckStatus) -> None:
    check = check_workers(standing)

    assert check.status is expected
    assert bool(check.fix) is (expected is not OK)


def test_reports_that_did_not_arrive_and_sub_agents_nobody_ended_are_warned_of() -> None:
    well = Standing(0, 0, NOON, is_swept=True)
    ill = Standing(0, 0, NOON, is_swept=True, failed_deliveries=1, late_sub_agents=2)

    assert [check(well).status for check in (check_deliveries, check_sub_agents)] == [OK, OK]
    assert [check(ill).status for check in (check_deliveries, check_sub_agents)] == [WARN, WARN]
    assert "1 report did not arrive" in check_deliveries(ill).detail
    assert "rca deliveries list --status failed" in check_deliveries(ill).fix
    assert "2 sub-agents" in check_sub_agents(ill).detail


def test_a_fresh_folder_has_warnings_and_no_failure() -> None:
    result = doctor()

    assert result.exit_code == 0
    assert "warn  database: there is no database at" in result.stdout
    assert "ok    model: offline/analyst" in result.stdout
    assert "no model was called" in result.stdout


def test_a_setting_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RCA_LEASE_S", "soon")

    result = doctor()

    assert result.exit_code == 1
    assert "fail  RCA_LEASE_S" in result.stdout


def test_a_mode_without_its_key_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_PROVIDER_MODE", "openrouter")

    result = doctor()

    assert result.exit_code == 1
    assert "fail  models: LLM_PROVIDER_MODE=openrouter needs a provider; set OPENROUTER_API_KEY" in result.stdout


def test_a_policy_that_cannot_be_read_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RCA_POLICY_FILE", str(tmp_path / "none.yaml"))

    result = doctor()

    assert result.exit_code == 1
    assert "until then every command is denied" in result.stdout


def test_a_redis_that_does_not_answer_fails_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:hunter2-hunter2@127.0.0.1:1/0")

    result = doctor()

    assert result.exit_code == 1
    assert "fail  Redis: 127.0.0.1:1: ConnectionError" in result.stdout
    assert "hunter2" not in result.output


def test_a_database_that_does_not_answer_fails_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://rca:hunter2-hunter2@127.0.0.1:1/rca")

    result = doctor()

    assert result.exit_code == 1
    assert "fail  database: the database does not answer" in result.stdout
    assert "hunter2" not in result.output


def test_lead_sub_agents_and_bad_role_files_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "role.md").write_text("no front matter")
    monkeypatch.setenv("ORCHESTRATOR_ENABLED", "true")
    monkeypatch.setenv("RCA_ORCHESTRATOR_MODEL", "offline/analyst")
    monkeypatch.setenv("RCA_SUBAGENT_MODEL", "offline/analyst")
    monkeypatch.setenv("RCA_ROLES_DIR", str(tmp_path))

    told = doctor().stdout

    assert "ok    model: offline/analyst  (RCA_SUBAGENT_MODEL;" in told
    assert "ok    orchestrator: offline/analyst  (RCA_ORCHESTRATOR_MODEL;" in told
    assert f"fail  roles: {tmp_path / 'role.md'}: front matter: " in told


def test_the_sandbox_and_the_operators_programs_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text("programs: {shopctl: {}}")
    monkeypatch.setenv("RCA_RULES_DIR", str(tmp_path))
    monkeypatch.setenv("RCA_SANDBOX", "none")

    said = doctor().stdout

    assert f"shopctl from {tmp_path}" in said
    assert "commands run without bubblewrap" in said
