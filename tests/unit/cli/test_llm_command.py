"""`rca llm` says which model is used and why, and never a key."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.model_server import ModelServer, Reply, demo
from worker.cli.main import main

KEY = "sk-ant-0123456789abcdef0123456789"


@pytest.fixture(autouse=True)
def empty_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RCA_HOME", str(tmp_path))


def llm(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["llm", *arguments])


def test_without_a_key_the_analyst_investigates_and_nobody_judges() -> None:
    result = llm("routes")

    assert result.exit_code == 0
    assert [line.split()[:2] for line in result.stdout.splitlines()] == [
        ["rca", "offline/analyst"],
        ["judge", "none:"],
        ["questions", "offline/analyst"],
    ]
    assert "no provider is configured" in result.stderr


def test_routes_name_model_origin_and_key_but_not_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("RCA_MODEL", "anthropic/claude-haiku-4.5")

    result = llm("routes")

    assert "(RCA_MODEL; anthropic_messages; key env:ANTHROPIC_API_KEY; data leaves this host)" in result.stdout
    assert KEY not in result.output


def test_a_name_is_explained_to_its_route(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)

    result = llm("explain", "anthropic/claude-haiku-4.5")

    assert result.exit_code == 0
    assert result.stdout.startswith("mode: direct")
    assert "wire: anthropic_messages" in result.stdout
    assert KEY not in result.output


def test_a_name_that_leads_nowhere_is_refused_with_code_1() -> None:
    result = llm("explain", "no-such-model")

    assert result.exit_code == 1
    assert "refused: no provider is known" in result.stdout


def test_a_configuration_that_cannot_work_is_one_line_with_code_2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_PROVIDER_MODE", "nonsense")

    result = llm("routes")

    assert result.exit_code == 2
    assert result.stderr.startswith("Error: LLM_PROVIDER_MODE=nonsense is not a mode")


def test_orchestrated_routes_name_lead_sub_agents_and_roles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    front = "---\nname: {0}\ndescription: D.\ntools: ['*']\nmodel: {1}\n---\nLook.\n"
    (tmp_path / "a.md").write_text(front.format("own", "offline/analyst"))
    (tmp_path / "b.md").write_text(front.format("lost", "openai/gpt-4.1"))
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("ORCHESTRATOR_ENABLED", "true")
    monkeypatch.setenv("RCA_ORCHESTRATOR_MODEL", "anthropic/claude-opus-4.7")
    monkeypatch.setenv("RCA_SUBAGENT_MODEL", "anthropic/claude-sonnet-4.6")
    monkeypatch.setenv("RCA_ROLES_DIR", str(tmp_path))

    result = llm("routes")

    models = {
        line.partition("  ")[0].strip(): line.partition("  ")[2].split()[0] for line in result.stdout.splitlines()
    }
    assert models == {
        "orchestrator": "anthropic/claude-opus-4-7",
        "subagent": "anthropic/claude-sonnet-4-6",
        "role own": "offline/analyst",
        "judge": "anthropic/claude-haiku-4-5",
        "questions": "anthropic/claude-sonnet-4-6",
    }
    assert "warning: role lost uses the sub-agents' model" in result.stderr


def test_a_role_is_explained_with_what_counts_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("LLM_ANTHROPIC_MODEL", "claude-opus-4.7")

    result = llm("explain")

    lines = result.stdout.splitlines()
    assert lines[1:4] == ["role: rca", "RCA_MODEL: unset", "LLM_ANTHROPIC_MODEL: claude-opus-4.7"]
    assert "model id there: claude-opus-4-7" in lines


def test_the_list_holds_what_an_endpoint_lists_itself_and_names_the_one_that_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tags = Reply(body=b'{"models": [{"name": "qwen3:8b", "model": "qwen3:8b"}]}')
    with ModelServer(demo, lists=lambda path, _: tags if path == "/api/tags" else Reply(status=401)) as server:
        monkeypatch.setenv("OLLAMA_BASE_URL", server.root)
        monkeypatch.setenv("OPENAI_BASE_URL", server.openai_url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        result = llm("list")

    models = result.stdout.split("\n\n")[1]
    assert "ollama/qwen3:8b " in models
    assert "openai/gpt-4.1 " in models
    assert "models_unlisted" in result.stderr
    assert "provider=openai" in result.stderr
    assert KEY not in result.output


def test_the_list_says_what_each_provider_needs_and_what_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("OLLAMA_BASE_URL", "http://gpu:11434")
    monkeypatch.setenv("RCA_MODEL_LIST_S", "0")

    providers, models = llm("list").stdout.split("\n\n")

    standing = {line.split()[0]: line.split(maxsplit=1)[1] for line in providers.splitlines()}
    assert standing["anthropic"].startswith("configured: anthropic_messages; https://api.anthropic.com; key env:")
    assert standing["ollama"] == "configured: ollama_chat; http://gpu:11434; key none"
    assert standing["google"] == "not configured; set GOOGLE_AI_API_KEY"
    assert len(standing) == 11
    assert "anthropic/claude-haiku-4.5 " in models
    assert "openai/" not in models
    assert KEY not in providers + models
