"""A worker whose configuration cannot work says so and ends: living on, it would only fail every step."""

import subprocess
import sys
from pathlib import Path

import pytest

from worker.lifecycle import MISCONFIGURED
from worker.settings import child_environment


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"ORCHESTRATOR_ENABLED": "true"}, "needs RCA_ORCHESTRATOR_MODEL and RCA_SUBAGENT_MODEL"),
        ({"LLM_PROVIDER_MODE": "openrouter"}, "set OPENROUTER_API_KEY"),
    ],
)
def test_a_worker_with_models_that_cannot_work_names_them_and_ends(
    tmp_path: Path, given: dict[str, str], told: str
) -> None:
    nowhere = {"RCA_HOME": str(tmp_path), "REDIS_URL": "redis://127.0.0.1:1/0"}
    command = [sys.executable, "-m", "celery", "--quiet", "-A", "worker.celery", "worker", "-P", "threads", "-c", "1"]

    done = subprocess.run(
        command,
        env=child_environment(keys=False, **nowhere, **given),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == MISCONFIGURED
    (line,) = [line for line in done.stderr.splitlines() if '"worker_refused"' in line]
    assert told in line
    assert "Traceback" not in done.stderr
