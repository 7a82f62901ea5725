"""What a provider's refusal means: one ordered table from status and body to the error that says what to do."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from worker.domain.conversation import JsonObject
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
)

PIECE_CHARS = 160  # what is shown of a provider's own words
_OK = 200
_UNKNOWN = 0  # an error inside an answer that gives no status


@dataclass(frozen=True)
class Refusal:
    """What the provider said: its status, and the words of its error that classify it.

    `hint` is what we can add for a model that is not found.
    """

    status: int
    words: str = ""
    message: str = ""
    hint: str = ""


@dataclass(frozen=True)
class _Rule:
    """One row: these statuses, or these words under any status an error may come with."""

    error: Callable[..., ProviderError]
    fix: str
    statuses: frozenset[int] = frozenset()
    pattern: re.Pattern[str] | None = None

    def fits(self, refusal: Refusal) -> bool:
        if self.pattern and self.pattern.search(refusal.words):
            return True
        return refusal.status in self.statuses


def _words(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


# The first row that fits decides. Words come before the statuses they are hidden under: an empty account
# answers 429 at OpenAI and 400 at Anthropic, moderation 403 at OpenRouter, a model of another API 404 at OpenAI.
_RULES: tuple[_Rule, ...] = (
    _Rule(
        InvalidRequestError,
        "this model takes OpenAI's Responses API alone, which is spoken where models are known to reason; pick another",
        pattern=_words("v1/responses"),
    ),
    _Rule(
        ProviderQuotaError,
        "the account has no credit left; top it up or use another key",
        statuses=frozenset({402}),
        pattern=_words(
            "insufficient_quota", "billing_", "billing hard limit", "credit balance", "insufficient credits"
        ),
    ),
    _Rule(
        ContextOverflowError,
        "the conversation is larger than the model's context window; shorten it or pick a model with a larger one",
        statuses=frozenset({413}),
        pattern=_words(
            "context_length_exceeded",
            "prompt is too long",
            "maximum context length",
            "context window",
            "request too large",
            "input is too long",
            "exceeds? (the )?(available )?context",
            "exceeds the maximum number of tokens",
            "request_too_large",
        ),
    ),
    _Rule(
        ProviderAuthError,
        "the key is not the gateway's: without a database LiteLLM takes its master key alone",
        pattern=_words("no_db_connection"),
    ),
    _Rule(
        ProviderAuthError,
        "the temporary credentials have expired; get new ones",
        pattern=_words("ExpiredToken"),
    ),
    _Rule(
        ProviderAuthError,
        "the key is wrong or revoked; check it for extra blanks and for the right variable",
        statuses=frozenset({401}),
        pattern=_words(
            "invalid_api_key",
            "API_KEY_INVALID",
            "authentication_error",
            "UnrecognizedClient",
            "InvalidSignature",
            "SignatureDoesNotMatch",
        ),
    ),
    _Rule(
        ModelNotFoundError,
        "this model is asked for by an inference profile; write us., eu., apac. or global. before its id",
        pattern=_words("on-demand throughput"),
    ),
    _Rule(
        ModelNotFoundError,
        "the provider does not know the model, or the key has no access to it; check the model's name",
        statuses=frozenset({404}),
        pattern=_words(
            "model_not_found",
            "not_found_error",
            "is not a valid model",
            "does not exist or you do not have",
            "model identifier is invalid",
        ),
    ),
    _Rule(
        ModelRefusedError,
        "the provider's content filter refused the conversation",
        pattern=_words("content_policy", "content_filter", "moderation", "flagged"),
    ),
    _Rule(
        ProviderAuthError,
        "the key may not do this; give it access to the model",
        statuses=frozenset({403}),
        pattern=_words("permission_error"),
    ),
    _Rule(
        ProviderRateLimitedError,
        "wait, run fewer investigations at once, or raise the account's limit",
        statuses=frozenset({429}),
        pattern=_words("rate_limit", "too many requests", "Throttling"),
    ),
    _Rule(
        ProviderUnavailableError,
        "the provider is overloaded or down; see its status page",
        statuses=frozenset({_UNKNOWN, 408, 409, 424, 425, *range(500, 600)}),
        pattern=_words("overloaded", "server_error", "api_error", "timeout_error"),
    ),
    _Rule(
        InvalidRequestError,
        "a redirect is not followed; set the base URL to the final address",
        statuses=frozenset(range(300, 400)),
    ),
)
_OTHERWISE = _Rule(InvalidRequestError, "the provider refused the request as sent")


def read_refusal(status: int, body: Any) -> Refusal:
    """Read the error of any vendor's body: `{"error": {…}}`, a list of one, or no JSON at all."""
    body = body[0] if isinstance(body, list) and body else body
    error = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(error, dict):
        return Refusal(status, str(error or ""), str(error or ""))
    message = str(error.get("message") or "")
    kinds = [error.get(name) for name in ("type", "code", "status", "param")]
    kinds += [detail.get("reason") for detail in _details(error)]
    words = " ".join([*(str(kind) for kind in kinds if kind), message])
    return Refusal(status, words, message)


def _details(error: JsonObject) -> list[JsonObject]:
    """Return the details of one of Google's errors, which say in a word what the message says in many."""
    details = error.get("details")
    return [detail for detail in details if isinstance(detail, dict)] if isinstance(details, list) else []


def classify(refusal: Refusal, *, key: str | None = None, retry_after_s: float | None = None) -> ProviderError:
    """Return the error a refusal stands for, with what to do and a piece of what the provider said."""
    rule = next((rule for rule in _RULES if rule.fits(refusal)), _OTHERWISE)
    status = refusal.status or None
    may_quote = key is None and rule.error is ProviderAuthError  # the key, in part, and we do not know it
    said = "" if may_quote else _piece(refusal.message, key)
    hint = f"; {refusal.hint}" if refusal.hint and rule.error is ModelNotFoundError else ""
    message = f"{status or 'an error'}: {rule.fix}{hint}" + (f" (it said: {said})" if said else "")
    return rule.error(message, status=status, retry_after_s=retry_after_s)


def error_inside(body: JsonObject) -> ProviderError | None:
    """Return the error that an answer with status 200 carries; None where it carries none."""
    if not body.get("error"):
        return None
    refusal = read_refusal(_UNKNOWN, body)
    error = body["error"]
    code = error.get("code") if isinstance(error, dict) else None
    if isinstance(code, int) and code > _OK:
        refusal = replace(refusal, status=code)
    return classify(refusal)


SAMPLING = ("temperature", "top_p", "top_k", "topP", "topK")
_OUT_OF_RANGE = _words("range", "less than or equal", "greater than or equal", "maximum value", "minimum value")
_NO_FORCED_TOOL = _words("tool_?choice.*(thinking|support)", "(thinking|support).*tool_?choice")


def refused_parameters(refusal: Refusal, sent: Mapping[str, Any]) -> frozenset[str]:
    """Return what was sent that this model takes no part of: sampling, or a forced tool where it thinks.

    None of them when only a value is out of range: that is somebody's mistake to correct.
    """
    if refusal.status != 400 or _OUT_OF_RANGE.search(refusal.words):  # noqa: PLR2004 - HTTP's bad request
        return frozenset()
    named = {name for name in SAMPLING if name in refusal.words}
    if _NO_FORCED_TOOL.search(refusal.words):
        named |= {"tool_choice", "toolChoice"}
    return frozenset(named & _parameters(sent))


def _parameters(body: Mapping[str, Any]) -> set[str]:
    """Return what a request sets, by itself or in a group such as Gemini's `generationConfig`."""
    groups = (value for value in body.values() if isinstance(value, dict))
    return {*body, *(name for group in groups for name in group)}


def without(body: JsonObject, names: frozenset[str]) -> tuple[JsonObject, frozenset[str]]:
    """Return the request without these parameters, and which of them it had."""
    kept = {name: _less(value, names) for name, value in body.items() if name not in names}
    return kept, frozenset(names & _parameters(body))


def _less(value: Any, names: frozenset[str]) -> Any:
    return {name: inner for name, inner in value.items() if name not in names} if isinstance(value, dict) else value


_KEY_LIKE = re.compile(r"\b(sk-|AIza|AKIA|ASIA|Bearer\s+|key-)\S+|\S*\*{2,}\S*")
"""What begins as keys do, and what is masked as vendors mask them."""
_FRAGMENT = 4


def scrub(text: str, key: str | None) -> str:
    """Take every key out of a text: what looks like one, and each word that holds a fragment of ours."""
    text = _KEY_LIKE.sub("[key]", text)
    if not key:
        return text
    fragments = {key[i : i + _FRAGMENT] for i in range(max(len(key) - _FRAGMENT + 1, 1))}
    return " ".join("[key]" if any(f in word for f in fragments) else word for word in text.split())


def _piece(text: str, key: str | None) -> str:
    clean = scrub(text, key)
    return clean if len(clean) <= PIECE_CHARS else clean[:PIECE_CHARS] + "…"


def malformed(what: str, *, status: int) -> MalformedAnswerError:
    """Build the error for an answer that is not the protocol's."""
    fix = "check that the base URL is the provider's API" if status == _OK else "see the provider's status page"
    return MalformedAnswerError(f"{what}; {fix}", status=status)
