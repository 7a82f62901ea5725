"""What is particular about Ollama: no forced tools, no ids, and a window whose overflow it does not tell.

Answers are shaped as its documentation shows them (https://docs.ollama.com/api/chat).
"""

import json
from contextlib import nullcontext
from typing import Any

import pytest

from tests.llm_builders import QUERY, SEARCH, hello, route_of
from worker.domain.conversation import (
    AssistantMessage,
    JsonOutput,
    ModelAnswer,
    ModelRequest,
    StopReason,
    ToolChoice,
    Usage,
    UserMessage,
)
from worker.errors import ContextOverflowError, ModelNotFoundError
from worker.llm.failures import classify, read_refusal
from worker.llm.wires import ollama_chat as wire

ROUTE = route_of(wire.NAME, context_window=32_768)


def answer(content: str = "", **fields: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content, **fields.pop("message", {})}
    known = {"model": "qwen3:8b", "created_at": "2026-03-01T12:00:00.5Z", "done": True, "done_reason": "stop"}
    return {**known, "message": message, "prompt_eval_count": 26, "eval_count": 298, **fields}


def test_the_window_is_always_asked_for() -> None:
    assert wire.encode(hello(), ROUTE)["options"] == {"num_ctx": 32_768}


@pytest.mark.parametrize(("read", "made", "is_cut"), [(32_700, 68, False), (32_768, 0, True), (32_700, 69, True)])
def test_a_conversation_that_does_not_fit_the_window_was_cut(read: int, made: int, is_cut: bool) -> None:  # noqa: FBT001
    decoded = wire.decode(answer("x", prompt_eval_count=read, eval_count=made))

    with pytest.raises(ContextOverflowError, match="OLLAMA_NUM_CTX") if is_cut else nullcontext():
        wire.check(decoded, ROUTE)


def test_what_does_not_fit_is_to_be_refused_and_not_cut() -> None:
    body = wire.encode(hello(), ROUTE)

    assert (body["truncate"], body["shift"]) == (False, False)


@pytest.mark.parametrize("changes", [{"forced_tool": "query_metrics"}, {"tool_choice": ToolChoice.REQUIRED}])
def test_what_is_forced_is_asked_for_as_json_and_read_as_a_call(changes: dict[str, Any]) -> None:
    body = wire.encode(hello(tools=(QUERY, SEARCH), **changes), ROUTE)
    told = body["messages"][-1]["content"]

    decoded = wire.decode(answer('{"tool": "query_metrics", "arguments": {"name": "p99"}}'))

    assert "tools" not in body
    assert "Query a metric." in told
    assert ("Search logs." in told) == ("tool_choice" in changes)
    assert [(c.name, c.arguments) for c in decoded.message.tool_requests] == [("query_metrics", {"name": "p99"})]
    assert (decoded.message.text, decoded.stop_reason) == ("", StopReason.TOOL_USE)


@pytest.mark.parametrize(
    "text", ['{"tool": "x"}', '{"verdict": 1}', '{"tool": "x", "arguments": {}, "more": 1}', "{broken"]
)
def test_other_json_is_text(text: str) -> None:
    decoded = wire.decode(answer(text))

    assert (decoded.message.text, decoded.message.tool_requests) == (text, ())


def test_json_is_held_to_its_schema() -> None:
    output = JsonOutput(name="verdict", json_schema={"type": "object"})

    assert wire.encode(hello(json_output=output), ROUTE)["format"] == {"type": "object"}


def test_thinking_goes_back_to_its_own_wire_alone() -> None:
    decoded = wire.decode(answer("So.", message={"thinking": "Let me think."}))
    stored = ModelAnswer.model_validate_json(decoded.model_dump_json()).message
    foreign = AssistantMessage(text="So.", reasoning=({"thinking": "Of another."},), wire="another")

    own, other = (
        wire.encode(ModelRequest(messages=(UserMessage(text="?"), turn)), ROUTE)["messages"][1]
        for turn in (stored, foreign)
    )

    assert own == {"role": "assistant", "content": "So.", "thinking": "Let me think."}
    assert other == {"role": "assistant", "content": "So."}


def test_calls_get_ids_that_differ_between_turns() -> None:
    calls = {"tool_calls": [{"function": {"name": name, "arguments": {}}} for name in ("a", "b")]}
    first, second = (
        wire.decode(answer(message=calls, created_at=f"2026-03-01T12:00:0{n}Z")).message.tool_requests for n in (1, 2)
    )

    assert len({call.id for call in (*first, *second)}) == 4


def test_counts_that_are_missing_are_unknown() -> None:
    body = answer("x")
    assert wire.decode(body).usage == Usage(input_tokens=26, output_tokens=298)

    del body["prompt_eval_count"], body["eval_count"]

    assert wire.decode(body).usage == Usage()


def test_a_model_that_was_not_pulled_is_not_found() -> None:
    refusal = read_refusal(404, json.loads('{"error": "model \'qwen3:99b\' not found"}'))

    assert isinstance(classify(refusal), ModelNotFoundError)
