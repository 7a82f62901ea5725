"""`rca llm test` calls a model once, over a real socket, and says what to do where that fails."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.model_server import ModelServer, Reply
from worker.cli.main import main

Serve = Callable[[Reply], ModelServer]
KEY = "sk-ant-0123456789abcdef0123456789"


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Serve]:
    """Return a function that lets Anthropic and Ollama answer with this reply."""
    opened: list[ModelServer] = []

    def start(reply: Reply) -> ModelServer:
        opened.append(ModelServer(lambda _: reply))
        given = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": opened[0].root, "OLLAMA_BASE_URL": opened[0].root}
        for name, value in (given | {"RCA_HOME": str(tmp_path)}).items():
            monkeypatch.setenv(name, value)
        return opened[0]

    yield start
    for server in opened:
        server.close()


def tried(name: str) -> Result:
    return CliRunner().invoke(main, ["llm", "test", name])


@pytest.mark.parametrize(
    ("name", "label", "wire"),
    [
        ("anthropic", "anthropic/claude-haiku-4-5", "anthropic_messages"),
        ("claude-opus-4.7", "anthropic/claude-opus-4-7", "anthropic_messages"),
        ("ollama/qwen3:8b", "ollama/qwen3:8b", "ollama_chat"),
    ],
)
def test_a_model_that_answers_is_told_with_what_it_took(serve: Serve, name: str, label: str, wire: str) -> None:
    server = serve(Reply(text="ok", usage=(9, 2)))

    result = tried(name)

    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"{label} answered within ")
    assert f"over {wire}: 9 tokens in, 2 out" in result.stdout
    assert server.count == 1


def test_a_key_that_is_refused_is_one_line_with_the_remedy_and_without_the_key(serve: Serve) -> None:
    server = serve(Reply(status=401, body=b'{"error": {"message": "invalid x-api-key"}}'))

    result = tried("anthropic")

    assert result.exit_code == 1
    assert "anthropic/claude-haiku-4-5: 401: the key is wrong or revoked" in result.stderr
    assert KEY not in result.output
    assert server.count == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [("vllm", "LLM_VLLM_MODEL"), ("no-such-model", "write provider/model"), ("openai", "OPENAI_API_KEY")],
)
def test_what_cannot_be_asked_says_what_to_set(serve: Serve, name: str, said: str) -> None:
    server = serve(Reply(text="ok"))

    result = tried(name)

    assert result.exit_code == 1
    assert said in result.stderr
    assert server.count == 0


def test_the_analyst_needs_no_test() -> None:
    assert "nothing to call" in tried("offline/analyst").stdout


def test_the_doctor_calls_each_configured_provider_and_tells_the_remedy(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(Reply(text="ok", usage=(9, 2)))
    with ModelServer(lambda _: Reply(status=401, body=b'{"error": {"message": "Invalid API key"}}')) as refusing:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_BASE_URL", refusing.openai_url)

        result = CliRunner().invoke(main, ["doctor", "--call", "--json"])

    checks = json.loads(result.output)
    told = {one["name"]: one for one in checks if "answered" in one["detail"] or "401: " in one["detail"]}
    assert result.exit_code == 1
    assert {name: one["status"] for name, one in told.items()} == {"anthropic": "ok", "ollama": "ok", "openai": "fail"}
    assert "check it for extra blanks" in told["openai"]["detail"]
    assert KEY not in result.output
