"""vLLM's answers over OpenAI's wire, shaped as it documents and reports them.

Shapes: https://docs.vllm.ai/en/latest/features/tool_calling.html and features/reasoning_outputs.html; errors of older
and newer releases as in https://github.com/vllm-project/vllm/issues/4667 and /pull/37011.
"""

from typing import Any

import pytest

from worker.domain.conversation import StopReason
from worker.errors import ContextOverflowError, InvalidRequestError, ModelNotFoundError, ProviderError
from worker.llm.failures import classify, read_refusal
from worker.llm.wires import openai_chat

TOO_LONG = "This model's maximum context length is 16384 tokens. However, you requested 122946 tokens."


def answered(message: dict[str, Any], *, finish: str = "stop") -> dict[str, Any]:
    """Return an answer with all that vLLM writes into one, its own fields and nulls included."""
    return {
        "id": "chatcmpl-4d2f",
        "object": "chat.completion",
        "created": 1772366400,
        "model": "Qwen/Qwen3-32B",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": None,
                    "refusal": None,
                    "annotations": None,
                    "audio": None,
                    "function_call": None,
                    "tool_calls": [],
                    **message,
                },
                "logprobs": None,
                "finish_reason": finish,
                "stop_reason": None,
                "token_ids": None,
            }
        ],
        "service_tier": None,
        "system_fingerprint": None,
        "usage": {"prompt_tokens": 155, "total_tokens": 230, "completion_tokens": 75, "prompt_tokens_details": None},
        "prompt_logprobs": None,
        "prompt_token_ids": None,
        "kv_transfer_params": None,
    }


def test_tool_calls_and_usage_are_read_past_all_that_is_null() -> None:
    function = {"name": "query_metrics", "arguments": '{"name": "latency"}'}
    call = {"id": "chatcmpl-tool-9c1", "type": "function", "function": function}

    answer = openai_chat.decode(answered({"tool_calls": [call]}, finish="tool_calls"))

    (request,) = answer.message.tool_requests
    assert (request.id, request.name, request.arguments) == ("chatcmpl-tool-9c1", "query_metrics", {"name": "latency"})
    assert answer.stop_reason is StopReason.TOOL_USE
    assert answer.usage.model_dump() == {
        "input_tokens": 155,
        "cached_input_tokens": None,
        "cache_write_tokens": None,
        "output_tokens": 75,
        "reasoning_tokens": None,
    }


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_is_not_taken_for_what_was_said(field: str) -> None:
    answer = openai_chat.decode(answered({field: "9.8 is the greater", "content": "9.8"}))

    assert answer.message.text == "9.8"
    assert answer.stop_reason is StopReason.END


def test_a_forced_tool_that_ends_with_stop_is_a_tool_call_all_the_same() -> None:
    call = {"id": "chatcmpl-tool-1", "type": "function", "function": {"name": "submit_report", "arguments": "{}"}}

    answer = openai_chat.decode(answered({"tool_calls": [call]}, finish="stop"))

    assert [request.name for request in answer.message.tool_requests] == ["submit_report"]
    assert answer.stop_reason is StopReason.TOOL_USE


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (400, {"object": "error", "message": TOO_LONG, "type": "BadRequestError", "code": 400}, ContextOverflowError),
        (400, {"error": {"message": TOO_LONG, "type": "BadRequestError", "code": 400}}, ContextOverflowError),
        (
            400,
            {"error": {"message": "…", "type": "BadRequestError", "code": "context_length_exceeded"}},
            ContextOverflowError,
        ),
        (
            404,
            {"object": "error", "message": "The model `x` does not exist.", "type": "NotFoundError", "code": 404},
            ModelNotFoundError,
        ),
        (
            400,
            {"object": "error", "message": "max_tokens must be at least 1, got -186.", "type": "BadRequestError"},
            InvalidRequestError,
        ),
    ],
)
def test_refusals_of_older_and_newer_releases_are_told_apart(
    status: int, error: dict[str, Any], expected: type[ProviderError]
) -> None:
    assert type(classify(read_refusal(status, error))) is expected
