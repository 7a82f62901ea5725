"""`rca llm limits` shows what the fleet has sent to each account, of what it may send, and never a key."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from redis import Redis

from tests.servers import RedisServer, free_port
from worker.cli.main import main
from worker.domain.conversation import Route
from worker.llm.config_file import Limits
from worker.llm.gate import FAILURES, Asking, End, Ticket
from worker.llm.routing import Role, Router
from worker.llm.shared_gate import SharedGate
from worker.settings import load_settings

pytestmark = pytest.mark.services
KEY = "sk-ant-0123456789abcdef0123456789"
FILE = "providers: {anthropic: {limits: {requests_per_minute: 50, concurrent: 8}}}"
Configure = Callable[..., Route]


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, redis_server: RedisServer) -> Configure:
    """Return what configures Anthropic with this file and returns the route of investigations."""

    def write(text: str = FILE, *, redis_url: str = redis_server.url) -> Route:
        file = tmp_path / "llm.yaml"
        file.write_text(text)
        given = {"ANTHROPIC_API_KEY": KEY, "RCA_LLM_CONFIG": str(file), "REDIS_URL": redis_url}
        for name, value in (given | {"RCA_HOME": str(tmp_path)}).items():
            monkeypatch.setenv(name, value)
        return Router(load_settings()).route(Role.RCA)

    with Redis.from_url(redis_server.url) as redis:
        redis.flushall()
    return write


def limits() -> Result:
    return CliRunner().invoke(main, ["llm", "limits"])


def test_what_was_sent_is_told_of_what_may_be(configure: Configure, redis_server: RedisServer) -> None:
    asking = Asking(configure(), Limits(requests_per_minute=50, concurrent=8))
    with Redis.from_url(redis_server.url) as redis:
        gate = SharedGate(redis)
        tickets = [gate.enter(asking) for _ in range(3)]
        assert isinstance(tickets[0], Ticket)
        gate.leave(tickets[0], End.ANSWERED)

        result = limits()

    told = "anthropic env:ANTHROPIC_API_KEY: 3 of 50 requests a minute, 2 of 8 at a time"
    assert " ".join(result.output.split()) == told


def test_what_holds_an_account_back_is_told(configure: Configure, redis_server: RedisServer) -> None:
    asking = Asking(configure(""), Limits())
    with Redis.from_url(redis_server.url) as redis:
        gate = SharedGate(redis)
        for _ in range(FAILURES):
            ticket = gate.enter(asking)
            assert isinstance(ticket, Ticket)
            gate.leave(ticket, End.FAILED)
        gate.cool_down(asking.route, 90)

        result = limits()

    assert "no limits, left alone for 90 s, as it asked, failing: tried again in 5 s" in result.output
    assert KEY not in result.output


def test_without_a_redis_there_is_nothing_to_tell(configure: Configure) -> None:
    configure(redis_url=f"redis://127.0.0.1:{free_port()}/0")

    result = limits()

    assert result.exit_code != 0
    assert "does not answer" in str(result.output) + str(result.exception)


def test_the_analyst_has_no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RCA_HOME", str(tmp_path))

    assert limits().output == "no account is in use: offline/analyst is part of this program\n"
