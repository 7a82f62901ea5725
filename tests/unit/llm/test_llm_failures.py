from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.llm_builders import KEY, bare_settings
from worker.domain.conversation import Price, Usage
from worker.errors import (
    ContextOverflowError,
    InvalidRequestError,
    ModelNotFoundError,
    ModelRefusedError,
    ProviderAuthError,
    ProviderError,
    ProviderQuotaError,
    ProviderRateLimitedError,
    ProviderUnavailableError,
)
from worker.llm.client import retry_after_s
from worker.llm.failures import classify, read_refusal, refused_parameters, scrub
from worker.llm.prices import cost_usd
from worker.llm.secrets import Credentials
from worker.llm.standing import constant
from worker.llm.transport import Transport


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (400, {"status": "INVALID_ARGUMENT", "message": "API_KEY_INVALID"}, ProviderAuthError),
        (400, {"type": "no_db_connection", "message": "No connected db.", "code": "400"}, ProviderAuthError),
        (403, {"code": "model_not_found", "message": "Project has no access"}, ModelNotFoundError),
        (404, {"message": "This model is only supported in v1/responses"}, InvalidRequestError),
        (400, {"message": "xyz/abc is not a valid model ID"}, ModelNotFoundError),
        (400, {"message": "Your credit balance is too low"}, ProviderQuotaError),
        (400, {"code": "content_policy_violation", "message": "no"}, ModelRefusedError),
        (413, {"type": "request_too_large", "message": "too large"}, ContextOverflowError),
        (429, {"message": "Request too large for gpt-4.1 on tokens per min"}, ContextOverflowError),
        (
            429,
            {"message": "Rate limit reached. Add a payment method at https://platform.openai.com/account/billing"},
            ProviderRateLimitedError,
        ),
        (408, {}, ProviderUnavailableError),
        (529, {"type": "overloaded_error"}, ProviderUnavailableError),
        (422, {"message": "no"}, InvalidRequestError),
        (302, {}, InvalidRequestError),
    ],
)
def test_status_and_words_together_decide(status: int, error: dict[str, str], expected: type[ProviderError]) -> None:
    assert type(classify(read_refusal(status, {"error": error}))) is expected


@pytest.mark.parametrize("body", [None, "plain", [], [{"error": {"message": "m"}}], {"error": "m"}, {"status": "m"}, 7])
def test_a_refusal_of_any_shape_can_be_read(body: object) -> None:
    assert isinstance(classify(read_refusal(500, body)), ProviderUnavailableError)


def test_the_facts_are_fields() -> None:
    error = classify(read_refusal(429, None), retry_after_s=7.0)

    assert (error.status, error.retry_after_s) == (429, 7.0)


def test_what_the_provider_says_of_a_key_is_not_repeated() -> None:
    error = classify(read_refusal(401, {"error": {"message": "bad key ending in 8Xx1"}}))

    assert "8Xx1" not in str(error)


@pytest.mark.parametrize("quoted", [KEY, KEY[-4:], f"{KEY[:3]}****{KEY[-2:]}", "sk-proj-abc", ""])
def test_what_is_said_of_a_key_we_know_is_told_without_it(quoted: str) -> None:
    body = {"error": {"message": f"Incorrect API key provided: {quoted} You can find yours in the console."}}

    told = str(classify(read_refusal(401, body), key=KEY))

    assert "Incorrect API key provided:" in told
    assert "You can find yours in the console." in told
    assert not quoted or quoted not in told


@given(text=st.text(max_size=80), at=st.integers(0, len(KEY) - 4))
@hypothesis_settings(deadline=None)
def test_no_fragment_of_a_key_survives(text: str, at: int) -> None:
    clean = scrub(f"{text}{KEY[at:]} {text}", KEY)

    assert not any(KEY[i : i + 4] in clean for i in range(len(KEY) - 3))


@pytest.mark.parametrize("text", ["Bearer abc.def", "sk-ant-12345", "got sk-or-v1-xxxx!", "AIzaSyAbc"])
def test_what_looks_like_a_key_is_taken_out(text: str) -> None:
    assert "[key]" in scrub(text, None)


@pytest.mark.parametrize(
    ("message", "refused"),
    [
        ("'temperature' does not support 0 with this model", {"temperature"}),
        ("`temperature` and `top_p` cannot both be specified", {"temperature", "top_p"}),
        ("`top_k` is deprecated", set()),
        ("temperature: range: 0..1", set()),
        ("Invalid 'temperature': expected a value less than or equal to 2", set()),
        ("deepseek-reasoner does not support this tool_choice", {"tool_choice"}),
        ("messages: wrong", set()),
    ],
)
def test_only_what_was_sent_and_is_not_taken_at_all_counts_as_refused(message: str, refused: set[str]) -> None:
    sent = {"temperature": 0, "top_p": 1, "tool_choice": {}}

    assert refused_parameters(read_refusal(400, {"error": {"message": message}}), sent) == refused


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        (" 2.5 ", 2.5),
        ("soon", None),
        ("-3", None),
        ("Sat, 21 Nov 2026 00:00:07 GMT", 7.0),
        ("Sat, 21 Nov 2026 00:00:07 -0000", 7.0),
        ("Fri, 20 Nov 2026 00:00:00 GMT", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after_s(value, now=datetime(2026, 11, 21, tzinfo=UTC)) == seconds


@given(st.text())
@hypothesis_settings(deadline=None)
def test_no_retry_after_is_too_odd(value: str) -> None:
    seconds = retry_after_s(value)

    assert seconds is None or seconds >= 0


def found(ref: str, **given: Any) -> str:
    with closing(Transport()) as transport:
        return Credentials(constant(bare_settings(**given)), transport).find(ref)


def test_a_key_is_found_by_its_variable() -> None:
    assert found("env:OPENAI_API_KEY", openai_api_key=KEY) == KEY


@pytest.mark.parametrize("ref", ["env:OPENAI_API_KEY", "env:RCA_HOME", "env:NOT_THERE", "env:secrets", "env:database"])
def test_a_missing_key_is_an_error_that_names_its_variable(ref: str) -> None:
    with pytest.raises(ProviderAuthError, match=ref.removeprefix("env:")):
        found(ref)


@pytest.mark.parametrize("key", ["two words", "line\nbreak", "schlüssel"])
def test_a_key_that_cannot_be_sent_is_refused_unquoted(key: str) -> None:
    with pytest.raises(ProviderAuthError) as caught:
        found("env:OPENAI_API_KEY", openai_api_key=key)

    assert key not in str(caught.value)


PRICE = Price(
    input_per_mtok=2.0, output_per_mtok=10.0, cached_input_per_mtok=0.5, cache_write_per_mtok=4.0, source="test"
)


def test_cached_and_written_tokens_have_their_own_price() -> None:
    usage = Usage(
        input_tokens=1_000_000, cached_input_tokens=400_000, cache_write_tokens=100_000, output_tokens=100_000
    )

    assert cost_usd(usage, PRICE) == pytest.approx(0.5 * 2 + 0.4 * 0.5 + 0.1 * 4 + 0.1 * 10)


def test_without_prices_of_their_own_they_cost_what_input_costs() -> None:
    usage = Usage(input_tokens=1_000_000, cached_input_tokens=500_000, output_tokens=0)

    assert cost_usd(usage, Price(input_per_mtok=2.0, output_per_mtok=1.0, source="test")) == 2.0


def test_an_unknown_cost_is_none_and_a_free_one_zero() -> None:
    usage = Usage(input_tokens=5, output_tokens=5)

    assert cost_usd(usage, None) is None
    assert cost_usd(Usage(input_tokens=5), PRICE) is None
    assert cost_usd(Usage(), PRICE) is None
    assert cost_usd(usage, Price(input_per_mtok=0.0, output_per_mtok=0.0, source="test")) == 0.0
