"""The parts of `rca up` that need no processes."""

import io
import os
import signal
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import redirect_stdout
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.servers import free_port
from worker.cli.main import main
from worker.cli.up import Herald, Stop, flower_auth, printer, require_free_ports, stop_signals
from worker.cli.upfile import (
    UpFile,
    describe_up,
    find_redis_url,
    only_one,
    read_up_file,
    remove_up_file,
    write_up_file,
)
from worker.errors import ConfigError, UserError
from worker.ops.redaction import Redactor
from worker.settings import Settings

UP = UpFile(
    pid=os.getpid(),
    redis_url="redis://:hunter2-hunter2@127.0.0.1:7000/0",
    redis_kind="embedded, installed",
    web_url="http://127.0.0.1:8642",
    local_url="http://127.0.0.1:8642",
    database="sqlite",
    processes={"web": 1},
)


class Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
        pass


def test_the_up_file_is_read_back_and_private(tmp_path: Path) -> None:
    write_up_file(tmp_path, UP)

    assert read_up_file(tmp_path) == UP
    assert stat.S_IMODE((tmp_path / "up.json").stat().st_mode) == 0o600


def test_no_file_a_broken_file_and_a_dead_owner_mean_nothing_runs(tmp_path: Path) -> None:
    assert read_up_file(tmp_path) is None
    (tmp_path / "up.json").write_text("{")
    assert read_up_file(tmp_path) is None
    write_up_file(tmp_path, UP.model_copy(update={"pid": 2**22 + 1}))
    assert read_up_file(tmp_path) is None


def test_a_removed_file_may_be_removed_again(tmp_path: Path) -> None:
    write_up_file(tmp_path, UP)

    remove_up_file(tmp_path)
    remove_up_file(tmp_path)

    assert read_up_file(tmp_path) is None


def test_redis_is_the_configured_one_before_the_embedded(tmp_path: Path) -> None:
    write_up_file(tmp_path, UP)

    assert find_redis_url(Settings(rca_home=tmp_path, redis_url="redis://other")) == "redis://other"
    assert find_redis_url(Settings(rca_home=tmp_path)) == UP.redis_url


def test_without_any_redis_the_message_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="rca up"):
        find_redis_url(Settings(rca_home=tmp_path))


def test_a_second_up_in_one_home_is_refused(tmp_path: Path) -> None:
    with only_one(tmp_path), pytest.raises(UserError, match="already runs"), only_one(tmp_path):
        pass
    with only_one(tmp_path):
        pass


def test_the_summary_names_places_and_no_password() -> None:
    text = "\n".join(describe_up(UP, names=["redis", "web"]))

    assert "http://127.0.0.1:8642" in text
    assert "redis, web" in text
    assert "hunter2" not in text
    assert Redactor().scrub(text) == text  # it goes through the log, which takes out what looks like a password


def test_a_taken_port_names_its_variable(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(rca_home=tmp_path, rca_http_port=taken.getsockname()[1])

        with pytest.raises(UserError, match="set RCA_HTTP_PORT"):
            require_free_ports(settings, flower=False)


def test_flowers_port_matters_only_with_flower(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(rca_home=tmp_path, rca_http_port=free_port(), rca_flower_port=taken.getsockname()[1])

        require_free_ports(settings, flower=False)


def test_flowers_password_is_the_configured_one_or_a_new_one() -> None:
    assert flower_auth(Settings(rca_flower_auth="me:pw")) == "me:pw"
    assert flower_auth(Settings()) != flower_auth(Settings())


@pytest.mark.parametrize("value", ["password", ":", "me:", ":pw"])
def test_flowers_password_needs_a_user(value: str) -> None:
    with pytest.raises(ConfigError, match="RCA_FLOWER_AUTH"):
        flower_auth(Settings(rca_flower_auth=value))


def test_lines_carry_the_name_and_no_secret() -> None:
    stream = io.StringIO()

    with redirect_stdout(stream):
        printer(Redactor(("hunter2-hunter2",)))("flower", "broker redis://:hunter2-hunter2@host")

    assert stream.getvalue().startswith("flower     | broker redis://:")
    assert "hunter2" not in stream.getvalue()


@pytest.fixture
def healthy_url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Healthy) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_it_is_ready_once_when_healthz_answers(healthy_url: str) -> None:
    said: list[str] = []
    herald = Herald(UP.model_copy(update={"local_url": healthy_url}), say=lambda _name, line: said.append(line))

    herald.look(["web"])
    herald.look(["web"])

    assert said == describe_up(UP, names=["web"])


def test_it_is_silent_while_nothing_answers() -> None:
    said: list[str] = []
    herald = Herald(
        UP.model_copy(update={"local_url": f"http://127.0.0.1:{free_port()}"}), say=lambda _, line: said.append(line)
    )

    herald.look(["web"])

    assert said == []


def test_the_first_signal_asks_and_the_second_hurries() -> None:
    before = signal.getsignal(signal.SIGTERM)

    with stop_signals(after_s=None) as stop:
        states = [(stop.is_asked(), stop.is_hurried())]
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.raise_signal(number)
            states.append((stop.is_asked(), stop.is_hurried()))

    assert states == [(False, False), (True, False), (True, True)]
    assert signal.getsignal(signal.SIGTERM) is before


def test_time_that_is_up_asks_too() -> None:
    assert Stop(after_s=0).is_asked()
    assert not Stop(after_s=60).is_asked()


def test_models_that_cannot_work_are_named_before_anything_is_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RCA_HOME", str(tmp_path))
    monkeypatch.setenv("ORCHESTRATOR_ENABLED", "true")

    result = CliRunner().invoke(main, ["up", "--for", "0"])

    assert result.exit_code == 2
    assert "needs RCA_ORCHESTRATOR_MODEL and RCA_SUBAGENT_MODEL" in result.stderr
    assert list(tmp_path.iterdir()) == []
