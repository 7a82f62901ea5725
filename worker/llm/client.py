"""The shared provider client: one call of a model, with its retries, its deadline and errors that say what to do."""

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from worker.domain.conversation import Confirm, JsonObject, ModelAnswer, ModelRequest, Route
from worker.errors import (
    MalformedAnswerError,
    ProviderError,
    ProviderRateLimitedError,
    ProviderUnavailableError,
    RouteError,
    TransientError,
)
from worker.llm.failures import SAMPLING, classify, malformed, refused_parameters, scrub, without
from worker.llm.patience import LocalPatience, Patience
from worker.llm.secrets import Credentials
from worker.llm.transport import Answered, Request, Transport
from worker.llm.wires import WIRES, Signer, Wire
from worker.llm.wires.reading import parse_json
from worker.settings import Settings

FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 5.0
"""What a provider may ask us to wait in place; for more the worker's slot is freed."""
MALFORMED_ATTEMPTS = 2

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
        patience: Patience | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = settings
        self._patience = patience or LocalPatience(clock)
        self._clock = clock
        self._sleep = sleep
        self._transport = Transport()
        self._credentials = Credentials(settings, self._transport)
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
            self._hold(call)
            confirm()
            try:
                return self._finish(call, self._attempt(call))
            except _ParametersRefusedError as refused:
                self._remember(call, refused.names)
            except TransientError as error:
                call.failures += 1
                self._wait(call, error)

    def _hold(self, call: _Call) -> None:
        """Leave the account alone while its provider has asked for it, whoever of the fleet it told."""
        left = self._patience.left_s(call.route)
        if left > LONGEST_WAIT_S or (left and self._clock() + left >= call.deadline):
            raise ProviderRateLimitedError(f"it asked to be left alone, for {left:.0f} s more", retry_after_s=left)
        if left:
            self._sleep(left)

    def _attempt(self, call: _Call) -> ModelAnswer:
        """Send one request and read its answer."""
        call.attempts += 1
        started = self._clock()
        try:
            answered = self._post(call, self._request(call))
        finally:
            call.spent_s += self._clock() - started
        return _read_answer(call, answered)

    def _request(self, call: _Call) -> Request:
        if call.wire.signer is None:
            return Request(call.wire.url(call.route), call.headers, json.dumps(call.body).encode())
        signer = self._signers.get(call.wire.name) or self._signers.setdefault(call.wire.name, call.wire.signer())
        return signer.sign(call.body, call.route, call.key or "")

    def _post(self, call: _Call, request: Request) -> Answered:
        left = call.deadline - self._clock()
        if left <= 0:
            raise ProviderUnavailableError("no time is left for the call; raise its timeout")
        return self._transport.post(request.url, headers=request.headers, body=request.body, timeout_s=left)

    def _wait(self, call: _Call, error: TransientError) -> None:
        """Wait for the next attempt; raise the error where there is none, or not in time."""
        allowed = MALFORMED_ATTEMPTS if isinstance(error, MalformedAnswerError) else self._settings.rca_call_attempts
        pause = error.retry_after_s
        if pause and pause > LONGEST_WAIT_S:
            self._patience.have(call.route, pause)
        if pause is None:
            pause = FIRST_WAIT_S * 2 ** (call.failures - 1) * random.uniform(0.5, 1.0)  # noqa: S311 - not a secret
        spent = call.failures >= min(allowed, self._settings.rca_call_attempts)
        if spent or pause > LONGEST_WAIT_S or self._clock() + pause >= call.deadline:
            raise error
        self._sleep(pause)

    def _remember(self, call: _Call, names: frozenset[str]) -> None:
        """Leave these out now; sampling from now on too (a forced tool only now: `none` must not get lost)."""
        place = (call.route.base_url, call.route.model)
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
