"""The shared provider client: one call of a model, with its retries, its deadline and errors that say what to do."""

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from worker.domain.conversation import Confirm, JsonObject, ModelAnswer, ModelRequest, Route, Usage
from worker.errors import (
    LimitReachedError,
    MalformedAnswerError,
    ProviderError,
    ProviderQuotaError,
    ProviderRateLimitedError,
    ProviderUnavailableError,
    RouteError,
    TransientError,
)
from worker.llm.callers import Callers
from worker.llm.failures import SAMPLING, classify, malformed, refused_parameters, scrub, without
from worker.llm.gate import KNOWN, Asking, End, Gate, Held, LocalGate, Ticket, Why
from worker.llm.secrets import Credentials
from worker.llm.standing import Source, constant
from worker.llm.transport import Answered, Request, Transport
from worker.llm.wires import WIRES, Signer, Wire
from worker.llm.wires.reading import parse_json
from worker.settings import Settings

FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 5.0
"""What a provider may ask us to wait in place; for more the worker's slot is freed."""
MALFORMED_ATTEMPTS = 2
CHARS_PER_TOKEN = 4
TELLING_S = 5.0
"""A request that had less time says nothing of its account where none came back in it."""
SPREAD_S = 2.0
"""Those who are sent away together do not come back in the same moment."""

_OK = 200
_REQUEST_IDS = ("request-id", "x-request-id", "x-amzn-requestid")


@dataclass
class _Call:
    """One call under way: what is sent, until when, and what it has taken so far."""

    wire: Wire
    route: Route
    key: str | None
    body: JsonObject
    deadline: float
    dropped: frozenset[str] = frozenset()
    attempts: int = 0
    failures: int = 0
    spent_s: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)


class _ParametersRefusedError(Exception):
    """The model does not take these parameters: sent again without them, the call can succeed."""

    def __init__(self, names: frozenset[str]) -> None:
        super().__init__(sorted(names))
        self.names = names


class ProviderClient:
    """Asks models; safe to share between threads. Times are seconds of a monotonic clock."""

    def __init__(
        self,
        settings: Settings,
        *,
        source: Source | None = None,
        gate: Gate | None = None,
        callers: Callers | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = settings
        self._gate = gate or LocalGate(clock)
        self._clock = clock
        self._sleep = sleep
        self._transport = Transport()
        self._source = source or constant(settings)
        self._credentials = Credentials(self._source, self._transport, callers)
        self._refused: dict[tuple[str, str], frozenset[str]] = {}
        self._signers: dict[str, Signer] = {}

    def ask(
        self, request: ModelRequest, *, route: Route, timeout_s: float, confirm: Confirm | None = None
    ) -> ModelAnswer:
        """Ask once, retries and waits included within `timeout_s`.

        Raises a ProviderError that names the provider, and what `confirm` raises.
        """
        try:
            return self._ask_until_done(self._prepare(request, route, timeout_s), confirm or bool)
        except ProviderError as error:
            error.provider = route.provider
            error.args = (f"{route.label}: {error}",)
            raise

    def close(self) -> None:
        self._transport.close()

    def _prepare(self, request: ModelRequest, route: Route, timeout_s: float) -> _Call:
        wire = WIRES.get(route.wire)
        if wire is None:
            raise RouteError(f"{route.label} is not asked over a wire ({route.wire})")
        deadline = self._clock() + timeout_s  # a credential may have to be fetched, within the call's time
        key = self._credentials.find(route.credential_ref) if route.credential_ref else None
        if request.temperature is None and route.temperature is not None:
            request = request.model_copy(update={"temperature": route.temperature})
        body = wire.encode(request, route)
        call = _Call(wire, route, key, body, deadline=deadline)
        call.headers = {"content-type": "application/json", "accept": "application/json", **wire.headers(route, key)}
        self._drop(call, self._refused.get((route.base_url, route.model), frozenset()))
        return call

    def _ask_until_done(self, call: _Call, confirm: Confirm) -> ModelAnswer:
        while True:
            ticket = self._enter(call)
            try:
                return self._finish(call, self._send(call, ticket, confirm))
            except _ParametersRefusedError as refused:
                self._remember(call, refused.names)
            except TransientError as error:
                call.failures += 1
                self._wait(call, error)

    def _enter(self, call: _Call) -> Ticket:
        """Wait until the account may be asked; raise where that takes longer than a slot is worth."""
        asking, waited_s = self._asking(call), 0.0
        while isinstance(held := self._gate.enter(asking), Held):
            waited_s += held.for_s
            if waited_s > LONGEST_WAIT_S or self._clock() + held.for_s >= call.deadline:
                error = _error_of(held)
                error.was_asked = False
                raise error
            self._sleep(held.for_s)
        return held

    def _asking(self, call: _Call) -> Asking:
        limits = self._source().file.limits(call.route.provider, address=call.route.base_url)
        if limits.is_closed:
            raise ProviderQuotaError("RCA_LLM_CONFIG limits this account to 0; raise it to let requests through")
        is_counted = limits.tokens_per_minute is not None
        return Asking(call.route, limits, len(json.dumps(call.body)) // CHARS_PER_TOKEN if is_counted else 0)

    def _send(self, call: _Call, ticket: Ticket, confirm: Confirm) -> ModelAnswer:
        """Send one request, if it is still the caller's to send, and tell the gate how it ended."""
        end, tokens, began = End.UNKNOWN, None, self._clock()
        try:
            answer = self._attempt(call, confirm)
            end, tokens = End.ANSWERED, _total(answer.usage)
        except ProviderUnavailableError:
            end = End.UNKNOWN if self._was_short(call, began) else End.FAILED
            raise
        except (ProviderError, _ParametersRefusedError):
            end = End.ANSWERED
            raise
        finally:
            self._gate.leave(ticket, end, tokens=tokens)
        return answer

    def _was_short(self, call: _Call, began: float) -> bool:
        """Say whether the call's time was over too soon to tell anything of the provider."""
        return self._clock() >= call.deadline and call.deadline - began < TELLING_S

    def _attempt(self, call: _Call, confirm: Confirm) -> ModelAnswer:
        """Send one request, confirmed with its connection open, and read its answer."""
        call.attempts += 1
        started = self._clock()
        try:
            answered = self._post(call, self._request(call), confirm)
        finally:
            call.spent_s += self._clock() - started
        return _read_answer(call, answered)

    def _request(self, call: _Call) -> Request:
        if call.wire.signer is None:
            return Request(call.wire.url(call.route), call.headers, json.dumps(call.body).encode())
        signer = self._signers.get(call.wire.name) or self._signers.setdefault(call.wire.name, call.wire.signer())
        return signer.sign(call.body, call.route, call.key or "")

    def _post(self, call: _Call, request: Request, confirm: Confirm) -> Answered:
        left = call.deadline - self._clock()
        if left <= 0:
            raise ProviderUnavailableError("no time is left for the call; raise its timeout")
        return self._transport.post(request, timeout_s=left, ip=call.route.ip, before=confirm)

    def _wait(self, call: _Call, error: TransientError) -> None:
        """Wait for the next attempt; raise the error where there is none, or not in time."""
        allowed = MALFORMED_ATTEMPTS if isinstance(error, MalformedAnswerError) else self._settings.rca_call_attempts
        pause = error.retry_after_s
        if pause and pause > LONGEST_WAIT_S:
            self._gate.cool_down(call.route, pause)
        if pause is None:
            pause = FIRST_WAIT_S * 2 ** (call.failures - 1) * random.uniform(0.5, 1.0)  # noqa: S311 - not a secret
        spent = call.failures >= min(allowed, self._settings.rca_call_attempts)
        if spent or pause > LONGEST_WAIT_S or self._clock() + pause >= call.deadline:
            raise error
        self._sleep(pause)

    def _remember(self, call: _Call, names: frozenset[str]) -> None:
        """Leave these out now; sampling from now on too (a forced tool only now: `none` must not get lost)."""
        place = (call.route.base_url, call.route.model)
        if len(self._refused) >= KNOWN:
            self._refused.clear()  # callers bring ever new ones; what is forgotten costs one refusal
        self._refused[place] = self._refused.get(place, frozenset()) | names.intersection(SAMPLING)
        self._drop(call, names)

    def _drop(self, call: _Call, names: frozenset[str]) -> None:
        call.body, dropped = without(call.body, names)
        call.dropped |= dropped

    def _finish(self, call: _Call, answer: ModelAnswer) -> ModelAnswer:
        notes = tuple(f"{name} was not sent: {call.route.label} refuses it" for name in sorted(call.dropped))
        return answer.model_copy(
            update={"attempts": call.attempts, "latency_ms": round(call.spent_s * 1000), "notes": notes}
        )


def _read_answer(call: _Call, answered: Answered) -> ModelAnswer:
    body = _json(answered)
    if answered.status != _OK:
        refusal = call.wire.refusal(answered, body, call.route)
        if names := refused_parameters(refusal, call.body):
            raise _ParametersRefusedError(names)
        raise classify(refusal, key=call.key, retry_after_s=retry_after_s(answered.headers.get("retry-after")))
    if not isinstance(body, dict):
        raise malformed("the answer is not a JSON object", status=answered.status)
    try:
        answer = call.wire.decode(body)
        call.wire.check(answer, call.route)
    except ProviderError as error:
        error.args = (scrub(str(error), call.key),)  # the wire does not know the key that an error may quote
        raise
    request_id = next((answered.headers[name] for name in _REQUEST_IDS if name in answered.headers), answer.request_id)
    return answer.model_copy(update={"request_id": request_id})


def _error_of(held: Held) -> ProviderError:
    """Return what a request that is held back for long fails with."""
    when_s = held.for_s + random.uniform(0.0, SPREAD_S)  # noqa: S311 - not a secret
    if held.why is Why.COOLDOWN:
        return ProviderRateLimitedError(f"it asked to be left alone, for {held.for_s:.0f} s more", retry_after_s=when_s)
    if held.why is Why.CIRCUIT:
        return ProviderUnavailableError(
            f"its last requests failed; it is tried again in {held.for_s:.0f} s", retry_after_s=when_s
        )
    return LimitReachedError(f"its limit of {_LIMITS[held.why]} in RCA_LLM_CONFIG is reached", retry_after_s=when_s)


_LIMITS = {
    Why.REQUESTS: "requests a minute",
    Why.TOKENS: "tokens a minute",
    Why.CONCURRENT: "requests at a time",
}


def _total(usage: Usage) -> int | None:
    if usage.input_tokens is None or usage.output_tokens is None:
        return None
    return usage.input_tokens + usage.output_tokens


def _json(answered: Answered) -> object:
    """Parse the body; None where it is no JSON, which under an error status is nothing unusual."""
    try:
        return parse_json(answered.body)
    except ValueError:
        return None


def retry_after_s(value: str | None, *, now: datetime | None = None) -> float | None:
    """Read a Retry-After header, seconds or an HTTP date; None where it is absent or unreadable."""
    if value is None:
        return None
    text = value.strip()
    if text.replace(".", "", 1).isdecimal():
        return float(text)
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max((until.replace(tzinfo=until.tzinfo or UTC) - (now or datetime.now(UTC))).total_seconds(), 0.0)
