from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.llm_builders import QUERY, SEARCH, conversation, hello, route_of, transcripts
from worker.domain.conversation import (
    AssistantMessage,
    JsonOutput,
    Message,
    ModelRequest,
    StopReason,
    SystemMessage,
    ToolChoice,
    ToolMessage,
    ToolRequest,
    UserMessage,
)
from worker.llm.wires import anthropic_messages
from worker.llm.wires.anthropic_messages import ANSWER_TOOL, DEFAULT_MAX_TOKENS, decode, encode, url

ROUTE = route_of("anthropic_messages")
THINKING: dict[str, Any] = {"type": "thinking", "thinking": "hm", "signature": "sig"}
REDACTED: dict[str, Any] = {"type": "redacted_thinking", "data": "xyz"}
TEXT: dict[str, Any] = {"type": "text", "text": "Look:"}
USE: dict[str, Any] = {"type": "tool_use", "id": "c1", "name": "query_metrics", "input": {"name": "p99"}}


def marks(part: Any) -> int:
    """Count the cache marks anywhere in a body; a text that speaks of them is none."""
    if isinstance(part, list):
        return sum(map(marks, part))
    return ("cache_control" in part) + sum(map(marks, part.values())) if isinstance(part, dict) else 0


def said_back(message: AssistantMessage) -> list[dict[str, Any]]:
    turns = encode(ModelRequest(messages=(UserMessage(text="?"), message)), ROUTE)["messages"]
    blocks: list[dict[str, Any]] = turns[1]["content"]
    return blocks


@pytest.mark.parametrize("base", ["https://h", "https://h/", "https://h/v1", "https://h/v1/messages"])
def test_the_path_is_never_doubled(base: str) -> None:
    assert url(route_of("anthropic_messages", base_url=base)) == "https://h/v1/messages"


@pytest.mark.parametrize(
    "content",
    [
        [THINKING, TEXT, USE],
        [THINKING, REDACTED, USE],
        [THINKING, TEXT],
        [THINKING, TEXT, THINKING, USE],
        [TEXT, THINKING, USE, THINKING],
        [TEXT, USE],
    ],
)
def test_a_turn_returns_block_by_block_as_it_came(content: list[dict[str, Any]]) -> None:
    message = decode({"content": content, "stop_reason": "tool_use"}).message

    stored = AssistantMessage.model_validate_json(message.model_dump_json())

    assert said_back(stored) == content


@given(st.lists(st.sampled_from(["thinking", "redacted_thinking", "text", "tool_use"]), min_size=1, max_size=8))
@hypothesis_settings(deadline=None)
def test_blocks_in_any_order_with_thinking_return_as_they_came(kinds: list[str]) -> None:
    samples: dict[str, dict[str, Any]] = {
        "thinking": THINKING,
        "redacted_thinking": REDACTED,
        "text": TEXT,
        "tool_use": USE,
    }
    content = [samples[kind] | ({"id": f"c{i}"} if kind == "tool_use" else {}) for i, kind in enumerate(kinds)]

    message = decode({"content": [THINKING, *content], "stop_reason": "tool_use"}).message

    assert said_back(AssistantMessage.model_validate_json(message.model_dump_json())) == [THINKING, *content]


def test_another_wires_reasoning_is_not_sent() -> None:
    assert said_back(AssistantMessage(text="x", reasoning=({"type": "thinking"},), wire="openai_chat")) == [
        {"type": "text", "text": "x"}
    ]


def test_an_order_that_names_a_lost_call_does_no_harm() -> None:
    message = decode({"content": [TEXT, THINKING, USE]}).message.model_copy(update={"tool_requests": ()})

    assert said_back(message) == [TEXT, THINKING]


def test_all_results_of_a_turn_come_in_one_message_before_any_text() -> None:
    calls = tuple(ToolRequest(id=i, name="query_metrics", arguments={}) for i in "ab")
    request = ModelRequest(
        messages=(
            UserMessage(text="?"),
            AssistantMessage(tool_requests=calls),
            ToolMessage(request_id="a", name="query_metrics", text="1"),
            UserMessage(text="The alert fired again."),
            ToolMessage(request_id="b", name="query_metrics", text=""),
        )
    )

    turn = encode(request, ROUTE)["messages"][2]

    assert turn["role"] == "user"
    assert [block["type"] for block in turn["content"]] == ["tool_result", "tool_result", "text"]
    assert "content" not in turn["content"][1]


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


def test_marks_stand_on_tools_system_and_the_two_newest_ends_of_turns() -> None:
    body = encode(ModelRequest(messages=conversation(), tools=(QUERY, SEARCH)), ROUTE)

    assert "cache_control" in body["tools"][-1]
    assert "cache_control" not in body["tools"][0]
    assert "cache_control" in body["system"][-1]
    assert "cache_control" in body["messages"][0]["content"][0]
    assert [("cache_control" in block) for block in body["messages"][2]["content"]] == [False, True]
    assert marks(body) == 4


def test_only_stable_messages_are_marked() -> None:
    body = encode(ModelRequest(messages=conversation(), stable_messages=2), ROUTE)

    assert "cache_control" in body["messages"][0]["content"][0]
    assert marks(body["messages"][2]) == 0
    assert marks(encode(ModelRequest(messages=conversation(), stable_messages=0), ROUTE)["messages"]) == 0


def test_max_tokens_is_always_there_and_within_the_models_limit() -> None:
    small = route_of("anthropic_messages", max_output_tokens=4096)

    assert encode(hello(), ROUTE)["max_tokens"] == DEFAULT_MAX_TOKENS
    assert encode(hello(), small)["max_tokens"] == 4096
    assert encode(hello(max_output_tokens=50), small)["max_tokens"] == 50


def test_blank_text_is_left_out() -> None:
    request = ModelRequest(messages=(SystemMessage(text=""), UserMessage(text="?"), AssistantMessage(text=" \n")))

    body = encode(request, ROUTE)

    assert "system" not in body
    assert [turn["role"] for turn in body["messages"]] == ["user"]


OUTPUT = JsonOutput(name="verdict", json_schema={"type": "object"})


@pytest.mark.parametrize(
    ("changes", "choice"),
    [
        ({}, {"type": "tool", "name": ANSWER_TOOL}),
        ({"tools": (QUERY,)}, {"type": "any"}),
        ({"tools": (QUERY,), "tool_choice": ToolChoice.NONE}, {"type": "tool", "name": ANSWER_TOOL}),
        ({"tools": (QUERY,), "forced_tool": "query_metrics"}, {"type": "tool", "name": "query_metrics"}),
    ],
)
def test_json_is_asked_for_as_a_tool_call(changes: dict[str, Any], choice: dict[str, str]) -> None:
    body = encode(hello(json_output=OUTPUT, **changes), ROUTE)

    assert body["tool_choice"] == choice
    assert body["tools"][-1] == {
        "name": ANSWER_TOOL,
        "description": "Give the final answer.",
        "input_schema": OUTPUT.json_schema,
    }


def test_a_model_that_thinks_is_not_forced() -> None:
    route = route_of("anthropic_messages", parameters={"thinking": {"type": "enabled", "budget_tokens": 2000}})

    assert encode(hello(tools=(QUERY,), forced_tool="query_metrics"), route)["tool_choice"] == {"type": "auto"}


def test_real_calls_beside_a_json_answer_are_done_first() -> None:
    answer = {"type": "tool_use", "id": "c2", "name": ANSWER_TOOL, "input": {"done": True}}

    heard = decode({"content": [USE, answer], "stop_reason": "tool_use"})

    assert [request.id for request in heard.message.tool_requests] == ["c1"]
    assert heard.stop_reason is StopReason.TOOL_USE


def test_usage_counts_what_was_cached_and_written_within_the_input() -> None:
    usage = decode(
        {
            "content": [],
            "usage": {
                "input_tokens": 10,
                "cache_read_input_tokens": 200,
                "cache_creation_input_tokens": 30,
                "output_tokens": 5,
                "output_tokens_details": {"thinking_tokens": 2},
            },
        }
    ).usage

    assert usage.model_dump() == {
        "input_tokens": 240,
        "cached_input_tokens": 200,
        "cache_write_tokens": 30,
        "output_tokens": 5,
        "reasoning_tokens": 2,
    }


@pytest.mark.parametrize(
    ("word", "stop"),
    [
        ("end_turn", StopReason.END),
        ("stop_sequence", StopReason.END),
        ("tool_use", StopReason.TOOL_USE),
        ("max_tokens", StopReason.LENGTH),
        ("model_context_window_exceeded", StopReason.LENGTH),
        ("refusal", StopReason.REFUSED),
        ("pause_turn", StopReason.OTHER),
        (None, StopReason.OTHER),
    ],
)
def test_stop_reasons(word: str | None, stop: StopReason) -> None:
    assert decode({"content": [TEXT], "stop_reason": word}).stop_reason is stop


def test_the_wire_is_named_on_what_it_hears() -> None:
    assert decode({"content": [TEXT]}).message.wire == anthropic_messages.NAME
