"""What is particular about Gemini: signatures of thoughts on parts, results without ids, answers that are blocked."""

from typing import Any

import pytest

from tests.llm_builders import QUERY, conversation, hello, route_of
from worker.domain.conversation import (
    AssistantMessage,
    JsonOutput,
    ModelAnswer,
    ModelRequest,
    StopReason,
    SystemMessage,
    ToolMessage,
    Usage,
    UserMessage,
)
from worker.errors import MalformedAnswerError, ModelRefusedError, ProviderAuthError
from worker.llm.failures import classify, read_refusal
from worker.llm.wires import gemini_generate as wire

ROUTE = route_of(wire.NAME)
VERTEX = {"provider": "vertex", "project": "shop", "location": "global"}


def answer(*parts: dict[str, Any], reason: str = "STOP", **fields: Any) -> dict[str, Any]:
    candidate = {"content": {"role": "model", "parts": list(parts)}, "finishReason": reason}
    return {"candidates": [candidate], "responseId": "r1", **fields}


def call(name: str, *, id_: str | None = None, signature: str | None = None) -> dict[str, Any]:
    part: dict[str, Any] = {"functionCall": {"name": name, "args": {"q": name}} | ({"id": id_} if id_ else {})}
    return part | ({"thoughtSignature": signature} if signature else {})


def sent_back(answered: ModelAnswer) -> list[dict[str, Any]]:
    """Return the contents in which the stored turn and its results go back."""
    stored = ModelAnswer.model_validate_json(answered.model_dump_json()).message
    results = (ToolMessage(request_id=c.id, name=c.name, text="-") for c in stored.tool_requests)
    body = wire.encode(ModelRequest(messages=(UserMessage(text="?"), stored, *results)), ROUTE)
    contents: list[dict[str, Any]] = body["contents"][1:]
    return contents


def test_signatures_go_back_on_the_parts_they_came_with() -> None:
    parts = [{"text": "So. ", "thoughtSignature": "s1"}, call("a", id_="1", signature="s2"), call("b", id_="2")]

    said, _ = sent_back(wire.decode(answer(*parts)))

    assert said["parts"] == parts


def test_thoughts_that_are_told_are_no_part_of_the_answer() -> None:
    decoded = wire.decode(answer({"text": "Let me think.", "thought": True}, {"text": "It is the disk."}))

    assert (decoded.message.text, decoded.message.reasoning) == ("It is the disk.", ())


def test_calls_without_ids_get_ids_that_the_provider_never_sees() -> None:
    decoded = wire.decode(answer(call("a"), call("b")))
    said, results = sent_back(decoded)

    assert len({c.id for c in decoded.message.tool_requests}) == 2
    assert not any("id" in part["functionCall"] for part in said["parts"])
    assert [part["functionResponse"] for part in results["parts"]] == [
        {"name": name, "response": {"output": "-"}} for name in ("a", "b")
    ]


def test_all_results_of_a_turn_come_in_one_content_before_what_is_said() -> None:
    messages = (*conversation(), UserMessage(text="Go on."))

    contents = wire.encode(ModelRequest(messages=messages), ROUTE)["contents"]

    assert [(c["role"], [next(iter(part)) for part in c["parts"]]) for c in contents] == [
        ("user", ["text"]),
        ("model", ["text", "functionCall", "functionCall"]),
        ("user", ["functionResponse", "functionResponse", "text"]),
    ]


def test_a_turn_of_which_nothing_is_left_is_left_out() -> None:
    messages = (SystemMessage(text="Be short."), UserMessage(text="a"), AssistantMessage(), UserMessage(text="b"))

    contents = wire.encode(ModelRequest(messages=messages), ROUTE)["contents"]

    assert contents == [{"role": "user", "parts": [{"text": "a"}, {"text": "b"}]}]


def test_json_and_tools_exclude_each_other() -> None:
    output = JsonOutput(name="verdict", json_schema={"type": "object"})

    body = wire.encode(hello(tools=(QUERY,), json_output=output), ROUTE)

    assert "tools" not in body
    assert body["generationConfig"] == {
        "responseMimeType": "application/json",
        "responseJsonSchema": {"type": "object"},
    }


@pytest.mark.parametrize(
    ("reason", "stop"),
    [
        ("STOP", StopReason.END),
        ("MAX_TOKENS", StopReason.LENGTH),
        ("SAFETY", StopReason.REFUSED),
        ("RECITATION", StopReason.REFUSED),
        ("LANGUAGE", StopReason.OTHER),
    ],
)
def test_how_it_stopped(reason: str, stop: StopReason) -> None:
    assert wire.decode(answer({"text": "x"}, reason=reason)).stop_reason is stop


def test_a_call_that_cannot_be_read_is_malformed() -> None:
    with pytest.raises(MalformedAnswerError, match="MALFORMED_FUNCTION_CALL"):
        wire.decode(answer(reason="MALFORMED_FUNCTION_CALL"))


def test_a_blocked_conversation_is_refused_with_the_reason() -> None:
    with pytest.raises(ModelRefusedError, match="PROHIBITED_CONTENT"):
        wire.decode({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}})


def test_thoughts_count_as_output() -> None:
    usage = {
        "promptTokenCount": 900,
        "cachedContentTokenCount": 600,
        "candidatesTokenCount": 30,
        "thoughtsTokenCount": 50,
    }

    read = wire.decode(answer({"text": "x"}, usageMetadata=usage)).usage

    assert read == Usage(input_tokens=900, cached_input_tokens=600, output_tokens=80, reasoning_tokens=50)


def test_vertex_is_asked_by_project_and_location_with_a_token() -> None:
    route = route_of(wire.NAME, base_url="https://aiplatform.googleapis.com", **VERTEX)

    where = "projects/shop/locations/global/publishers/google/models/gemini-2.5-flash"
    assert wire.url(route) == f"https://aiplatform.googleapis.com/v1/{where}:generateContent"
    assert wire.headers(route, "t") == {"authorization": "Bearer t"}
    assert wire.headers(ROUTE, "k") == {"x-goog-api-key": "k"}


def test_a_bad_key_is_one_though_it_comes_as_a_bad_request() -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]
    body = {"error": {"code": 400, "message": "no", "status": "INVALID_ARGUMENT", "details": details}}

    assert isinstance(classify(read_refusal(400, body)), ProviderAuthError)
