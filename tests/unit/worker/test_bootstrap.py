"""What a process is built from at its start."""

from pathlib import Path

from structlog.testing import capture_logs

from tests.llm_builders import bare_settings
from worker.bootstrap import build_services


def test_a_role_file_that_cannot_be_used_is_warned_about_and_the_rest_is_there(tmp_path: Path) -> None:
    (tmp_path / "bad.md").write_text("no front matter")

    with capture_logs() as lines:
        services = build_services(bare_settings(rca_home=tmp_path, rca_roles_dir=tmp_path))

    (line,) = [line for line in lines if line["event"] == "role_skipped"]
    assert line["log_level"] == "warning"
    assert line["problem"].startswith(f"{tmp_path / 'bad.md'}: front matter: ")
    assert len(services.roles.cards) == 7
    services.database.close()
