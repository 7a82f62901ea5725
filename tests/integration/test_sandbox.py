"""The cage around a command, with real bubblewrap: nothing is written or reached, what is read is the host's."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.unit.tools.test_command import context
from worker.errors import ConfigError
from worker.guardrails.policy import Policy
from worker.guardrails.table import builtin_table
from worker.tools.command import RunCommand
from worker.tools.execution import Completed, Launch, Limits, run_pipeline, run_shell
from worker.tools.sandbox import PATH, Cage, find_cage, needs_network

HERE = Path(__file__).parent
CAGE = find_cage("auto")
caged = pytest.mark.skipif(CAGE is None, reason="bubblewrap is not installed, or the kernel gives it no namespaces")


def run(*words: str) -> Completed:
    return run_pipeline([Launch(words, has_network=False)], limits=Limits(timeout_s=10), cage=CAGE)


def shell(text: str, timeout_s: float = 10) -> Completed:
    return run_shell(text, limits=Limits(timeout_s=timeout_s), cage=CAGE, has_network=False)


@caged
def test_nothing_outside_the_own_folder_can_be_written(tmp_path: Path) -> None:
    harm = f"touch {HERE}/x; touch /etc/x; echo 1 > /proc/sys/vm/swappiness; touch {tmp_path}/x"

    completed = shell(f"touch $HOME/own && ls $HOME; {harm}")

    assert completed.stdout == "own\n"
    assert completed.stderr.count("Read-only file system") == 3
    assert not (HERE / "x").exists()
    assert list(tmp_path.iterdir()) == []  # it may lie below /dev, which is another one inside


class Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"reached")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Health)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@caged
@pytest.mark.skipif(shutil.which("curl", path=PATH) is None, reason="no curl on PATH")
def test_a_program_has_the_network_only_where_the_table_gives_it(port: int) -> None:
    tool = RunCommand(Policy(), cage=CAGE)
    asking = f"import urllib.request as u; print(u.urlopen('http://127.0.0.1:{port}/health').read())"

    known = tool.run({"command": f"curl -sS http://127.0.0.1:{port}/health"}, context()).text
    unknown = tool.run({"command": f'{sys.executable} -c "{asking}"'}, context()).text

    assert json.loads(known)["stdout"] == "reached"
    assert json.loads(unknown)["stdout"] == ""
    assert "unreachable" in json.loads(unknown)["stderr"] or "refused" in json.loads(unknown)["stderr"]


def test_looking_at_the_hosts_network_needs_it() -> None:
    table = builtin_table()

    assert needs_network(("kubectl", "get", "pods"), table)
    assert needs_network(("/usr/bin/ss", "-s"), table)
    assert needs_network(("cat", "/proc/net/dev"), table)
    assert not needs_network(("cat", "/proc/meminfo"), table)
    assert not needs_network(("git", "log"), table)


@caged
def test_exit_code_streams_and_environment_are_as_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-inherited")

    completed = shell("echo out; echo err >&2; pwd; env | grep -c API_KEY; ls -A; exit 3")

    assert completed.exit_code == 3
    assert completed.stderr == "err\n"
    assert completed.stdout.split()[0] == "out"
    assert completed.stdout.split()[2:] == ["0"]


@caged
def test_limits_and_the_deadline_hold_inside() -> None:
    assert shell("ulimit -n").stdout == "1024\n"

    completed = shell("sleep 60 & echo $!; sleep 60", timeout_s=0.5)

    assert completed.timed_out
    patience = time.monotonic() + 3
    while Path(f"/proc/{completed.stdout.strip()}").exists() and time.monotonic() < patience:
        time.sleep(0.02)
    assert not Path(f"/proc/{completed.stdout.strip()}").exists()


@caged
def test_processes_and_files_of_the_host_are_seen() -> None:
    assert str(os.getpid()) in run("ps", "-e", "-o", "pid").stdout.split()
    assert run("cat", "/etc/hostname").stdout == Path("/etc/hostname").read_text()


@caged
def test_no_device_is_there() -> None:
    assert {"sda", "vda", "nvme0n1", "mem", "kmsg"} & set(run("ls", "/dev").stdout.split()) == set()


def test_a_cage_that_is_asked_for_and_cannot_be_had_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho no namespaces >&2\nexit 1\n")
    broken.chmod(0o755)

    with pytest.raises(ConfigError, match="not installed"):
        find_cage("bwrap", path=str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="no namespaces"):
        find_cage("bwrap", path=str(tmp_path))
    assert find_cage("auto", path=str(tmp_path)) is None
    assert find_cage("none") is None


def test_a_cage_is_found_where_bubblewrap_works() -> None:
    bwrap = shutil.which("bwrap", path=PATH)
    works = bwrap is not None and subprocess.run([bwrap, "--ro-bind", "/", "/", "true"], check=False).returncode == 0
    if not works:
        pytest.skip("bubblewrap is not installed, or the kernel gives it no namespaces")

    assert find_cage("bwrap") == Cage(str(bwrap))
