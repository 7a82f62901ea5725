"""The process that `rca web` is: it starts, speaks JSON in its log, and ends when told to."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.databases import migrated_sqlite, sqlite_url
from tests.servers import free_port
from worker.settings import child_environment

SERVE = "from worker.settings import load_settings; from worker.web.server import serve; serve(load_settings())"
TOKEN = "a-token-that-nobody-else-knows"


def environment(folder: Path, port: int, **more: str) -> dict[str, str]:
    ours = {"DATABASE_URL": sqlite_url(folder), "RCA_HOME": str(folder), "RCA_HTTP_PORT": str(port)}
    return child_environment(keys=False, REDIS_URL="redis://127.0.0.1:1/0", **ours, **more)


@contextmanager
def running(folder: Path, **more: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run the process on a free port until it answers; end it by its pid."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE], env=environment(folder, port, **more), stderr=subprocess.PIPE, text=True
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(url, process)
        yield url, process
    finally:
        process.kill()
        process.communicate(timeout=10)


def _wait(url: str, process: subprocess.Popen[str]) -> None:
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        assert process.poll() is None, "it ended"
        try:
            httpx.get(f"{url}/readyz", timeout=2).raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("it does not answer")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    migrated_sqlite(tmp_path)
    return tmp_path


def test_it_takes_an_event_without_redis_and_ends_when_told(folder: Path) -> None:
    with running(folder) as (url, process):
        answer = httpx.post(f"{url}/v1/incidents", json={"title": "checkout is slow"}, timeout=30)
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=15)

    assert answer.status_code == 202
    lines = [json.loads(line) for line in log.splitlines()]
    assert {line["process"] for line in lines} == {"web"}
    (noted,) = [line for line in lines if line["event"] == "request_answered"]
    assert (noted["route"], noted["status"]) == ("/v1/incidents", 202)


def test_with_a_token_others_may_reach_it(folder: Path) -> None:
    with running(folder, RCA_HTTP_HOST="0.0.0.0", RCA_API_TOKEN=TOKEN) as (url, _):
        without = httpx.get(f"{url}/v1/investigations")
        with_it = httpx.get(f"{url}/v1/investigations", headers={"Authorization": f"Bearer {TOKEN}"})

    assert (without.status_code, with_it.status_code) == (401, 200)


def test_without_one_it_does_not_listen(folder: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SERVE],
        env=environment(folder, free_port(), RCA_HTTP_HOST="0.0.0.0"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode != 0
    assert "ConfigError" in ended.stderr
    assert "RCA_API_TOKEN" in ended.stderr
    assert "Uvicorn running" not in ended.stderr


@pytest.mark.parametrize("command", ["web", "up"])
def test_a_sign_in_that_cannot_work_is_named_at_the_start(folder: Path, command: str) -> None:
    more = {"RCA_OIDC_ISSUER": "https://id.example.com", "RCA_OIDC_CLIENT_ID": "rca", "RCA_OIDC_ACCESS": '{"sre": {}}'}

    ended = subprocess.run(
        [sys.executable, "-m", "worker.cli.main", command],
        env=environment(folder, free_port(), **more),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode != 0
    assert "RCA_OIDC_ACCESS: sre: scopes: Field required" in ended.stderr
    assert "Traceback" not in ended.stderr
