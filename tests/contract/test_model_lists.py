"""What endpoints list of their models, over real sockets, in the shapes that their documentation shows."""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from tests.llm_builders import KEY, bare_settings
from tests.model_server import ModelServer, Reply, demo
from worker.domain.conversation import Route
from worker.errors import MalformedAnswerError
from worker.llm.discovery import MAX_MODELS, MAX_PAGES, Discovery
from worker.llm.standing import constant
from worker.llm.transport import MAX_BODY_BYTES
from worker.llm.wires import WIRES

Answer = Callable[[str, Mapping[str, str]], Reply]

OPENAI = {  # https://platform.openai.com/docs/api-reference/models/list
    "object": "list",
    "data": [
        {"id": "gpt-4.1", "object": "model", "created": 1686935002, "owned_by": "openai"},
        {"id": "gpt-4o", "object": "model", "created": 1686935002, "owned_by": "organization-owner"},
    ],
}
OPENROUTER = {  # https://openrouter.ai/docs/api-reference/list-available-models
    "data": [
        {
            "id": "anthropic/claude-haiku-4.5",
            "name": "Anthropic: Claude Haiku 4.5",
            "context_length": 200000,
            "architecture": {"modality": "text+image->text", "input_modalities": ["text", "image"]},
            "pricing": {"prompt": "0.000001", "completion": "0.000005"},
        }
    ]
}
DEEPSEEK = {  # https://api-docs.deepseek.com/api/list-models
    "object": "list",
    "data": [{"id": "deepseek-v4-flash", "object": "model", "owned_by": "deepseek"}],
}
VLLM = {  # https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html
    "object": "list",
    "data": [
        {
            "id": "meta-llama/Llama-3.1-8B-Instruct",
            "object": "model",
            "created": 1722545890,
            "owned_by": "vllm",
            "root": "meta-llama/Llama-3.1-8B-Instruct",
            "parent": None,
            "max_model_len": 131072,
            "permission": [{"id": "modelperm-1", "object": "model_permission"}],
        }
    ],
}
ANTHROPIC = {  # https://docs.anthropic.com/en/api/models-list
    "data": [
        {
            "type": "model",
            "id": "claude-opus-4-7",
            "display_name": "Claude Opus 4.7",
            "created_at": "2026-04-14T00:00:00Z",
        }
    ],
    "has_more": False,
    "first_id": "claude-opus-4-7",
    "last_id": "claude-opus-4-7",
}
GEMINI = {  # https://ai.google.dev/api/models#method:-models.list
    "models": [
        {
            "name": "models/gemini-2.5-flash",
            "version": "001",
            "displayName": "Gemini 2.5 Flash",
            "inputTokenLimit": 1048576,
            "outputTokenLimit": 65536,
            "supportedGenerationMethods": ["generateContent", "countTokens"],
        },
        {"name": "models/gemini-embedding-001", "supportedGenerationMethods": ["embedContent"]},
    ]
}
OLLAMA = {  # https://docs.ollama.com/api/tags
    "models": [
        {
            "name": "llama3.1:8b",
            "model": "llama3.1:8b",
            "modified_at": "2026-05-04T14:56:49.277302595-07:00",
            "size": 7365960935,
            "digest": "9f438cb9cd581fc025612d27f7c1a6669ff83a8bb0ed86c94fcf4c5440555697",
            "details": {"format": "gguf", "family": "llama", "families": None, "parameter_size": "8B"},
        }
    ]
}
DOCUMENTED: dict[str, tuple[str, Any, tuple[str, ...], str]] = {
    "openai": ("openai_chat", OPENAI, ("gpt-4.1", "gpt-4o"), "/models"),
    "openrouter": ("openai_chat", OPENROUTER, ("anthropic/claude-haiku-4.5",), "/models"),
    "deepseek": ("openai_chat", DEEPSEEK, ("deepseek-v4-flash",), "/models"),
    "vllm": ("openai_chat", VLLM, ("meta-llama/Llama-3.1-8B-Instruct",), "/models"),
    "anthropic": ("anthropic_messages", ANTHROPIC, ("claude-opus-4-7",), "/v1/models"),
    "google": ("gemini_generate", GEMINI, ("gemini-2.5-flash",), "/v1beta/models"),
    "ollama": ("ollama_chat", OLLAMA, ("llama3.1:8b",), "/api/tags"),
}


def says(body: Any, **how: Any) -> Answer:
    return lambda _path, _headers: Reply(body=body if isinstance(body, bytes) else json.dumps(body).encode(), **how)


class Clock:
    """Stands still until it is told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def asking(ask_s: float = 5.0, clock: Callable[[], float] = time.monotonic) -> Discovery:
    return Discovery(constant(bare_settings(openai_api_key=KEY)), kept_s=300.0, ask_s=ask_s, clock=clock)


def at(server: ModelServer, *, provider: str = "openai", wire: str = "openai_chat", key: bool = True) -> Route:
    ref = "env:OPENAI_API_KEY" if key else None
    return Route(provider=provider, model="", wire=wire, base_url=server.root, credential_ref=ref)


def listed(answer: Answer, **how: Any) -> tuple[str, ...]:
    """Return what is found of one endpoint that answers so."""
    with ModelServer(demo, lists=answer) as server:
        return asking().find({"x": at(server, **how)}).get("x", ())


@pytest.mark.parametrize("provider", DOCUMENTED)
def test_a_documented_list_is_read(provider: str) -> None:
    wire, body, models, path = DOCUMENTED[provider]
    seen: dict[str, str] = {}

    def answer(asked: str, headers: Mapping[str, str]) -> Reply:
        seen.update(headers, path=urlsplit(asked).path)
        return says(body)(asked, headers)

    assert listed(answer, provider=provider, wire=wire) == models
    assert seen["path"] == path
    assert KEY in {
        seen.get(name, "").removeprefix("Bearer ") for name in ("authorization", "x-api-key", "x-goog-api-key")
    }


@pytest.mark.parametrize("wire", ["anthropic_messages", "gemini_generate"])
def test_a_list_of_several_pages_is_read_whole(wire: str) -> None:
    pages = [
        {"data": [{"id": "a"}, {"id": "b"}], "has_more": True, "last_id": "b"},
        {"data": [{"id": "b"}, {"id": "c"}], "has_more": False, "last_id": "c"},
    ]
    if wire == "gemini_generate":
        fit = {"supportedGenerationMethods": ["generateContent"]}
        of = [[{"name": f"models/{one['id']}", **fit} for one in page["data"]] for page in pages]  # type: ignore[attr-defined]
        pages = [{"models": of[0], "nextPageToken": "b"}, {"models": of[1]}]

    def answer(path: str, headers: Mapping[str, str]) -> Reply:
        asked = parse_qs(urlsplit(path).query)
        return says(pages[1 if "b" in {*asked.get("after_id", []), *asked.get("pageToken", [])} else 0])(path, headers)

    assert listed(answer, wire=wire) == ("a", "b", "c")


def test_pages_that_never_end_and_lists_without_bound_are_cut() -> None:
    def answer(path: str, headers: Mapping[str, str]) -> Reply:
        number = int(parse_qs(urlsplit(path).query).get("after_id", ["0"])[0]) + 1
        data = [{"id": f"{number}-{i}"} for i in range(1000)]
        return says({"data": data, "has_more": True, "last_id": str(number)})(path, headers)

    with ModelServer(demo, lists=answer) as server:
        found = asking().find({"x": at(server, wire="anthropic_messages")})["x"]
        assert len(server.listed) <= MAX_PAGES
    assert len(found) == MAX_MODELS


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (says({"object": "list", "data": []}), "empty"),
        (says({"object": "list", "data": None}), "empty"),
        (says({"error": {"message": f"Incorrect API key provided: {KEY}"}}, status=401), "ProviderAuthError"),
        (says({"error": {"message": "no such path"}}, status=404), "ModelNotFoundError"),
        (says({"error": {"message": f"overloaded, {KEY}"}}, status=503), "ProviderUnavailableError"),
        (says(b"", status=302, headers={"location": "http://127.0.0.1:1/models"}), "InvalidRequestError"),
        (says(b"<html><body>Log in</body></html>", headers={"content-type": "text/html"}), "MalformedAnswerError"),
        (says({"models": ["gpt-4"]}), "MalformedAnswerError"),
        (says(["gpt-4"]), "MalformedAnswerError"),
        (says(b'{"data": [' + b" " * MAX_BODY_BYTES + b"]}"), "MalformedAnswerError"),
        (lambda _path, _headers: Reply(drop=True), "ProviderUnavailableError"),
    ],
)
def test_an_endpoint_that_lists_nothing_is_left_out_and_told_once_with_no_key(answer: Answer, reason: str) -> None:
    clock = Clock()
    discovery = asking(clock=clock)
    with ModelServer(demo, lists=answer) as server, capture_logs() as logs:
        assert discovery.find({"x": at(server)}) == {}
        clock.now += 400
        for _ in range(3):
            assert discovery.find({"x": at(server)}) == {}
        wait_until(lambda: len(server.listed) > 1)

    told = [line for line in logs if line["event"] == "models_unlisted"]
    assert [line["reason"] for line in told] == [reason]
    assert KEY not in str(logs)


def wait_until(look: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not look():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_ids_come_once_and_those_that_can_be_none_never() -> None:
    given_ids = ["b", "a", "b", "", " a", "a\n", "x\x1b[31m", "y" * 201, None, 7, {}, ["a"], "hf.co/x/Y:Q4_K_M"]

    found = listed(says({"data": [*({"id": one} for one in given_ids), "a", None]}))

    assert found == ("b", "a", "hf.co/x/Y:Q4_K_M")


def test_a_slow_endpoint_holds_up_one_request_and_no_longer_than_it_may() -> None:
    slow, quick = says(OPENAI, drip_s=0.5), says(OPENAI)
    with (
        ModelServer(demo, lists=slow) as first,
        ModelServer(demo, lists=slow) as second,
        ModelServer(demo, lists=quick) as third,
    ):
        discovery = asking(ask_s=0.6)
        owners = {"a": at(first), "b": at(second), "c": at(third)}
        began = time.monotonic()
        found = discovery.find(owners)
        waited_s = time.monotonic() - began
        discovery.find(owners)
        again_s = time.monotonic() - began - waited_s

    assert found == {"c": ("gpt-4.1", "gpt-4o")}
    assert 0.5 < waited_s < 1.1  # both were waited for at the same time
    assert again_s < 0.1


def test_a_list_is_remembered_and_then_told_while_it_is_asked_for_anew() -> None:
    clock = Clock()
    discovery = asking(clock=clock)
    with ModelServer(demo, lists=says(OPENAI)) as server:
        owners = {"x": at(server)}
        assert [discovery.find(owners)["x"] for _ in range(3)] == [("gpt-4.1", "gpt-4o")] * 3
        assert len(server.listed) == 1

        clock.now += 301
        server.lists = says(DEEPSEEK, latency_s=0.2)
        assert discovery.find(owners)["x"] == ("gpt-4.1", "gpt-4o")
        wait_until(lambda: discovery.find(owners)["x"] == ("deepseek-v4-flash",))
        assert len(server.listed) == 2


def test_who_was_away_is_listed_once_it_is_back_and_both_are_told() -> None:
    clock = Clock()
    discovery = asking(clock=clock)
    with ModelServer(demo) as server, capture_logs() as logs:
        assert discovery.find({"x": at(server)}) == {}
        server.lists = says(OPENAI)
        assert discovery.find({"x": at(server)}) == {}
        clock.now += 31
        wait_until(lambda: bool(discovery.find({"x": at(server)})))

    assert [line["event"] for line in logs] == ["models_unlisted", "models_listed"]


def test_a_key_that_is_missing_asks_nobody() -> None:
    with ModelServer(demo, lists=says(OPENAI)) as server:
        route = at(server).model_copy(update={"credential_ref": "env:ANTHROPIC_API_KEY"})
        assert asking().find({"x": route}) == {}
        assert server.listed == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["data", "models", "id", "name", "model", "has_more", "last_id", "nextPageToken"])
            | st.just("supportedGenerationMethods"),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@pytest.mark.parametrize("wire", [wire for wire in WIRES.values() if wire.read_list], ids=lambda wire: wire.name)
@given(body=st.dictionaries(st.sampled_from(["data", "models", "has_more", "last_id", "nextPageToken"]), JSON))
def test_whatever_an_endpoint_says_is_read_or_refused(wire: Any, body: dict[str, Any]) -> None:
    try:
        page = wire.read_list(body)
    except MalformedAnswerError:
        return
    assert all(isinstance(model, str) and model.strip() and model.isprintable() for model in page.models)
    assert len(set(page.models)) == len(page.models)
    assert page.next is None or (isinstance(page.next, str) and page.next)
