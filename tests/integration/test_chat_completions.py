"""`/v1/chat/completions` as OpenAI's own library uses it, over real sockets on both sides (5.9)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import openai
import pytest
from openai import OpenAI
from sqlalchemy import select

from tests.builders import build_services, close_services
from tests.databases import FailingDatabase
from tests.fakes import ScriptedModel
from tests.model_server import Exchange, ModelServer, Reply
from tests.web_client import running_server, token_for
from worker import gateway, managing
from worker.bootstrap import Models
from worker.domain.conversation import ToolMessage
from worker.domain.model_state import AccessRule, Alias
from worker.investigation.offline.analyst import OfflineAnalyst
from worker.llm.client import ProviderClient
from worker.llm.gate import LocalGate
from worker.ops import metrics
from worker.services import Services
from worker.storage import spending
from worker.storage.sums import Group, add_up
from worker.storage.tables import UsageRow
from worker.web.chat_format import parse_chat, to_request

HAIKU = "anthropic/claude-haiku-4.5"
WEATHER: Any = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
HELLO: Any = [{"role": "user", "content": "Hello"}]
Start = Callable[..., OpenAI]


@pytest.fixture
def provider() -> Iterator[ModelServer]:
    """Answer with the last word of what was said; a request with tools gets a call of the first."""

    def answer(exchange: Exchange) -> Reply:
        if not exchange.messages:
            return Reply(text="you said nothing", usage=(1, 5))
        if exchange.tools and not isinstance(exchange.messages[-1], ToolMessage):
            return Reply(tool_calls=[(exchange.tools[0].name, {"city": "Ulm"})], usage=(50, 5))
        return Reply(text=f"you said {exchange.messages[-1].text}", usage=(100, 20))

    with ModelServer(answer) as server:
        yield server


@pytest.fixture
def services(database_url: str, provider: ModelServer) -> Iterator[Services]:
    made = build_services(
        database_url,
        ScriptedModel([]),
        anthropic_api_key="k",
        anthropic_base_url=provider.root,
        openai_api_key="k",
        openai_base_url=provider.openai_url,
        llm_provider_mode="direct",
        rca_api_token="a-token-of-all-scopes",
    )
    client = ProviderClient(made.settings, source=made.models.latest)
    object.__setattr__(made, "model", Models(offline=OfflineAnalyst(), providers=client))
    managing.put_alias(made, "me", Alias(name="regular", target=HAIKU))
    yield made
    client.close()
    close_services(made)


@pytest.fixture
def start(services: Services) -> Iterator[Start]:
    """Return what makes a client of a path's token."""
    with running_server(services) as address:
        opened: list[OpenAI] = []

        def make(user_path: str = "/team/alpha") -> OpenAI:
            token = token_for(services, "models:use", "reports:read", user_path=user_path)["Authorization"].split()[1]
            opened.append(OpenAI(base_url=f"{address}/v1", api_key=token, max_retries=0))
            return opened[-1]

        yield make
        for client in opened:
            client.close()


def rows(services: Services) -> list[UsageRow]:
    with services.database.transaction() as session:
        return list(session.scalars(select(UsageRow).order_by(UsageRow.id)))


def test_5_9_an_alias_is_asked_and_answers_in_its_own_name(services: Services, start: Start) -> None:
    answer = start().chat.completions.create(model="regular", messages=HELLO)

    assert answer.choices[0].message.content == "you said Hello"
    assert (answer.model, answer.choices[0].finish_reason) == ("regular", "stop")
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (100, 20, 120)
    (row,) = rows(services)
    assert (row.purpose, row.provider, row.model) == ("gateway", "anthropic", "claude-haiku-4-5")
    assert (row.investigation_id, row.user_path, row.outcome) == (None, "/team/alpha", "ok")
    assert row.cost_usd == pytest.approx((100 * 1 + 20 * 5) / 1e6)


def test_5_9_the_documented_request_runs_and_no_message_is_the_providers_to_refuse(
    start: Start, provider: ModelServer
) -> None:
    said = start().chat.completions.create(model="regular", messages=[])

    assert said.choices[0].message.content == "you said nothing"
    assert provider.exchanges[0].messages == ()


def test_5_9_tools_go_there_and_back(start: Start, provider: ModelServer) -> None:
    client = start()
    said: list[Any] = [{"role": "system", "content": "Be brief."}, *HELLO]
    first = client.chat.completions.create(model="regular", messages=said, tools=[WEATHER])
    (call,) = first.choices[0].message.tool_calls or []
    result = {"role": "tool", "tool_call_id": call.id, "content": "rain"}
    second = client.chat.completions.create(
        model="regular", messages=[*said, first.choices[0].message, result], tools=[WEATHER]
    )

    assert first.choices[0].finish_reason == "tool_calls"
    assert (call.function.name, call.function.arguments) == ("weather", '{"city": "Ulm"}')  # type: ignore[union-attr]
    assert second.choices[0].message.content == "you said rain"
    assert [m.role for m in provider.exchanges[1].messages] == ["system", "user", "assistant", "tool"]


def test_5_9_a_stream_holds_the_same_answer_and_ends(start: Start) -> None:
    stream = start().chat.completions.create(
        model="regular", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)

    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "you said Hello"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 120


def test_5_9_a_streamed_tool_call_is_put_together(start: Start) -> None:
    stream = start().chat.completions.create(model="regular", messages=HELLO, tools=[WEATHER], stream=True)
    calls = [call for chunk in stream for call in chunk.choices[0].delta.tool_calls or []]

    assert [(c.index, c.function and c.function.name) for c in calls] == [(0, "weather")]


def test_5_9_a_schema_and_a_forced_tool_reach_the_provider(start: Start, provider: ModelServer) -> None:
    client = start()
    schema: Any = {"name": "answer", "schema": {"type": "object", "properties": {"x": {"type": "string"}}}}
    client.chat.completions.create(
        model="openai/gpt-4.1-mini",
        messages=HELLO,
        response_format={"type": "json_schema", "json_schema": schema},
        temperature=0.1,
        max_completion_tokens=77,
    )
    forced: Any = {"type": "function", "function": {"name": "weather"}}
    client.chat.completions.create(model="openai/gpt-4.1-mini", messages=HELLO, tools=[WEATHER], tool_choice=forced)

    first, second = (exchange.body for exchange in provider.exchanges)
    assert first["response_format"]["json_schema"]["name"] == "answer"
    assert (first["temperature"], first["max_tokens"]) == (0.1, 77)
    assert second["tool_choice"] == forced


# Refusals


def test_5_9_access_rules_hold_for_the_tokens_path(services: Services, start: Start) -> None:
    managing.put_rule(services, "me", AccessRule(selector="anthropic/", user_paths=("/team/alpha",)))

    assert start("/team/alpha/svc").chat.completions.create(model="regular", messages=HELLO)
    with pytest.raises(openai.PermissionDeniedError, match="/team/beta may not use regular") as caught:
        start("/team/beta").chat.completions.create(model="regular", messages=HELLO)
    assert caught.value.code == "model_access_denied"


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        ({"model": "google/gemini-2.5-pro"}, openai.NotFoundError, "GOOGLE_AI_API_KEY"),
        ({"model": "offline/analyst"}, openai.BadRequestError, "only looks into incidents"),
        ({"model": "regular", "n": 2}, openai.BadRequestError, "n: "),
        ({"model": "regular", "top_p": 0.5}, openai.BadRequestError, "top_p: "),
        ({"model": "regular", "logprobs": True}, openai.BadRequestError, "logprobs: "),
        ({"messages": [{"role": "tool", "content": "9"}]}, openai.BadRequestError, "tool_call_id None answers no"),
        ({"messages": [{"role": "tool", "content": "9", "tool_call_id": "x"}]}, openai.BadRequestError, "'x' answers"),
    ],
)
def test_5_9_what_cannot_be_is_refused_by_name(
    start: Start, asked: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        start().chat.completions.create(**({"messages": HELLO, "model": "regular"} | asked))


def test_5_9_a_providers_refusal_is_told_as_what_it_is_and_booked(services: Services, start: Start) -> None:
    with (
        ModelServer(lambda _: Reply(status=401, body=b'{"error": {"message": "no"}}')) as refusing,
        serving(services, refusing),
        pytest.raises(openai.InternalServerError, match="the key is wrong or revoked") as caught,
    ):
        start().chat.completions.create(model="openai/gpt-4.1-mini", messages=HELLO)

    assert (caught.value.status_code, caught.value.code) == (502, "provider_auth")
    assert [(row.outcome, row.counted_tokens) for row in rows(services)] == [("provider_auth", 0)]


@contextmanager
def serving(services: Services, server: ModelServer) -> Iterator[None]:
    """Let OpenAI be this server."""
    settings = services.settings.model_copy(update={"openai_base_url": server.openai_url})
    client = ProviderClient(settings, gate=LocalGate(), sleep=lambda _: None)
    object.__setattr__(services, "settings", settings)
    object.__setattr__(services, "model", Models(offline=OfflineAnalyst(), providers=client))
    services.router._source = lambda: replace(services.models.get(), settings=settings)
    yield
    client.close()


def test_5_9_calls_count_in_the_day_and_its_budget_binds_them(services: Services, start: Start) -> None:
    client = start()
    client.chat.completions.create(model="regular", messages=HELLO)
    with services.database.transaction() as session:
        day = spending.read_day(session)
        sums = {one.name: one.calls for one in add_up(session, Group.USER_PATH, days=1)}
    assert (day.paths["/team/alpha"].tokens, sums) == (120, {"/team/alpha": 1})

    object.__setattr__(services, "settings", services.settings.model_copy(update={"rca_day_tokens_per_path": 100}))
    with pytest.raises(openai.RateLimitError, match="the budget of /team/alpha") as caught:
        client.chat.completions.create(model="regular", messages=HELLO)
    assert int(caught.value.response.headers["retry-after"]) > 0
    assert start("/team/beta").chat.completions.create(model="regular", messages=HELLO)


def sample(name: str, **labels: str) -> float:
    return metrics.REGISTRY.get_sample_value(name, {"purpose": "gateway", **labels}) or 0.0


def test_5_9_calls_count_in_the_metrics_as_those_of_investigations_do(start: Start) -> None:
    model = "anthropic/claude-haiku-4-5"
    counted = [("rca_tokens_total", {"kind": "input"}), ("rca_tokens_total", {"kind": "output"}),
               ("rca_model_calls_total", {"outcome": "ok"}), ("rca_model_call_seconds_count", {})]  # fmt: skip
    before = [sample(name, model=model, **labels) for name, labels in counted]
    start().chat.completions.create(model="regular", messages=HELLO)
    after = [sample(name, model=model, **labels) for name, labels in counted]

    assert [now - then for now, then in zip(after, before, strict=True)] == [100, 20, 1, 1]


def test_5_9_an_answer_that_nobody_can_read_counts_as_it_was_expected(services: Services, start: Start) -> None:
    with (
        ModelServer(lambda _: Reply(body=b'{"choices": "none"}')) as babbling,
        serving(services, babbling),
        pytest.raises(openai.APIStatusError),
    ):
        start().chat.completions.create(model="openai/gpt-4.1-mini", messages=HELLO)

    (row,) = rows(services)
    assert row.outcome == "malformed_answer"
    assert row.counted_tokens > 0


def test_5_9_an_answer_that_was_paid_for_is_booked_once_the_database_is_back(
    services: Services, provider: ModelServer, database_url: str
) -> None:
    away = FailingDatabase(database_url, fails_at={1, 2})
    answered = gateway.call(
        replace(services, database=away), to_request(parse_chat({"messages": HELLO})), model="regular", user_path="/"
    )
    away.close()

    assert answered.answer.message.text == "you said Hello"
    assert len(provider.exchanges) == 1
    assert [row.outcome for row in rows(services)] == ["ok"]


def test_5_7_the_list_is_what_the_library_expects(start: Start) -> None:
    names = [model.id for model in start().models.list()]

    assert "regular" in names
    assert names == sorted(names)
