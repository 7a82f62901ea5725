"""The scripted provider is itself relied on: what it says and logs, alone and as a process."""

import json
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from tests.llm_builders import ALL_KEYS, KEY, QUERY, WIRE_NAMES, bare_settings, hello, route_of
from tests.model_server import ModelServer, Reply, by_marker, scripted
from worker.domain.conversation import AssistantMessage, Message, ModelRequest, ToolMessage, UserMessage
from worker.llm.client import ProviderClient

pytestmark = pytest.mark.parametrize("wire", WIRE_NAMES)
STEPS = scripted([Reply(tool_calls=[("query_metrics", {"name": "p99"})]), Reply(text="done")])


def client() -> ProviderClient:
    return ProviderClient(bare_settings(**ALL_KEYS, rca_call_attempts=1))


def test_a_script_follows_the_turns_of_the_conversation(wire: str) -> None:
    asking = client()
    with ModelServer(STEPS) as server:
        route = route_of(wire, server=server)
        messages: tuple[Message, ...] = (UserMessage(text="incident 7"),)
        first = asking.ask(ModelRequest(messages=messages, tools=(QUERY,)), route=route, timeout_s=5)
        (call,) = first.message.tool_requests
        result = ToolMessage(request_id=call.id, name=call.name, text="3 s")
        second = asking.ask(ModelRequest(messages=(*messages, first.message, result)), route=route, timeout_s=5)
        again = asking.ask(ModelRequest(messages=messages, tools=(QUERY,)), route=route, timeout_s=5)

    asking.close()
    assert second.message.text == "done"
    assert again.message == first.message
    assert [entry["assistant_turns"] for entry in server.request_log] == [0, 1, 0]
    (told,) = server.exchanges[1].tool_results
    assert (told.name, told.text) == (result.name, result.text)


def test_a_marker_chooses_the_script(wire: str) -> None:
    asking = client()
    script = by_marker({"[one]": scripted([Reply(text="1")])}, otherwise=scripted([Reply(text="?")]))
    with ModelServer(script) as server:
        route = route_of(wire, server=server)
        marked = asking.ask(hello(messages=(UserMessage(text="[one] x"),)), route=route, timeout_s=5)
        plain = asking.ask(hello(), route=route, timeout_s=5)

    asking.close()
    assert (marked.message.text, plain.message.text) == ("1", "?")


def test_hundreds_wait_at_the_same_time(wire: str) -> None:
    asking = client()
    answers: list[AssistantMessage] = []
    with ModelServer(lambda _: Reply(text="ok", latency_s=0.5)) as server:
        route = route_of(wire, server=server)

        def ask() -> None:
            answers.append(asking.ask(hello(), route=route, timeout_s=20).message)

        threads = [threading.Thread(target=ask) for _ in range(200)]
        started = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.monotonic() - started
        asking.close()

    assert len(answers) == 200
    assert took < 10  # one after the other they would take 100 s


def test_it_runs_as_a_process_and_logs_lines(wire: str, tmp_path: Path) -> None:
    log = tmp_path / "requests.jsonl"
    command = [sys.executable, "-m", "tests.model_server", "--script", "tests.model_server:demo", "--log", str(log)]
    asking = client()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        assert process.stdout
        address = process.stdout.readline().split()[-1]
        base = f"{address}/v1" if wire == "openai_chat" else address
        answer = asking.ask(hello(), route=route_of(wire, base_url=base), timeout_s=10)
        asking.close()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0

    assert answer.message.text == "turn 1"
    (entry,) = map(json.loads, log.read_text().splitlines())
    assert (entry["wire"], entry["first_user_text"]) == (wire, "Hello.")
    assert KEY not in log.read_text()


def test_another_path_is_not_found(wire: str) -> None:
    with ModelServer(STEPS) as server, pytest.raises(urllib.error.HTTPError, match="404") as caught:
        urllib.request.urlopen(f"{server.anthropic_url}/v2/{wire}", data=b"{}")
    caught.value.close()
