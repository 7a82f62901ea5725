"""What the doctor says of providers: where each is asked, whether a server of one's own answers, what to do if not."""

import json
from typing import Any

import pytest

from tests.llm_builders import bare_settings
from worker.cli.doctor_providers import look_at_providers, read_tags
from worker.ops.health import CheckStatus

OLLAMA = {"ollama_base_url": "http://gpu:11434", "llm_ollama_model": "qwen3"}
VLLM = {"vllm_base_url": "http://gpu:8000/v1", "llm_vllm_model": "big"}
TAGS = json.dumps({"models": [{"name": "qwen3:latest"}, {"name": "gemma3:4b"}]}).encode()


def looked(answers: dict[str, bytes] | None = None, **given: Any) -> list[tuple[str, CheckStatus, str, str]]:
    found = look_at_providers(bare_settings(**given), get=(answers or {}).get)
    return [(check.name, check.status, check.detail, check.fix) for check in found]


def test_a_hosted_provider_is_told_with_its_key_and_how_to_try_it() -> None:
    (told,) = looked(anthropic_api_key="k")

    assert told[:2] == ("anthropic", CheckStatus.OK)
    assert told[2].startswith("anthropic_messages; https://api.anthropic.com; key env:ANTHROPIC_API_KEY;")
    assert "rca llm test anthropic" in told[2]


def test_a_server_of_ones_own_that_answers_is_well() -> None:
    told = looked({"http://gpu:11434/api/tags": TAGS}, **OLLAMA)

    assert told == [("ollama", CheckStatus.OK, "http://gpu:11434/api/tags answers", "")]


def test_a_model_that_was_not_pulled_is_named_with_the_command() -> None:
    told = looked({"http://gpu:11434/api/tags": TAGS}, **(OLLAMA | {"llm_ollama_model": "llama3.1"}))

    assert told[1] == ("ollama", CheckStatus.FAIL, "llama3.1 is not pulled", "`ollama pull llama3.1`")


@pytest.mark.parametrize(("given", "url"), [(OLLAMA, "http://gpu:11434/api/tags"), (VLLM, "http://gpu:8000/health")])
def test_a_silent_server_that_is_used_is_a_failure_with_the_remedies(given: dict[str, Any], url: str) -> None:
    ((_, status, detail, fix),) = looked(**given)

    assert (status, detail) == (CheckStatus.FAIL, f"{url} does not answer")
    assert "host.docker.internal" in fix


def test_a_silent_server_that_nobody_uses_is_a_warning() -> None:
    statuses = {name: status for name, status, *_ in looked(anthropic_api_key="k", vllm_base_url="http://gpu:8000")}

    assert statuses == {"anthropic": CheckStatus.OK, "vllm": CheckStatus.WARN}


def test_without_any_provider_there_is_nothing_to_say() -> None:
    assert looked() == []


def test_a_configuration_that_cannot_work_is_told_elsewhere() -> None:
    assert looked(llm_provider_mode="skynet") == []


@pytest.mark.parametrize("body", [b"", b"no json", b"[]", b'{"models": 3}'])
def test_what_is_no_list_of_models_names_none(body: bytes) -> None:
    assert read_tags(body) == frozenset()
