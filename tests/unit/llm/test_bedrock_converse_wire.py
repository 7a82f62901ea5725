"""Bedrock's wire, checked against the service model and the parser of AWS's own library."""

import base64
import json
from itertools import pairwise
from typing import Any

import botocore.session
import httpx
import pytest
from botocore.parsers import create_parser
from botocore.validate import ParamValidator
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.llm_builders import QUERY, SEARCH, conversation, hello, transcripts
from worker.domain.conversation import (
    AssistantMessage,
    JsonOutput,
    Message,
    ModelRequest,
    Route,
    StopReason,
    SystemMessage,
    ToolChoice,
    ToolMessage,
    ToolRequest,
    UserMessage,
)
from worker.errors import (
    ContextOverflowError,
    InvalidRequestError,
    MalformedAnswerError,
    ModelNotFoundError,
    ProviderAuthError,
    ProviderError,
    ProviderRateLimitedError,
    ProviderUnavailableError,
)
from worker.llm.aws_signing import AwsSigner
from worker.llm.failures import classify
from worker.llm.transport import Answered
from worker.llm.wires.anthropic_messages import ANSWER_TOOL
from worker.llm.wires.bedrock_converse import CACHE_POINT, NAME, decode, encode, refusal, url

CLAUDE, NOVA, LLAMA = "us.anthropic.claude-haiku-4-5-20251001-v1:0", "us.amazon.nova-pro-v1:0", "us.meta.llama4-v1:0"
ROUTE = Route(provider="bedrock", model=CLAUDE, wire=NAME, base_url="http://h", region="us-east-1")
CONVERSE = botocore.session.Session().get_service_model("bedrock-runtime").operation_model("Converse")
OUTPUT = JsonOutput(name="verdict", json_schema={"type": "object"})

THINKING: dict[str, Any] = {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "sig"}}}
HIDDEN: dict[str, Any] = {"reasoningContent": {"redactedContent": base64.b64encode(b"\x00\xffsealed").decode()}}
TEXT: dict[str, Any] = {"text": "Look:"}
USE: dict[str, Any] = {"toolUse": {"toolUseId": "c1", "name": "query_metrics", "input": {"name": "p99"}}}


def on(model: str, **changes: Any) -> Route:
    return ROUTE.model_copy(update={"model": model, **changes})


def said(*content: dict[str, Any], stop: str = "end_turn", **fields: Any) -> dict[str, Any]:
    usage = {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15}
    message = {"role": "assistant", "content": list(content)}
    return {"output": {"message": message}, "stopReason": stop, "usage": usage, "metrics": {"latencyMs": 1}, **fields}


def said_back(message: AssistantMessage) -> list[dict[str, Any]]:
    turns = encode(ModelRequest(messages=(UserMessage(text="?"), message)), on(LLAMA))["messages"]
    blocks: list[dict[str, Any]] = turns[1]["content"]
    return blocks


def marks(part: Any) -> int:
    """Count the cache points anywhere in a body."""
    if isinstance(part, list):
        return sum(map(marks, part))
    return ("cachePoint" in part) + sum(map(marks, part.values())) if isinstance(part, dict) else 0


# The vendor's library as the oracle


def problems(body: dict[str, Any]) -> str:
    """Say what AWS's own model of the operation finds wrong with a request."""
    return str(ParamValidator().validate({"modelId": CLAUDE, **body}, CONVERSE.input_shape).generate_report())


REQUESTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "limits": {"max_output_tokens": 500, "temperature": 0.2},
    "tools": {"messages": conversation(), "tools": (QUERY, SEARCH)},
    "forced": {"tools": (QUERY, SEARCH), "forced_tool": "query_metrics"},
    "required": {"tools": (QUERY,), "tool_choice": ToolChoice.REQUIRED},
    "json": {"json_output": OUTPUT},
    "thought": {
        "messages": (
            UserMessage(text="?"),
            AssistantMessage(text="x", reasoning=(THINKING, HIDDEN), wire=NAME),
            UserMessage(text="?"),
        )
    },
}


@pytest.mark.parametrize("changes", REQUESTS.values(), ids=REQUESTS.keys())
def test_the_vendors_library_sends_what_we_say_and_finds_nothing_wrong_with_it(changes: dict[str, Any]) -> None:
    body = encode(hello(**changes), on(CLAUDE, parameters={"top_k": 5}))

    assert problems(body) == ""
    assert json.loads(sent_by_library(body)) == body


def sent_by_library(body: dict[str, Any]) -> bytes:
    return AwsSigner().sign(body, ROUTE, "AKIA0\nsecret").body


@given(messages=transcripts())
@hypothesis_settings(max_examples=40, deadline=None)
def test_the_vendors_model_finds_nothing_wrong_with_any_transcript(messages: tuple[Message, ...]) -> None:
    body = encode(ModelRequest(messages=messages, tools=(QUERY,)), ROUTE)

    assert problems(body) == ""


SAMPLES = {
    "text": said(TEXT),
    "two calls": said(TEXT, USE, {"toolUse": {**USE["toolUse"], "toolUseId": "c2"}}, stop="tool_use"),
    "thinking": said(THINKING, HIDDEN, TEXT, USE, stop="tool_use"),
    "cut short": said(TEXT, stop="max_tokens"),
    "cached": said(
        TEXT,
        usage={
            "inputTokens": 1,
            "outputTokens": 2,
            "totalTokens": 9,
            "cacheReadInputTokens": 4,
            "cacheWriteInputTokens": 2,
        },
    ),
}


@pytest.mark.parametrize("body", SAMPLES.values(), ids=SAMPLES.keys())
def test_we_read_what_the_vendors_parser_reads(body: dict[str, Any]) -> None:
    answer = {"status_code": 200, "headers": {}, "body": json.dumps(body).encode()}
    theirs = create_parser("rest-json").parse(answer, CONVERSE.output_shape)
    blocks = theirs["output"]["message"]["content"]

    ours = decode(body)

    assert ours.message.text == "".join(block.get("text", "") for block in blocks)
    assert [(c.id, c.name, c.arguments) for c in ours.message.tool_requests] == [
        (use["toolUseId"], use["name"], use["input"]) for block in blocks if (use := block.get("toolUse"))
    ]
    assert ours.stop_reason is STOPS[theirs["stopReason"]]
    usage = theirs["usage"]
    cached, written = usage.get("cacheReadInputTokens"), usage.get("cacheWriteInputTokens")
    assert ours.usage.input_tokens == usage["inputTokens"] + (cached or 0) + (written or 0)
    assert (ours.usage.cached_input_tokens, ours.usage.cache_write_tokens) == (cached, written)
    assert ours.usage.output_tokens == usage["outputTokens"]
    hidden = [block["reasoningContent"].get("redactedContent") for block in blocks if "reasoningContent" in block]
    assert [_bytes(item) for item in ours.message.reasoning] == hidden


def _bytes(item: dict[str, Any]) -> bytes | None:
    sealed = item["reasoningContent"].get("redactedContent")
    return None if sealed is None else base64.b64decode(sealed)


STOPS = {"end_turn": StopReason.END, "tool_use": StopReason.TOOL_USE, "max_tokens": StopReason.LENGTH}


# What comes back as it came


@pytest.mark.parametrize(
    "content",
    [
        [THINKING, TEXT, USE],
        [THINKING, HIDDEN, USE],
        [THINKING, TEXT],
        [THINKING, TEXT, THINKING, USE],
        [TEXT, THINKING, USE, HIDDEN],
        [TEXT, USE],
    ],
)
def test_a_turn_returns_block_by_block_as_it_came(content: list[dict[str, Any]]) -> None:
    message = decode(said(*content, stop="tool_use")).message

    stored = AssistantMessage.model_validate_json(message.model_dump_json())

    assert said_back(stored) == content


@given(st.lists(st.sampled_from([THINKING, HIDDEN, TEXT, USE]), min_size=1, max_size=8))
@hypothesis_settings(deadline=None)
def test_blocks_in_any_order_with_thinking_return_as_they_came(drawn: list[dict[str, Any]]) -> None:
    content = [
        {"toolUse": {**USE["toolUse"], "toolUseId": f"c{i}"}} if block is USE else block
        for i, block in enumerate(drawn)
    ]

    message = decode(said(THINKING, *content)).message

    assert said_back(AssistantMessage.model_validate_json(message.model_dump_json())) == [THINKING, *content]


def test_sealed_thinking_is_sent_as_the_bytes_it_was() -> None:
    message = decode(said(HIDDEN, TEXT)).message
    body = encode(ModelRequest(messages=(UserMessage(text="?"), message)), ROUTE)

    sent = json.loads(sent_by_library(body))

    assert sent["messages"][1]["content"][0] == HIDDEN


def test_another_wires_reasoning_is_not_sent() -> None:
    assert said_back(AssistantMessage(text="x", reasoning=(THINKING,), wire="anthropic_messages")) == [{"text": "x"}]


def test_blank_text_beside_thinking_is_not_sent_back() -> None:
    message = decode(said({"text": "\n\n"}, THINKING, USE)).message

    assert said_back(message) == [THINKING, USE]


# Turns and marks


def test_all_results_of_a_turn_come_in_one_message_before_any_text_and_the_mark() -> None:
    calls = tuple(ToolRequest(id=i, name="query_metrics", arguments={}) for i in "ab")
    request = ModelRequest(
        messages=(
            UserMessage(text="?"),
            AssistantMessage(tool_requests=calls),
            ToolMessage(request_id="a", name="query_metrics", text="1"),
            UserMessage(text="The alert fired again."),
            ToolMessage(request_id="b", name="query_metrics", text=" "),
        )
    )

    turn = encode(request, ROUTE)["messages"][2]

    assert turn["role"] == "user"
    assert [next(iter(block)) for block in turn["content"]] == ["toolResult", "toolResult", "text", "cachePoint"]
    assert turn["content"][1]["toolResult"]["content"] == [{"text": "(empty)"}]


@given(messages=transcripts())
@hypothesis_settings(max_examples=60, deadline=None)
def test_roles_alternate_and_marks_are_at_most_four(messages: tuple[Message, ...]) -> None:
    body = encode(ModelRequest(messages=messages, tools=(QUERY, SEARCH)), ROUTE)

    roles = [turn["role"] for turn in body["messages"]]
    assert all(one != other for one, other in pairwise(roles))
    assert marks(body) <= 4
    assert all(turn["content"] for turn in body["messages"])


@given(messages=transcripts())
@hypothesis_settings(max_examples=60, deadline=None)
def test_a_prefix_never_changes_when_the_conversation_grows(messages: tuple[Message, ...]) -> None:
    def bare(count: int) -> list[dict[str, Any]]:
        request = ModelRequest(messages=messages[:count], stable_messages=0)
        turns: list[dict[str, Any]] = encode(request, ROUTE)["messages"]
        return [block for turn in turns for block in turn["content"]]

    whole = bare(len(messages))

    grown_at = [i for i, m in enumerate(messages) if isinstance(m, AssistantMessage)]
    assert all(bare(i) == whole[: len(bare(i))] for i in grown_at)


def test_marks_stand_behind_tools_system_and_the_two_newest_ends_of_turns() -> None:
    body = encode(ModelRequest(messages=conversation(), tools=(QUERY, SEARCH)), ROUTE)

    assert body["toolConfig"]["tools"][-1] == CACHE_POINT
    assert body["system"][-1] == CACHE_POINT
    assert [turn["content"][-1] == CACHE_POINT for turn in body["messages"]] == [True, False, True]
    assert marks(body) == 4


def test_only_stable_messages_are_marked() -> None:
    body = encode(ModelRequest(messages=conversation(), stable_messages=2), ROUTE)

    assert [marks(turn) for turn in body["messages"]] == [1, 0, 0]


@pytest.mark.parametrize(
    ("model", "caches"),
    [
        (CLAUDE, True),
        ("global.anthropic.claude-opus-4-7", True),
        ("anthropic.claude-3-7-sonnet-20250219-v1:0", True),
        ("us.anthropic.claude-3-5-sonnet-20241022-v2:0", False),
        ("us.anthropic.claude-3-haiku-20240307-v1:0", False),
        (NOVA, False),
        (LLAMA, False),
        ("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc", False),
    ],
)
def test_only_models_that_take_a_cache_point_get_one(model: str, caches: bool) -> None:  # noqa: FBT001
    body = encode(ModelRequest(messages=conversation(), tools=(QUERY,)), on(model))

    assert bool(marks(body)) is caches


@pytest.mark.parametrize(("model", "status"), [(CLAUDE, "error"), (NOVA, "error"), (LLAMA, None)])
def test_a_failed_result_is_said_by_its_status_or_its_text(model: str, status: str | None) -> None:
    *_, turn = encode(ModelRequest(messages=conversation()), on(model))["messages"]
    fine, failed = (block["toolResult"] for block in turn["content"] if "toolResult" in block)

    assert failed.get("status") == status
    assert failed["content"] == [{"text": "no such index" if status else "Error: no such index"}]
    assert "status" not in fine


# Choices and limits


@pytest.mark.parametrize(
    ("changes", "choice"),
    [
        ({"tools": (QUERY,)}, {"auto": {}}),
        ({"tools": (QUERY,), "tool_choice": ToolChoice.REQUIRED}, {"any": {}}),
        ({"tools": (QUERY,), "forced_tool": "query_metrics"}, {"tool": {"name": "query_metrics"}}),
        ({"json_output": OUTPUT}, {"tool": {"name": ANSWER_TOOL}}),
        ({"json_output": OUTPUT, "tools": (QUERY,)}, {"any": {}}),
        ({"json_output": OUTPUT, "tools": (QUERY,), "tool_choice": ToolChoice.NONE}, {"tool": {"name": ANSWER_TOOL}}),
    ],
)
def test_a_choice_is_said_in_the_formats_words(changes: dict[str, Any], choice: dict[str, Any]) -> None:
    assert encode(hello(**changes), ROUTE)["toolConfig"]["toolChoice"] == choice


def test_a_model_that_thinks_is_not_forced() -> None:
    route = on(CLAUDE, parameters={"thinking": {"type": "enabled", "budget_tokens": 2000}})

    body = encode(hello(tools=(QUERY,), forced_tool="query_metrics"), route)

    assert "toolChoice" not in body["toolConfig"]
    assert body["additionalModelRequestFields"] == route.parameters


def test_no_tools_are_offered_where_none_may_be_called_unless_some_were() -> None:
    fresh = encode(hello(tools=(QUERY,), tool_choice=ToolChoice.NONE), ROUTE)
    used = encode(ModelRequest(messages=conversation(), tools=(QUERY,), tool_choice=ToolChoice.NONE), ROUTE)

    assert "toolConfig" not in fresh
    assert used["toolConfig"]["tools"][0]["toolSpec"]["name"] == QUERY.name
    assert "toolChoice" not in used["toolConfig"]


def test_a_conversation_with_calls_names_its_tools_though_none_is_offered() -> None:
    tools = encode(ModelRequest(messages=conversation()), ROUTE)["toolConfig"]["tools"]

    assert [tool["toolSpec"]["name"] for tool in tools] == ["query_metrics", "search_logs"]


def test_limits_are_sent_where_they_are_wanted() -> None:
    small = on(CLAUDE, max_output_tokens=100)

    assert "inferenceConfig" not in encode(hello(), small)
    assert encode(hello(max_output_tokens=500, temperature=0.0), small)["inferenceConfig"] == {
        "maxTokens": 100,
        "temperature": 0.0,
    }


def test_blank_text_is_left_out() -> None:
    request = ModelRequest(messages=(SystemMessage(text=""), UserMessage(text="?"), AssistantMessage(text=" \n")))

    body = encode(request, on(LLAMA))

    assert body == {"messages": [{"role": "user", "content": [{"text": "?"}]}]}


def test_a_model_id_is_one_part_of_the_path() -> None:
    arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.x"

    assert (
        url(on(arn))
        == "http://h/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.x/converse"
    )


# Answers


def test_wanted_json_is_read_from_the_answer_tool() -> None:
    use = {"toolUse": {"toolUseId": "c2", "name": ANSWER_TOOL, "input": {"done": True}}}

    alone, beside = decode(said(use, stop="tool_use")), decode(said(USE, use, stop="tool_use"))

    assert (json.loads(alone.message.text), alone.stop_reason) == ({"done": True}, StopReason.END)
    assert [call.id for call in beside.message.tool_requests] == ["c1"]
    assert beside.stop_reason is StopReason.TOOL_USE


@pytest.mark.parametrize(
    ("word", "stop"),
    [
        ("end_turn", StopReason.END),
        ("stop_sequence", StopReason.END),
        ("tool_use", StopReason.TOOL_USE),
        ("max_tokens", StopReason.LENGTH),
        ("model_context_window_exceeded", StopReason.LENGTH),
        ("guardrail_intervened", StopReason.REFUSED),
        ("content_filtered", StopReason.REFUSED),
        ("another", StopReason.OTHER),
    ],
)
def test_stop_reasons(word: str, stop: StopReason) -> None:
    assert decode(said(TEXT, stop=word)).stop_reason is stop


@pytest.mark.parametrize("word", ["malformed_model_output", "malformed_tool_use"])
def test_what_the_model_itself_garbled_is_malformed(word: str) -> None:
    with pytest.raises(MalformedAnswerError, match=word):
        decode(said(TEXT, stop=word))


# Refusals


def refused(status: int, kind: str, message: str, *, model: str = CLAUDE) -> ProviderError:
    headers = httpx.Headers({"x-amzn-errortype": f"{kind}:http://internal.amazon.com/coral/com.amazon.bedrock/"})
    body = {"message": message}
    return classify(refusal(Answered(status, headers, json.dumps(body).encode()), body, on(model)))


@pytest.mark.parametrize(
    ("status", "kind", "message", "error"),
    [
        (
            403,
            "AccessDeniedException",
            "You don't have access to the model with the specified model ID.",
            ProviderAuthError,
        ),
        (
            403,
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
            ProviderAuthError,
        ),
        (403, "ExpiredTokenException", "The security token included in the request is expired", ProviderAuthError),
        (403, "InvalidSignatureException", "The request signature we calculated does not match", ProviderAuthError),
        (429, "ThrottlingException", "Too many requests, please wait before trying again.", ProviderRateLimitedError),
        (400, "ValidationException", "The provided model identifier is invalid.", ModelNotFoundError),
        (404, "ResourceNotFoundException", "This model version has reached the end of its life.", ModelNotFoundError),
        (400, "ValidationException", "Input is too long for requested model.", ContextOverflowError),
        (400, "ValidationException", "A conversation must start with a user message.", InvalidRequestError),
        (408, "ModelTimeoutException", "Model has timed out in processing the request.", ProviderUnavailableError),
        (424, "ModelErrorException", "The model failed.", ProviderUnavailableError),
        (429, "ModelNotReadyException", "Model is not ready for inference.", ProviderRateLimitedError),
        (500, "InternalServerException", "The server failed.", ProviderUnavailableError),
        (503, "ServiceUnavailableException", "Bedrock is unable to process your request.", ProviderUnavailableError),
    ],
)
def test_a_refusal_of_awss_is_what_it_says(status: int, kind: str, message: str, error: type[ProviderError]) -> None:
    assert type(refused(status, kind, message)) is error


@pytest.mark.parametrize(
    ("model", "whole"),
    [
        ("us.anthropic.claude-sonnet-4-5-v1:0", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("eu.anthropic.claude-haiku-4-5", "eu.anthropic.claude-haiku-4-5-20251001-v1:0"),
        ("anthropic.claude-3-haiku", "anthropic.claude-3-haiku-20240307-v1:0"),
    ],
)
def test_a_model_refused_without_its_date_is_suggested_with_it(model: str, whole: str) -> None:
    error = refused(400, "ValidationException", "The provided model identifier is invalid.", model=model)

    assert f"AWS writes it {whole}" in str(error)


@pytest.mark.parametrize("model", ["us.anthropic.claude-haiku-4-5-20251001-v1:0", "us.anthropic.claude-opus-4-7", NOVA])
def test_nothing_is_suggested_for_a_model_that_is_written_well(model: str) -> None:
    error = refused(400, "ValidationException", "The provided model identifier is invalid.", model=model)

    assert "AWS writes it" not in str(error)


def test_a_suggestion_is_only_for_a_model_that_is_not_found() -> None:
    error = refused(403, "AccessDeniedException", "no", model="us.anthropic.claude-sonnet-4-5-v1:0")

    assert "AWS writes it" not in str(error)


def test_a_model_that_wants_an_inference_profile_says_how_to_write_it() -> None:
    said_so = "Invocation of model ID x with on-demand throughput isn’t supported. Retry with an inference profile."

    error = refused(400, "ValidationException", said_so)

    assert isinstance(error, ModelNotFoundError)
    assert "us., eu., apac." in str(error)
