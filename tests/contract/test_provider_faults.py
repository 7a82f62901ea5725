"""What happens when a provider misbehaves, over real sockets: each fault typed, with the right number of requests."""

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.llm_builders import ALL_KEYS, KEY, QUERY, WIRE_NAMES, bare_settings, hello, route_of
from tests.model_server import ModelServer, Reply, Script, in_order
from worker.domain.conversation import ModelAnswer, ModelRequest, Route, Usage
from worker.errors import (
    ContextOverflowError,
    InvalidRequestError,
    MalformedAnswerError,
    ModelNotFoundError,
    ModelRefusedError,
    ProviderAuthError,
    ProviderError,
    ProviderQuotaError,
    ProviderRateLimitedError,
    ProviderUnavailableError,
    RouteError,
)
from worker.llm.client import ProviderClient
from worker.llm.transport import Request, Transport

Ask = Callable[..., ModelAnswer]
FINE = Reply(text="fine")


class Waits(list[float]):
    """Stands in for sleep: remembers what would have been waited."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


class Bench:
    """A client, a scripted provider, and what was waited."""

    def __init__(self, wire: str, script: Script) -> None:
        self.wire = wire
        self.waits = Waits()
        self.server = ModelServer(script)
        self.client = ProviderClient(bare_settings(**ALL_KEYS), sleep=self.waits)

    def ask(self, request: ModelRequest | None = None, *, timeout_s: float = 30.0, **route: Any) -> ModelAnswer:
        to = route_of(self.wire, server=self.server, **route)
        return self.client.ask(request or hello(), route=to, timeout_s=timeout_s)

    def close(self) -> None:
        self.client.close()
        self.server.close()


@pytest.fixture(params=WIRE_NAMES)
def bench(request: pytest.FixtureRequest) -> Iterator[Callable[..., Bench]]:
    """Build a bench around a script, or around replies in the order of requests."""
    made: list[Bench] = []

    def build(*replies: Reply, script: Script | None = None) -> Bench:
        made.append(Bench(request.param, script or in_order(replies)))
        return made[-1]

    yield build
    for one in made:
        one.close()


def fault(status: int, message: str = "no", **fields: Any) -> Reply:
    return Reply(status=status, body=json.dumps({"error": {"message": message, **fields}}).encode())


def limited(after: str) -> Reply:
    return Reply(status=429, headers={"retry-after": after}, body=b'{"error": {"message": "slow down"}}')


@pytest.mark.parametrize(
    ("reply", "error", "requests"),
    [
        (fault(500), ProviderUnavailableError, 3),
        (fault(503), ProviderUnavailableError, 3),
        (fault(529, type="overloaded_error"), ProviderUnavailableError, 3),
        (fault(429), ProviderRateLimitedError, 3),
        (Reply(drop=True), ProviderUnavailableError, 3),
        (Reply(text="half", cut=True), ProviderUnavailableError, 3),
        (Reply(body=b'{"choices": [{"mess'), MalformedAnswerError, 2),
        (Reply(body=b"<html>welcome</html>", headers={"content-type": "text/html"}), MalformedAnswerError, 2),
        (Reply(body=b"[]"), MalformedAnswerError, 2),
        (Reply(body=b'{"choices": [], "content": null}'), MalformedAnswerError, 2),
        (Reply(body=b"\x1f\x8bnot gzip", headers={"content-encoding": "gzip"}), MalformedAnswerError, 2),
        (Reply(text="x" * (11 * 1024 * 1024)), MalformedAnswerError, 2),
        (Reply(status=307, headers={"location": "http://127.0.0.1:9/"}, body=b""), InvalidRequestError, 1),
        (fault(401), ProviderAuthError, 1),
        (fault(403), ProviderAuthError, 1),
        (fault(404), ModelNotFoundError, 1),
        (Reply(status=404, body=b"<html>nothing here</html>"), ModelNotFoundError, 1),
        (fault(402), ProviderQuotaError, 1),
        (fault(429, code="insufficient_quota"), ProviderQuotaError, 1),
        (fault(400, "Your credit balance is too low"), ProviderQuotaError, 1),
        (fault(400, code="context_length_exceeded"), ContextOverflowError, 1),
        (fault(400, "prompt is too long: 210000 tokens > 200000 maximum"), ContextOverflowError, 1),
        (fault(403, "Your input was flagged by moderation"), ModelRefusedError, 1),
        (fault(400, "messages: wrong"), InvalidRequestError, 1),
        (Reply(body=b'{"error": {"code": 502, "message": "upstream"}}'), ProviderUnavailableError, 3),
        (Reply(body=b'{"error": {"code": 402, "message": "pay"}}'), ProviderQuotaError, 1),
    ],
)
def test_each_fault_is_typed_and_asked_as_often_as_it_is_worth(
    bench: Callable[..., Bench], reply: Reply, error: type[ProviderError], requests: int
) -> None:
    one = bench(reply)

    with pytest.raises(error) as caught:
        one.ask()

    assert type(caught.value) is error
    assert caught.value.provider == route_of(one.wire).provider
    assert one.server.count == requests
    assert len(one.waits) == requests - 1


@pytest.mark.parametrize("first", [fault(500), limited("0"), Reply(drop=True), Reply(body=b"{"), fault(429)])
def test_a_passing_fault_costs_one_more_request(bench: Callable[..., Bench], first: Reply) -> None:
    one = bench(first, FINE)

    answer = one.ask()

    assert (answer.message.text, answer.attempts, one.server.count) == ("fine", 2, 2)


@pytest.mark.parametrize(("after", "waited"), [("0", 0.0), ("3", 3.0), ("4.5", 4.5)])
def test_a_short_retry_after_is_waited_in_place(bench: Callable[..., Bench], after: str, waited: float) -> None:
    one = bench(limited(after), FINE)

    one.ask()

    assert one.waits == [waited]


@pytest.mark.parametrize("after", ["120", "Wed, 01 Jan 2200 00:00:00 GMT"])
def test_a_long_retry_after_frees_the_worker_at_once(bench: Callable[..., Bench], after: str) -> None:
    one = bench(limited(after), FINE)

    with pytest.raises(ProviderRateLimitedError) as caught:
        one.ask(timeout_s=10_000.0)

    assert caught.value.retry_after_s is not None
    assert caught.value.retry_after_s >= 100
    assert (one.server.count, one.waits) == (1, [])


def test_waits_double_with_jitter(bench: Callable[..., Bench]) -> None:
    one = bench(fault(500))

    with pytest.raises(ProviderUnavailableError):
        one.ask()

    first, second = one.waits
    assert 0.5 <= first <= 1.0 <= second <= 2.0


def test_nothing_is_waited_for_that_would_end_after_the_deadline(bench: Callable[..., Bench]) -> None:
    one = bench(limited("3"), FINE)

    with pytest.raises(ProviderRateLimitedError) as caught:
        one.ask(timeout_s=2.0)

    assert caught.value.retry_after_s == 3.0
    assert one.waits == []


@pytest.mark.parametrize("slow", [Reply(text="x" * 50, drip_s=0.05), Reply(text="late", latency_s=3.0)])
def test_a_slow_answer_does_not_outlive_the_deadline(bench: Callable[..., Bench], slow: Reply) -> None:
    one = bench(slow)
    started = time.monotonic()

    with pytest.raises(ProviderUnavailableError):
        one.ask(timeout_s=0.3)

    assert time.monotonic() - started < 0.6


def test_dripped_headers_do_not_outlive_the_deadline_either() -> None:
    import socket  # noqa: PLC0415 - a raw server, for this test only

    listener = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            try:
                for byte in b"HTTP/1.1 200 OK\r\nx-long: " + b"a" * 200:
                    connection.send(bytes([byte]))
                    time.sleep(0.02)
            except OSError:
                pass  # the client hung up, as it should

    thread = threading.Thread(target=drip)
    thread.start()
    client = ProviderClient(bare_settings(openai_api_key=KEY))
    route = route_of("openai_chat", base_url=f"http://127.0.0.1:{listener.getsockname()[1]}/v1")
    started = time.monotonic()

    with pytest.raises(ProviderUnavailableError):
        client.ask(hello(), route=route, timeout_s=0.3)

    assert time.monotonic() - started < 0.6
    client.close()
    thread.join()
    listener.close()


def test_an_answer_without_usage_is_an_answer(bench: Callable[..., Bench]) -> None:
    answer = bench(Reply(text="fine", usage=None)).ask()

    assert answer.usage == Usage()


def test_a_refused_temperature_is_dropped_remembered_and_noted(bench: Callable[..., Bench]) -> None:
    refusal = fault(400, "Unsupported value: 'temperature' does not support 0 with this model.")
    one = bench(script=lambda exchange: refusal if '"temperature"' in json.dumps(exchange.body) else FINE)
    request = hello(temperature=0.0)

    first, second = (one.ask(request, model="one-of-tomorrow") for _ in range(2))

    assert (first.attempts, second.attempts) == (2, 1)
    assert "temperature" in first.notes[0]
    assert first.notes == second.notes
    assert one.waits == []


def test_a_temperature_out_of_range_is_not_hidden(bench: Callable[..., Bench]) -> None:
    one = bench(fault(400, "temperature: range: 0..1"))

    with pytest.raises(InvalidRequestError):
        one.ask(hello(temperature=7.0))

    assert one.server.count == 1


@pytest.mark.parametrize("bench", ["openai_chat", "anthropic_messages", "openai_responses"], indirect=True)
def test_a_forced_tool_is_asked_for_without_force_where_the_model_thinks(bench: Callable[..., Bench]) -> None:
    refusal = fault(400, "Thinking may not be enabled when tool_choice forces tool use.")
    one = bench(script=lambda exchange: refusal if "tool_choice" in exchange.body else FINE)
    request = hello(tools=(QUERY,), forced_tool="query_metrics")

    answers = [one.ask(request), one.ask(request)]

    assert [answer.attempts for answer in answers] == [2, 2]


def test_no_cookie_of_one_call_goes_with_the_next(bench: Callable[..., Bench]) -> None:
    one = bench(Reply(text="x", headers={"set-cookie": "account=1; Path=/"}))

    one.ask()
    one.ask()

    assert "cookie" not in one.server.exchanges[1].headers


def test_the_request_id_of_the_header_is_kept(bench: Callable[..., Bench]) -> None:
    assert bench(Reply(text="x", headers={"request-id": "req_1"})).ask().request_id == "req_1"


def test_nothing_listening_is_unavailable() -> None:
    client = ProviderClient(bare_settings(openai_api_key=KEY, rca_call_attempts=1))

    with pytest.raises(ProviderUnavailableError) as caught:
        client.ask(hello(), route=route_of("openai_chat"), timeout_s=2.0)

    assert "openai/gpt-4.1-mini" in str(caught.value)
    client.close()


def test_a_missing_key_costs_no_request_and_names_its_variable(bench: Callable[..., Bench]) -> None:
    one = bench(FINE)

    with pytest.raises(ProviderAuthError, match="LLM_OPENAI_COMPATIBLE_API_KEY") as caught:
        one.ask(credential_ref="env:LLM_OPENAI_COMPATIBLE_API_KEY")

    assert caught.value.provider == route_of(one.wire).provider
    assert one.server.count == 0


@pytest.mark.parametrize("bench", [name for name in WIRE_NAMES if name != "bedrock_converse"], indirect=True)
def test_no_key_is_sent_where_none_is_needed(bench: Callable[..., Bench]) -> None:
    one = bench(FINE)

    one.ask(credential_ref=None)

    assert not {"authorization", "x-api-key", "x-goog-api-key"} & one.server.exchanges[0].headers.keys()


def test_the_offline_analyst_is_asked_elsewhere() -> None:
    route = Route(provider="offline", model="analyst", wire="offline")

    with pytest.raises(RouteError, match="offline/analyst"):
        ProviderClient(bare_settings()).ask(hello(), route=route, timeout_s=1.0)


@pytest.mark.parametrize("url", ["localhost:1234", "", "http://127.0.0.1:x", "http://..a"])
def test_an_address_that_is_none_is_said_once(url: str) -> None:
    client = ProviderClient(bare_settings(openai_api_key=KEY))

    with pytest.raises(InvalidRequestError):
        client.ask(hello(), route=route_of("openai_chat", base_url=url), timeout_s=2.0)

    client.close()


@pytest.mark.parametrize(
    "reply",
    [
        fault(401, f"Incorrect API key provided: {KEY[:6]}*****{KEY[-6:]}"),
        fault(400, f"the header x-api-key: {KEY} is odd"),
        fault(500, f"while using {KEY[4:14]} something broke"),
        Reply(body=json.dumps({"error": {"message": f"bad key {KEY}"}}).encode()),
    ],
)
def test_a_key_never_appears_in_an_error_or_a_log(
    bench: Callable[..., Bench], reply: Reply, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    with pytest.raises(ProviderError) as caught:
        bench(reply).ask(credential_ref="env:OPENAI_API_KEY")

    told = str(caught.value) + caplog.text
    assert not any(KEY[i : i + 6] in told for i in range(len(KEY) - 5))


def test_a_shown_piece_of_a_body_is_short(bench: Callable[..., Bench]) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        bench(fault(400, "word " * 1000)).ask()

    assert len(str(caught.value)) < 400


def test_threads_share_a_client_and_none_is_left_open(bench: Callable[..., Bench]) -> None:
    one = bench(FINE)
    answers: list[ModelAnswer] = []
    threads = [threading.Thread(target=lambda: answers.append(one.ask())) for _ in range(16)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    one.ask()  # a new thread's client closes those of ended ones

    assert len(answers) == 16
    assert set(one.client._transport._clients) == {threading.current_thread()}


class Lost(Exception):  # noqa: N818 - what the caller raises is its own
    pass


@pytest.mark.parametrize("lost_at", [1, 2])
def test_each_request_is_confirmed_right_before_it_and_none_is_made_for_another(
    bench: Callable[..., Bench], lost_at: int
) -> None:
    one, confirmed = bench(fault(500), FINE), list[int]()

    def confirm() -> None:
        confirmed.append(one.server.count)
        if len(confirmed) == lost_at:
            raise Lost

    with pytest.raises(Lost):
        one.client.ask(hello(), route=route_of(one.wire, server=one.server), timeout_s=30, confirm=confirm)

    assert confirmed == list(range(lost_at))
    assert one.server.count == lost_at - 1


def test_what_comes_before_is_asked_once_over_an_open_connection_of_which_no_byte_has_gone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, closing(Transport()) as transport:
        accepted: list[socket.socket] = []

        def ask() -> None:
            accepted.append(server.accept()[0])  # it is open: nothing is waited for
            raise Lost

        server.settimeout(5)
        request = Request(f"http://127.0.0.1:{server.getsockname()[1]}/", {}, b"body")
        with pytest.raises(Lost):
            transport.post(request, timeout_s=5, before=ask)

        (connection,) = accepted
        with connection:
            connection.settimeout(5)
            assert connection.recv(100) == b""


def test_what_comes_before_one_call_is_not_asked_before_the_next() -> None:
    asked: list[str] = []
    with ModelServer(in_order([FINE, FINE])) as server, closing(Transport()) as transport:
        request = Request(f"{server.root}/v1/messages", {}, b'{"model": "m", "messages": []}')
        transport.post(request, timeout_s=5, before=lambda: asked.append("first"))
        transport.post(request, timeout_s=5)

    assert (asked, server.count) == (["first"], 2)
