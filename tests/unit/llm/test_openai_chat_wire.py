from collections.abc import Mapping

import pytest

from tests.llm_builders import QUERY, conversation, hello, route_of
from worker.domain.conversation import (
    AssistantMessage,
    JsonOutput,
    ModelRequest,
    Route,
    StopReason,
    ToolRequest,
    UserMessage,
)
from worker.errors import ProviderRateLimitedError, ProviderUnavailableError
from worker.llm.wires import openai_chat
from worker.llm.wires.openai_chat import decode, encode, url

OPENAI = route_of("openai_chat")
OPENROUTER = route_of("openai_chat", provider="openrouter", model="anthropic/claude-haiku-4.5")
DEEPSEEK = route_of("openai_chat", provider="openai-compatible", model="deepseek-reasoner")
DETAILS = ({"type": "reasoning.text", "text": "hm", "signature": "sig"}, {"type": "reasoning.encrypted", "data": "x"})
CALL = ToolRequest(id="c1", name="query_metrics", arguments={})


def answer(message: Mapping[str, object], *, finish: str = "stop", **fields: object) -> dict[str, object]:
    return {"id": "gen-1", "choices": [{"finish_reason": finish, "message": message}], **fields}


def said_back(message: AssistantMessage, route: Route) -> dict[str, object]:
    request = ModelRequest(messages=(UserMessage(text="?"), message))
    sent: dict[str, object] = encode(request, route)["messages"][1]
    return sent


@pytest.mark.parametrize("base", ["https://h/v1", "https://h/v1/", "https://h/v1/chat/completions"])
def test_the_path_is_never_doubled(base: str) -> None:
    assert url(route_of("openai_chat", base_url=base)) == "https://h/v1/chat/completions"


def test_openrouters_reasoning_returns_unchanged_and_in_order() -> None:
    heard = decode(answer({"content": "x", "reasoning_details": list(DETAILS)}))

    assert said_back(heard.message, OPENROUTER)["reasoning_details"] == list(DETAILS)


def test_deepseeks_reasoning_returns_on_tool_turns_only() -> None:
    tool_calls = [{"id": "c1", "function": {"name": "query_metrics", "arguments": "{}"}}]
    with_tools = decode(answer({"content": "", "reasoning_content": "because", "tool_calls": tool_calls}))
    without = decode(answer({"content": "done", "reasoning_content": "because"}))

    assert said_back(with_tools.message, DEEPSEEK)["reasoning_content"] == "because"
    assert "reasoning_content" not in said_back(without.message, DEEPSEEK)


@pytest.mark.parametrize("route", [OPENAI, DEEPSEEK])
def test_one_providers_reasoning_is_not_sent_to_another(route: Route) -> None:
    message = AssistantMessage(tool_requests=(CALL,), reasoning=DETAILS, wire=openai_chat.NAME)

    assert said_back(message, route).keys() == {"role", "content", "tool_calls"}


def test_another_wires_reasoning_is_not_sent() -> None:
    message = AssistantMessage(text="x", reasoning=DETAILS, wire="anthropic_messages")

    assert "reasoning_details" not in said_back(message, OPENROUTER)


def test_anthropics_models_behind_openrouter_get_cache_marks() -> None:
    messages = encode(ModelRequest(messages=conversation()), OPENROUTER)["messages"]

    marked = [i for i, m in enumerate(messages) if isinstance(m["content"], list)]
    assert marked == [0, 1, 4]
    assert messages[4]["content"][0]["cache_control"] == {"type": "ephemeral"}


@pytest.mark.parametrize("route", [OPENAI, route_of("openai_chat", provider="openrouter", model="openai/gpt-4.1")])
def test_others_get_no_cache_marks(route: Route) -> None:
    assert "cache_control" not in str(encode(ModelRequest(messages=conversation()), route))


@pytest.mark.parametrize(
    ("model", "provider", "name"),
    [
        ("gpt-4.1", "openai", "max_tokens"),
        ("gpt-5.2", "openai", "max_completion_tokens"),
        ("o4-mini", "openai", "max_completion_tokens"),
        ("openai/gpt-5.2", "openrouter", "max_tokens"),
    ],
)
def test_reasoning_models_of_openai_get_their_own_limit(model: str, provider: str, name: str) -> None:
    body = encode(hello(max_output_tokens=9), route_of("openai_chat", model=model, provider=provider))

    assert {k: v for k, v in body.items() if k.startswith("max")} == {name: 9}


def test_the_models_output_limit_binds() -> None:
    assert encode(hello(max_output_tokens=90_000), route_of("openai_chat", max_output_tokens=100))["max_tokens"] == 100


def test_a_routes_parameters_win() -> None:
    body = encode(hello(temperature=0.1), route_of("openai_chat", parameters={"temperature": 0.7, "top_p": 0.5}))

    assert (body["temperature"], body["top_p"]) == (0.7, 0.5)


CLOSED = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (CLOSED, True),
        ({**CLOSED, "properties": {"a": {"type": "array", "items": CLOSED}}}, True),
        ({**CLOSED, "required": []}, False),
        ({**CLOSED, "additionalProperties": True}, False),
        ({**CLOSED, "properties": {"a": {"type": "string", "maxLength": 3}}}, False),
        ({**CLOSED, "properties": {"a": {"type": "object", "properties": {"b": {}}}}}, False),
        ({**CLOSED, "properties": {"a": {}}}, False),
        (
            {
                **CLOSED,
                "properties": {"a": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/x"}]}},
                "$defs": {"x": CLOSED},
            },
            True,
        ),
    ],
)
def test_strict_is_asked_only_of_schemas_that_strict_mode_takes(schema: dict[str, object], strict: bool) -> None:  # noqa: FBT001 - a parameter of the table
    body = encode(hello(json_output=JsonOutput(name="v", json_schema=schema)), OPENAI)

    assert body["response_format"]["json_schema"] == {"name": "v", "schema": schema, "strict": strict}


@pytest.mark.parametrize(
    ("finish", "stop"),
    [
        ("stop", StopReason.END),
        ("length", StopReason.LENGTH),
        ("content_filter", StopReason.REFUSED),
        ("odd", StopReason.OTHER),
    ],
)
def test_stop_reasons(finish: str, stop: StopReason) -> None:
    assert decode(answer({"content": "x"}, finish=finish)).stop_reason is stop


def test_a_forced_tool_that_ends_with_stop_is_a_tool_turn() -> None:
    message = {"content": None, "tool_calls": [{"id": "c", "function": {"name": "q", "arguments": "{}"}}]}

    assert decode(answer(message)).stop_reason is StopReason.TOOL_USE


def test_calls_without_ids_get_ids_of_their_own() -> None:
    call = {"function": {"name": "q", "arguments": ""}}

    requests = decode(answer({"tool_calls": [call, call]})).message.tool_requests

    assert [r.id for r in requests] == ["gen-1-0", "gen-1-1"]
    assert requests[0].arguments == {}


def test_a_refusal_is_text_and_a_stop_reason() -> None:
    heard = decode(answer({"content": None, "refusal": "I cannot."}))

    assert (heard.message.text, heard.stop_reason) == ("I cannot.", StopReason.REFUSED)


def test_text_in_parts_is_joined() -> None:
    assert (
        decode(answer({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]})).message.text == "ab"
    )


def test_usage_with_all_its_details() -> None:
    usage = decode(
        answer(
            {"content": "x"},
            usage={
                "prompt_tokens": 100,
                "completion_tokens": 30,
                "prompt_tokens_details": {"cached_tokens": 80, "cache_write_tokens": 5},
                "completion_tokens_details": {"reasoning_tokens": 20},
            },
        )
    ).usage

    assert usage.model_dump() == {
        "input_tokens": 100,
        "cached_input_tokens": 80,
        "cache_write_tokens": 5,
        "output_tokens": 30,
        "reasoning_tokens": 20,
    }


def test_deepseeks_cache_hits_count_as_cached() -> None:
    usage = decode(answer({"content": "x"}, usage={"prompt_tokens": 9, "prompt_cache_hit_tokens": 4})).usage

    assert (usage.input_tokens, usage.cached_input_tokens, usage.output_tokens) == (9, 4, None)


@pytest.mark.parametrize("odd", [{"prompt_tokens": "9"}, {"prompt_tokens_details": [1]}, "none", {"prompt_tokens": -1}])
def test_odd_usage_is_unknown_not_fatal(odd: object) -> None:
    assert decode(answer({"content": "x"}, usage=odd)).usage.input_tokens is None


def test_an_error_inside_a_choice_is_raised() -> None:
    broken = {"choices": [{"finish_reason": "error", "error": {"code": 429, "message": "slow down"}, "message": {}}]}

    with pytest.raises(ProviderRateLimitedError):
        decode(broken)


def test_an_error_inside_an_answer_without_a_status_may_pass() -> None:
    with pytest.raises(ProviderUnavailableError):
        decode({"error": {"message": "something broke"}})


def test_no_limit_and_no_tools_are_sent_unless_asked() -> None:
    assert encode(hello(), OPENAI).keys() == {"model", "messages"}
    assert "tools" in encode(hello(tools=(QUERY,)), OPENAI)
