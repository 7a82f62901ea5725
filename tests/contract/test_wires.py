"""What every wire promises, checked against the vendors' own libraries."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings

from tests.llm_builders import KEY, QUERY, SEARCH, WIRE_NAMES, conversation, hello, route_of, transcripts
from tests.model_server import Exchange, ModelServer, Reply, read_exchange, write_answer
from tests.vendor_libraries import ORACLES
from worker.domain.conversation import (
    AssistantMessage,
    JsonOutput,
    Message,
    ModelAnswer,
    ModelRequest,
    StopReason,
    ToolChoice,
    ToolDefinition,
    ToolMessage,
    ToolRequest,
    Usage,
    UserMessage,
)
from worker.errors import MalformedAnswerError, ProviderError, TransientError
from worker.llm.wires import WIRES, Wire
from worker.llm.wires.anthropic_messages import ANSWER_TOOL

pytestmark = pytest.mark.parametrize("wire", [WIRES[name] for name in WIRE_NAMES], ids=WIRE_NAMES)


def sent(wire: Wire, request: ModelRequest) -> Exchange:
    """Encode a request and read it back as the provider would."""
    route = route_of(wire.name)
    headers = wire.headers(route, KEY)
    return read_exchange(wire.url(route), headers, json.loads(json.dumps(wire.encode(request, route))))


def without_state(messages: Iterable[Message]) -> list[Message]:
    """Take off what is kept for another wire, and number calls and results: not every wire tells their ids."""
    numbers = iter(range(1000)), iter(range(1000))
    return [_bare(message, *numbers) for message in messages]


def _bare(message: Message, calls: Iterator[int], results: Iterator[int]) -> Message:
    if isinstance(message, AssistantMessage):
        requests = tuple(r.model_copy(update={"id": f"n{next(calls)}"}) for r in message.tool_requests)
        return message.model_copy(update={"reasoning": (), "wire": "", "tool_requests": requests})
    if isinstance(message, ToolMessage):
        return message.model_copy(update={"request_id": f"n{next(results)}"})
    return message


def answered(wire: Wire, reply: Reply) -> ModelAnswer:
    return wire.decode(write_answer(sent(wire, hello()), reply))


@given(messages=transcripts())
@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_transcript_reaches_the_provider_unchanged(wire: Wire, messages: tuple[Message, ...]) -> None:
    exchange = sent(wire, ModelRequest(messages=messages))

    assert without_state(exchange.messages) == without_state(messages)


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
    assert [(r.name, r.is_error) for r in exchange.tool_results] == [("query_metrics", False), ("search_logs", True)]
    assert exchange.assistant_turns == 1


def test_results_name_the_calls_they_answer(wire: Wire) -> None:
    exchange = sent(wire, ModelRequest(messages=conversation(), tools=(QUERY, SEARCH)))

    turn = next(m for m in exchange.messages if isinstance(m, AssistantMessage))
    assert [r.request_id for r in exchange.tool_results] == [c.id for c in turn.tool_requests]


def _call_of(tool: ToolDefinition) -> dict[str, Any]:
    """Return the schema of an answer that calls this tool."""
    named = {"tool": {"type": "string", "enum": [tool.name]}, "arguments": tool.parameters}
    return {"type": "object", "properties": named, "required": ["tool", "arguments"]}


CHOICES: dict[str, dict[str, Any]] = {
    "openai_chat": {
        "auto": "auto",
        "none": "none",
        "required": "required",
        "search_logs": {"type": "function", "function": {"name": "search_logs"}},
    },
    "anthropic_messages": {
        "auto": {"type": "auto"},
        "none": {"type": "none"},
        "required": {"type": "any"},
        "search_logs": {"type": "tool", "name": "search_logs"},
    },
    "openai_responses": {
        "auto": "auto",
        "none": "none",
        "required": "required",
        "search_logs": {"type": "function", "name": "search_logs"},
    },
    "gemini_generate": {
        "auto": {"mode": "AUTO"},
        "none": {"mode": "NONE"},
        "required": {"mode": "ANY"},
        "search_logs": {"mode": "ANY", "allowedFunctionNames": ["search_logs"]},
    },
    "bedrock_converse": {
        "auto": {"auto": {}},
        "none": None,
        "required": {"any": {}},
        "search_logs": {"tool": {"name": "search_logs"}},
    },
    "ollama_chat": {
        "auto": None,
        "none": None,
        "required": {"anyOf": [_call_of(QUERY), _call_of(SEARCH)]},
        "search_logs": _call_of(SEARCH),
    },
}
"""How each says whether and what the model has to call; Ollama is given a schema for the answer."""


@pytest.mark.parametrize("choice", ["auto", "none", "required", "search_logs"])
def test_a_choice_of_tools_is_said_in_the_vendors_words(wire: Wire, choice: str) -> None:
    changes = {"forced_tool": choice} if choice == SEARCH.name else {"tool_choice": ToolChoice(choice)}

    exchange = sent(wire, hello(tools=(QUERY, SEARCH), **changes))

    assert exchange.tool_choice == CHOICES[wire.name][choice]


def test_no_choice_of_tools_is_sent_without_tools(wire: Wire) -> None:
    assert sent(wire, hello(tool_choice=ToolChoice.REQUIRED)).tool_choice is None


def test_arguments_that_are_no_object_are_kept_as_they_came(wire: Wire) -> None:
    for raw in ("[1, 2]", "{broken", '"text"', '{"n": NaN}', "[" * 200_000):
        (request,) = wire.decode(_answer_with_arguments(wire, raw)).message.tool_requests

        assert (request.name, request.arguments, request.raw_arguments) == ("query_metrics", None, raw)


def test_a_call_with_unreadable_arguments_goes_back_as_an_object(wire: Wire) -> None:
    broken = ToolRequest(id="c1", name="query_metrics", arguments=None, raw_arguments="{broken")
    messages = (UserMessage(text="?"), AssistantMessage(tool_requests=(broken,)))

    (_, said) = sent(wire, ModelRequest(messages=messages)).messages

    assert isinstance(said, AssistantMessage)
    assert said.tool_requests[0].arguments == {"raw_arguments": "{broken"}


def _answer_with_arguments(wire: Wire, raw: str) -> dict[str, Any]:
    answer = write_answer(sent(wire, hello(tools=(QUERY,))), Reply(tool_calls=[("query_metrics", {"marked": 1})]))
    marks: tuple[Any, ...] = ({"marked": 1}, '{"marked": 1}')
    found: dict[str, Any] = _replaced(answer, marks, raw)
    return found


def _replaced(value: Any, old: tuple[Any, ...], new: Any) -> Any:
    """Put something else wherever one of these stands."""
    if value in old:
        return new
    if isinstance(value, dict):
        return {name: _replaced(inner, old, new) for name, inner in value.items()}
    return [_replaced(inner, old, new) for inner in value] if isinstance(value, list) else value


def test_usage_that_is_missing_stays_unknown(wire: Wire) -> None:
    assert answered(wire, Reply(text="hi", usage=None)).usage == Usage()


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"choices": [], "content": None, "output": [], "candidates": [], "message": None},
        {"choices": None, "candidates": None, "output": None},
        {"choices": [{}], "content": 3, "output": 3, "candidates": [{}], "message": []},
    ],
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
    assert '"allow"' in json.dumps(exchange.body)
    reply = Reply(text='{"allow": true}')
    if wire.name in {"anthropic_messages", "bedrock_converse"}:  # asked for as the call of a tool
        reply = Reply(tool_calls=[(ANSWER_TOOL, {"allow": True})])

    answer = wire.decode(write_answer(exchange, reply))

    assert json.loads(answer.message.text) == {"allow": True}
    assert answer.message.tool_requests == ()
    assert answer.stop_reason is StopReason.END


# The vendors' libraries as oracles


def test_we_send_what_the_vendors_library_sends(wire: Wire) -> None:
    oracle = ORACLES[wire.name]
    changes = {} if wire.name == "ollama_chat" else {"forced_tool": "query_metrics"}
    request = ModelRequest(messages=conversation(), tools=(QUERY,), max_output_tokens=500, temperature=0.2, **changes)
    with ModelServer(lambda _: Reply(text="ok")) as server:
        oracle.ask(server.root, oracle.arguments)
        theirs = server.exchanges[0]
        ours = sent(wire, request)

    assert ours.body == oracle.spelled(theirs.body)
    assert without_state(ours.messages) == without_state(theirs.messages) == without_state(request.messages)
    assert wire.url(route_of(wire.name, server=server)) == server.root + theirs.path
    same = {name: value for name, value in ours.headers.items() if name not in oracle.other_headers}
    assert {name: theirs.headers[name] for name in same} == same


SAMPLES = [
    Reply(text="It was the database.", usage=(321, 45)),
    Reply(text="Let me look.", tool_calls=[("query_metrics", {"name": "p99"}), ("search_logs", {"q": "é"})]),
    Reply(tool_calls=[("query_metrics", {})]),
]


@pytest.mark.parametrize("reply", SAMPLES)
def test_we_read_what_the_vendors_library_reads(wire: Wire, reply: Reply) -> None:
    oracle = ORACLES[wire.name]
    with ModelServer(lambda _: reply) as server:
        theirs = oracle.read(oracle.ask(server.root, oracle.arguments))
        body = write_answer(server.exchanges[0], reply)

    ours = wire.decode(body)

    assert theirs == {
        "text": ours.message.text,
        "calls": [(c.name, c.arguments) for c in ours.message.tool_requests],
        "is_calling": ours.stop_reason is StopReason.TOOL_USE,
        "usage": (ours.usage.input_tokens, ours.usage.output_tokens),
        "model": ours.model,
    }
