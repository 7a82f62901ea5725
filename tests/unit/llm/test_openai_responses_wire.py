"""What is particular about OpenAI's Responses: reasoning comes back encrypted and goes there again at its place."""

from typing import Any

import pytest

from tests.llm_builders import QUERY, hello, route_of
from worker.domain.conversation import (
    JsonOutput,
    ModelAnswer,
    ModelRequest,
    StopReason,
    ToolMessage,
    Usage,
    UserMessage,
)
from worker.errors import MalformedAnswerError, ProviderRateLimitedError
from worker.llm.wires import openai_responses as wire

ROUTE = route_of(wire.NAME)


def reasoning(number: int) -> dict[str, Any]:
    return {"type": "reasoning", "id": f"rs_{number}", "summary": [], "encrypted_content": f"secret {number}"}


def message(text: str) -> dict[str, Any]:
    return {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": text}]}


def call(number: int) -> dict[str, Any]:
    return {"type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}", "name": "q", "arguments": "{}"}


def answer(*output: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"id": "resp_1", "status": "completed", "error": None, "output": list(output), **fields}


def sent_back(answered: ModelAnswer) -> list[dict[str, Any]]:
    """Return the model's turn as it goes back after it was stored."""
    stored = ModelAnswer.model_validate_json(answered.model_dump_json()).message
    results = (ToolMessage(request_id=c.id, name=c.name, text="-") for c in stored.tool_requests)
    body = wire.encode(ModelRequest(messages=(UserMessage(text="?"), stored, *results)), ROUTE)
    return [item for item in body["input"][1:] if item.get("type") != "function_call_output"]


def test_reasoning_goes_back_before_what_came_of_it() -> None:
    said = answer(reasoning(1), message("Let me look."), call(1), reasoning(2), call(2))

    kept = sent_back(wire.decode(said))

    assert [item.get("encrypted_content") or item.get("call_id") or item.get("content") for item in kept] == [
        "secret 1",
        "Let me look.",
        "call_1",
        "secret 2",
        "call_2",
    ]


def test_a_turn_without_reasoning_keeps_nothing_besides() -> None:
    assert wire.decode(answer(message("Hm."), call(1))).message.reasoning == ()


def test_nothing_is_stored_at_the_provider_and_the_reasoning_is_asked_for() -> None:
    body = wire.encode(hello(), ROUTE)

    assert (body["store"], body["include"]) == (False, ["reasoning.encrypted_content"])


def test_a_model_that_reasons_is_sent_no_temperature() -> None:
    assert "temperature" not in wire.encode(hello(temperature=0.2), ROUTE)
    assert wire.encode(hello(temperature=0.2), route_of(wire.NAME, model="gpt-4.1"))["temperature"] == 0.2


def test_json_is_asked_for_strictly_only_where_strict_mode_takes_the_schema() -> None:
    closed = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    for schema, strict in ((closed | {"additionalProperties": False}, True), (closed, False)):
        body = wire.encode(hello(json_output=JsonOutput(name="verdict", json_schema=schema)), ROUTE)

        assert body["text"]["format"] == {"type": "json_schema", "name": "verdict", "schema": schema, "strict": strict}


def test_tools_are_never_strict() -> None:
    assert [tool["strict"] for tool in wire.encode(hello(tools=(QUERY,)), ROUTE)["tools"]] == [False]


@pytest.mark.parametrize(
    ("fields", "stop"),
    [
        ({}, StopReason.END),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, StopReason.LENGTH),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, StopReason.REFUSED),
        ({"status": "incomplete"}, StopReason.OTHER),
    ],
)
def test_how_it_stopped(fields: dict[str, Any], stop: StopReason) -> None:
    assert wire.decode(answer(message("x"), **fields)).stop_reason is stop


def test_a_refusal_is_one() -> None:
    said = {"type": "message", "content": [{"type": "refusal", "refusal": "I would rather not."}]}

    decoded = wire.decode(answer(said))

    assert (decoded.stop_reason, decoded.message.text) == (StopReason.REFUSED, "I would rather not.")


def test_an_answer_that_used_up_its_tokens_thinking_is_cut_and_not_malformed() -> None:
    cut = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}

    assert wire.decode(answer(**cut)).stop_reason is StopReason.LENGTH
    with pytest.raises(MalformedAnswerError):
        wire.decode(answer())


def test_usage_is_read_with_its_parts() -> None:
    usage = {
        "input_tokens": 900,
        "input_tokens_details": {"cached_tokens": 600},
        "output_tokens": 80,
        "output_tokens_details": {"reasoning_tokens": 50},
    }

    read = wire.decode(answer(message("x"), usage=usage)).usage

    assert read == Usage(input_tokens=900, cached_input_tokens=600, output_tokens=80, reasoning_tokens=50)


def test_a_failed_response_is_the_error_it_names() -> None:
    with pytest.raises(ProviderRateLimitedError):
        wire.decode(answer(status="failed", error={"code": "rate_limit_exceeded", "message": "slow down"}))


def test_an_azure_deployment_is_asked_with_its_version_and_its_own_header() -> None:
    route = route_of(
        wire.NAME, provider="azure", base_url="https://x.openai.azure.com/openai", api_version="2025-04-01"
    )

    assert wire.url(route) == "https://x.openai.azure.com/openai/responses?api-version=2025-04-01"
    assert wire.headers(route, "k") == {"api-key": "k"}
    assert wire.headers(ROUTE, "k") == {"authorization": "Bearer k"}
