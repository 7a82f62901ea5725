"""What every wire promises, checked against the vendors' own libraries."""

import json
from typing import Any

import anthropic
import openai
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings

from tests.llm_builders import KEY, QUERY, SEARCH, WIRE_NAMES, conversation, hello, route_of, transcripts
from tests.model_server import Exchange, ModelServer, Reply, read_exchange, write_answer
from worker.domain.conversation import (
    AssistantMessage,
    JsonOutput,
    Message,
    ModelAnswer,
    ModelRequest,
    StopReason,
    ToolChoice,
    ToolRequest,
    Usage,
    UserMessage,
)
from worker.errors import MalformedAnswerError, ProviderError, TransientError
from worker.llm.wires import WIRES, Wire

pytestmark = pytest.mark.parametrize("wire", [WIRES[name] for name in WIRE_NAMES], ids=WIRE_NAMES)


def sent(wire: Wire, request: ModelRequest) -> Exchange:
    """Encode a request and read it back as the provider would."""
    route = route_of(wire.name)
    return read_exchange(wire.url(route), wire.headers(KEY), json.loads(json.dumps(wire.encode(request, route))))


def without_state(message: Message) -> Message:
    """Take off what is kept for another wire: no provider is sent a stranger's reasoning."""
    if isinstance(message, AssistantMessage):
        return message.model_copy(update={"reasoning": (), "wire": ""})
    return message


def answered(wire: Wire, reply: Reply) -> ModelAnswer:
    return wire.decode(write_answer(sent(wire, hello()), reply))


@given(messages=transcripts())
@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_transcript_reaches_the_provider_unchanged(wire: Wire, messages: tuple[Message, ...]) -> None:
    exchange = sent(wire, ModelRequest(messages=messages))

    assert list(exchange.messages) == [without_state(message) for message in messages]


@given(messages=transcripts())
@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_request_survives_storage_as_json(wire: Wire, messages: tuple[Message, ...]) -> None:
    request = ModelRequest(messages=messages, tools=(QUERY,), tool_choice=ToolChoice.REQUIRED)

    assert ModelRequest.model_validate_json(request.model_dump_json()) == request


@given(messages=transcripts())
@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_turn_of_a_model_comes_back_as_it_was_said(wire: Wire, messages: tuple[Message, ...]) -> None:
    turns = [m for m in messages if isinstance(m, AssistantMessage)]

    for turn in turns:
        calls = [(c.name, c.arguments or {}) for c in turn.tool_requests]
        heard = answered(wire, Reply(text=turn.text, tool_calls=calls)).message

        assert heard.text == turn.text
        assert [(c.name, c.arguments) for c in heard.tool_requests] == calls
        assert heard.wire == wire.name


def test_tools_choice_and_both_results_of_one_turn_arrive(wire: Wire) -> None:
    exchange = sent(wire, ModelRequest(messages=conversation(), tools=(QUERY, SEARCH)))

    assert exchange.tools == (QUERY, SEARCH)
    assert [(r.request_id, r.is_error) for r in exchange.tool_results] == [("call_a", False), ("call_b", True)]
    assert exchange.assistant_turns == 1


@pytest.mark.parametrize(
    ("changes", "openai_word", "anthropic_word"),
    [
        ({}, "auto", {"type": "auto"}),
        ({"tool_choice": ToolChoice.NONE}, "none", {"type": "none"}),
        ({"tool_choice": ToolChoice.REQUIRED}, "required", {"type": "any"}),
        (
            {"forced_tool": "search_logs"},
            {"type": "function", "function": {"name": "search_logs"}},
            {"type": "tool", "name": "search_logs"},
        ),
    ],
)
def test_a_choice_of_tools_is_said_in_the_vendors_words(
    wire: Wire, changes: dict[str, Any], openai_word: Any, anthropic_word: Any
) -> None:
    exchange = sent(wire, hello(tools=(QUERY, SEARCH), **changes))

    assert exchange.tool_choice == (openai_word if wire.name == "openai_chat" else anthropic_word)


def test_no_choice_of_tools_is_sent_without_tools(wire: Wire) -> None:
    assert "tool_choice" not in sent(wire, hello(tool_choice=ToolChoice.REQUIRED)).body


def test_arguments_that_are_no_object_are_kept_as_they_came(wire: Wire) -> None:
    for raw in ("[1, 2]", "{broken", '"text"', '{"n": NaN}', "[" * 200_000):
        answer = wire.decode(_answer_with_arguments(wire, raw))

        assert answer.message.tool_requests == (
            ToolRequest(id="c1", name="query_metrics", arguments=None, raw_arguments=raw),
        )


def test_a_call_with_unreadable_arguments_goes_back_as_an_object(wire: Wire) -> None:
    broken = ToolRequest(id="c1", name="query_metrics", arguments=None, raw_arguments="{broken")
    messages = (UserMessage(text="?"), AssistantMessage(tool_requests=(broken,)))

    (_, said) = sent(wire, ModelRequest(messages=messages)).messages

    assert isinstance(said, AssistantMessage)
    assert said.tool_requests[0].arguments == {"raw_arguments": "{broken"}


def _answer_with_arguments(wire: Wire, raw: str) -> dict[str, Any]:
    if wire.name == "openai_chat":
        call = {"id": "c1", "type": "function", "function": {"name": "query_metrics", "arguments": raw}}
        return {"choices": [{"finish_reason": "tool_calls", "message": {"content": None, "tool_calls": [call]}}]}
    block = {"type": "tool_use", "id": "c1", "name": "query_metrics", "input": raw}
    return {"content": [block], "stop_reason": "tool_use"}


def test_usage_that_is_missing_stays_unknown(wire: Wire) -> None:
    assert answered(wire, Reply(text="hi", usage=None)).usage == Usage()


@pytest.mark.parametrize(
    "body", [{}, {"choices": [], "content": None}, {"choices": None}, {"choices": [{}], "content": 3}]
)
def test_an_answer_without_its_parts_is_malformed(wire: Wire, body: dict[str, Any]) -> None:
    with pytest.raises(MalformedAnswerError):
        wire.decode(body)


def test_an_error_inside_an_answer_is_raised_as_what_it_is(wire: Wire) -> None:
    with pytest.raises(ProviderError) as caught:
        wire.decode({"error": {"code": 502, "message": "upstream is away"}})

    assert isinstance(caught.value, TransientError)
    assert caught.value.status == 502


def test_wanted_json_comes_back_as_text(wire: Wire) -> None:
    output = JsonOutput(name="verdict", json_schema={"type": "object", "properties": {"allow": {"type": "boolean"}}})
    exchange = sent(wire, hello(json_output=output))
    reply = Reply(text='{"allow": true}')
    if wire.name == "anthropic_messages":  # asked for as the call of a tool
        reply = Reply(tool_calls=[(exchange.tool_choice["name"], {"allow": True})])

    answer = wire.decode(write_answer(exchange, reply))

    assert json.loads(answer.message.text) == {"allow": True}
    assert answer.message.tool_requests == ()
    assert answer.stop_reason is StopReason.END


# The vendors' libraries as oracles


def test_we_send_what_the_vendors_library_sends(wire: Wire) -> None:
    request = ModelRequest(
        messages=conversation(), tools=(QUERY,), forced_tool="query_metrics", max_output_tokens=500, temperature=0.2
    )
    with ModelServer(lambda _: Reply(text="ok")) as server:
        _ask_with_library(wire, server, KWARGS[wire.name])
        theirs = server.exchanges[0]
        ours = sent(wire, request)

    assert ours.body == theirs.body
    assert ours.messages == theirs.messages == request.messages
    assert wire.url(route_of(wire.name, server=server)) == server.anthropic_url + theirs.path
    same = {name: value for name, value in ours.headers.items() if name not in DIFFERENCES}
    assert {name: theirs.headers[name] for name in same} == same


# The library has gone on to API version 2026-10-21, which removed temperature, and sends the key as a bearer token;
# we send the version and the header that every compatible endpoint knows. Both are documented and served.
DIFFERENCES = {"anthropic-version", "x-api-key"}

KWARGS: dict[str, dict[str, Any]] = {
    "openai_chat": {
        "model": "gpt-4.1-mini",
        "messages": [
            {"role": "system", "content": "You explain incidents."},
            {"role": "user", "content": "The checkout is slow."},
            {
                "role": "assistant",
                "content": "Let me look.",
                "tool_calls": [
                    {
                        "id": "call_a",
                        "type": "function",
                        "function": {"name": "query_metrics", "arguments": '{"name": "latency"}'},
                    },
                    {
                        "id": "call_b",
                        "type": "function",
                        "function": {"name": "search_logs", "arguments": '{"q": "timeout — 超时"}'},
                    },
                ],
            },
            {"role": "tool", "tool_call_id": "call_a", "content": "p99 3.2 s"},
            {"role": "tool", "tool_call_id": "call_b", "content": "Error: no such index"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "query_metrics",
                    "description": "Query a metric.",
                    "parameters": QUERY.parameters,
                },
            }
        ],
        "tool_choice": {"type": "function", "function": {"name": "query_metrics"}},
        "max_tokens": 500,
        "temperature": 0.2,
    },
    "anthropic_messages": {
        "model": "claude-haiku-4-5",
        "max_tokens": 500,
        "system": [{"type": "text", "text": "You explain incidents.", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "The checkout is slow.", "cache_control": {"type": "ephemeral"}},
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "Let me look."},
                    {"type": "tool_use", "id": "call_a", "name": "query_metrics", "input": {"name": "latency"}},
                    {"type": "tool_use", "id": "call_b", "name": "search_logs", "input": {"q": "timeout — 超时"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "call_a", "content": "p99 3.2 s"},
                    {
                        "type": "tool_result",
                        "tool_use_id": "call_b",
                        "content": "no such index",
                        "is_error": True,
                        "cache_control": {"type": "ephemeral"},
                    },
                ],
            },
        ],
        "tools": [
            {
                "name": "query_metrics",
                "description": "Query a metric.",
                "input_schema": QUERY.parameters,
                "cache_control": {"type": "ephemeral"},
            }
        ],
        "tool_choice": {"type": "tool", "name": "query_metrics"},
        "extra_body": {"temperature": 0.2},
    },
}


def _ask_with_library(wire: Wire, server: ModelServer, arguments: dict[str, Any]) -> Any:
    if wire.name == "openai_chat":
        with openai.OpenAI(api_key=KEY, base_url=server.openai_url, max_retries=0) as client:
            return client.chat.completions.create(**arguments)
    with anthropic.Anthropic(api_key=KEY, base_url=server.anthropic_url, max_retries=0) as client:
        return client.messages.create(**arguments)


SAMPLES = [
    Reply(text="It was the database.", usage=(321, 45)),
    Reply(text="Let me look.", tool_calls=[("query_metrics", {"name": "p99"}), ("search_logs", {"q": "é"})]),
    Reply(tool_calls=[("query_metrics", {})]),
]


@pytest.mark.parametrize("reply", SAMPLES)
def test_we_read_what_the_vendors_library_reads(wire: Wire, reply: Reply) -> None:
    with ModelServer(lambda _: reply) as server:
        body = wire.encode(hello(tools=(QUERY, SEARCH)), route_of(wire.name, server=server))
        theirs = _ask_with_library(wire, server, body)

    ours = wire.decode(theirs.model_dump(mode="json"))

    read = _read_openai if wire.name == "openai_chat" else _read_anthropic
    assert read(theirs) == {
        "text": ours.message.text,
        "calls": [(c.id, c.name, c.arguments) for c in ours.message.tool_requests],
        "stop": ours.stop_reason,
        "usage": (ours.usage.input_tokens, ours.usage.output_tokens),
        "model": ours.model,
    }


def _read_openai(answer: Any) -> dict[str, Any]:
    choice = answer.choices[0]
    calls = choice.message.tool_calls or []
    return {
        "text": choice.message.content or "",
        "calls": [(c.id, c.function.name, json.loads(c.function.arguments)) for c in calls],
        "stop": {"stop": StopReason.END, "tool_calls": StopReason.TOOL_USE}[choice.finish_reason],
        "usage": (answer.usage.prompt_tokens, answer.usage.completion_tokens),
        "model": answer.model,
    }


def _read_anthropic(answer: Any) -> dict[str, Any]:
    return {
        "text": "".join(b.text for b in answer.content if b.type == "text"),
        "calls": [(b.id, b.name, b.input) for b in answer.content if b.type == "tool_use"],
        "stop": {"end_turn": StopReason.END, "tool_use": StopReason.TOOL_USE}[answer.stop_reason],
        "usage": (answer.usage.input_tokens, answer.usage.output_tokens),
        "model": answer.model,
    }
