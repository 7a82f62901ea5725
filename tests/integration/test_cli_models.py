"""Models changed from the command line: aliases, access, reloads, keys and the audit chain, on both databases."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from worker.cli.main import main

Run = Callable[..., Result]
HAIKU = "anthropic/claude-haiku-4.5"
KEY = "sk-ant-0123456789abcdef0123456789"


@pytest.fixture
def run(database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    given = {
        "DATABASE_URL": database_url,
        "RCA_HOME": str(tmp_path),
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "ANTHROPIC_API_KEY": KEY,
        "OPENAI_API_KEY": "key-of-openai-in-a-variable",
        "LLM_PROVIDER_MODE": "direct",
        "AURORA_SECRET_KEY": "a-seed",
        "RCA_MODEL_LIST_S": "0",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return lambda *arguments, **how: CliRunner().invoke(main, list(arguments), **how)


def test_an_alias_is_set_listed_explained_and_removed(run: Run) -> None:
    assert run("llm", "alias", "set", "regular", HAIKU).output == f"regular stands for {HAIKU}\n"
    assert f"regular -> {HAIKU}" in run("llm", "alias", "list").output
    steps = run("llm", "explain", "regular").output.splitlines()
    assert f"alias: regular stands for {HAIKU}" in steps
    assert "wire: anthropic_messages" in steps
    run("llm", "alias", "remove", "regular")

    assert run("llm", "explain", "regular").exit_code == 1
    assert run("llm", "alias", "remove", "regular").exit_code == 2


def test_a_rule_is_explained_for_a_path(run: Run) -> None:
    assert "openai/gpt-4o: /team/alpha" in run("llm", "access", "set", "openai/gpt-4o", "--path", "team/alpha").output
    alpha = run("llm", "explain", "openai/gpt-4o", "--user-path", "/team/alpha/svc")
    beta = run("llm", "explain", "openai/gpt-4o", "--user-path", "/team/beta")

    assert alpha.output.splitlines()[-1] == "access of /team/alpha/svc: may use openai/gpt-4o"
    assert beta.output.splitlines()[-1] == "access of /team/beta: refused: it may not use openai/gpt-4o"
    run("llm", "access", "set", "anthropic/", "--nobody")
    assert "anthropic/: nobody" in run("llm", "access", "list").output
    assert run("llm", "access", "set", "openai/").exit_code == 2
    run("llm", "access", "remove", "openai/gpt-4o")
    assert "openai/gpt-4o" not in run("llm", "access", "list").output


def test_a_key_is_stored_from_standard_input_and_shown_nowhere(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = run("secrets", "put", "deepseek", input="sk-deepseek-0123456789\n")
    assert stored.output == "the key of deepseek is stored (database)\n"
    assert (
        "configured: openai_chat; https://api.deepseek.com; key env:LLM_DEEPSEEK_API_KEY" in run("llm", "list").output
    )

    monkeypatch.setenv("AURORA_SECRET_KEY_PREVIOUS", "a-seed")
    monkeypatch.setenv("AURORA_SECRET_KEY", "another-seed")
    assert "1 key sealed anew" in run("secrets", "rotate").output
    monkeypatch.delenv("AURORA_SECRET_KEY_PREVIOUS")
    assert run("secrets", "remove", "deepseek").output == "no key of deepseek is stored any more\n"
    assert "0123456789" not in run("audit", "list").output


def test_the_chain_is_listed_and_verified_with_a_checkpoint(run: Run, tmp_path: Path) -> None:
    run("llm", "alias", "set", "regular", HAIKU)
    run("llm", "alias", "set", "regular", "regular")
    told = run("audit", "list").output
    file = tmp_path / "audit.json"
    file.write_text(run("audit", "checkpoint").stdout)

    assert "done    alias.put      regular" in told
    assert "refused alias.put      regular" in told
    assert "by cli:" in told
    assert run("audit", "verify").output == "the chain is whole\n"
    assert "holds what it held at row 2" in run("audit", "verify", "--checkpoint", str(file)).output
    forged = json.loads(file.read_text()) | {"seq": 1}
    file.write_text(json.dumps(forged))
    assert run("audit", "verify", "--checkpoint", str(file)).exit_code == 2


def test_5_8_a_reload_takes_a_file_that_works_and_refuses_one_that_does_not(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "llm.yaml"
    file.write_text("llm: {aliases: {fast: anthropic/claude-haiku-4.5}}")
    monkeypatch.setenv("RCA_LLM_CONFIG", str(file))

    done = run("llm", "reload", "--config", str(file))
    file.write_text("llm:\n  aliases:\n    fast: nobody\n")
    refused = run("llm", "reload")

    assert "generation 1 holds for new investigations" in done.output
    assert refused.exit_code == 2
    assert "llm.aliases.fast: nobody is no profile" in refused.output
    other = tmp_path / "other.yaml"
    other.write_text("")
    assert "RCA_LLM_CONFIG is" in run("llm", "reload", "--config", str(other)).output
