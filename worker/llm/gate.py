"""The gate before each account: whether a request may go now, by the operator's limits and what its provider said.

An account is one credential at one address. Windows are the last 60 whole seconds and the one that runs: in no minute
more goes through than the limit says. The circuit opens when requests fail one after the other, and lets single ones
try again.
"""

import hashlib
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from worker.domain.conversation import Route
from worker.llm.config_file import Limits

WINDOW_S = 60
_COUNTS_S = WINDOW_S + 1
MOST_COOLDOWN_S = 600.0
"""Then somebody asks again, whatever was said: one answer must not stop a fleet for a day."""
FAILURES = 5
"""So many failed requests in a row, none of them a minute after another, open the circuit."""
OPEN_S = (5.0, 60.0)
"""How long the circuit stays open at first, and at the most after it has doubled."""
PROBE_S = 15.0
"""How long others wait for the one request that tries again."""
KNOWN = 500
"""From so many accounts on, those that rest are forgotten: callers bring ever new ones."""
LOOK_AGAIN_S = 0.5
"""When to ask again where nobody can say for how long others will take."""


class Why(StrEnum):
    """What holds a request back."""

    COOLDOWN = "cooldown"  # the provider asked to be left alone
    CIRCUIT = "circuit"  # its last requests failed
    REQUESTS = "requests"
    TOKENS = "tokens"
    CONCURRENT = "concurrent"


class End(StrEnum):
    """How a request ended, as far as the account is concerned."""

    ANSWERED = "answered"  # whatever the answer was
    FAILED = "failed"  # no answer, or that it cannot now
    UNKNOWN = "unknown"  # it says nothing of the account


@dataclass(frozen=True)
class Asking:
    """A request about to be sent; `tokens` is what it is expected to take, where tokens are limited."""

    route: Route
    limits: Limits
    tokens: int = 0


@dataclass(frozen=True)
class Ticket:
    """The right to send one request, to be handed back with how it ended."""

    account: str
    id: str
    second: int
    asking: Asking
    is_after_failures: bool = False


@dataclass(frozen=True)
class Held:
    """Why not now, and when to ask again (seconds)."""

    why: Why
    for_s: float


@dataclass(frozen=True)
class Standing:
    """What an account has used, for people: of the last minute, and now. Times are seconds still to go."""

    requests: int = 0
    tokens: int = 0
    running: int = 0
    cooldown_s: float = 0.0
    circuit_s: float = 0.0


class Gate(Protocol):
    """Safe to share between threads; nothing is raised."""

    def enter(self, asking: Asking) -> Ticket | Held: ...

    def leave(self, ticket: Ticket, end: End, *, tokens: int | None = None) -> None:
        """Hand the ticket back; `tokens` is what the request took, None where nobody said."""

    def cool_down(self, route: Route, seconds: float) -> None:
        """Let nobody through for so long, unless that is so for longer already."""

    def look(self, route: Route) -> Standing: ...


class _Window:
    """What went through, by whole seconds."""

    def __init__(self) -> None:
        self._used: dict[int, int] = defaultdict(int)

    def sum(self, second: int) -> int:
        for old in [s for s in self._used if s <= second - _COUNTS_S]:
            del self._used[old]
        return max(sum(self._used.values()), 0)

    def wait_s(self, now: float, *, limit: int | None, cost: int) -> float:
        """Return in how many seconds there is room. What is larger than the limit passes an empty window."""
        used = self.sum(int(now))
        if limit is None or not used or used + cost <= limit:
            return 0.0
        excess, at = used + cost - limit, int(now)
        for at in sorted(self._used):
            excess -= self._used[at]
            if excess <= 0:
                break
        return at + _COUNTS_S - now

    def add(self, second: int, amount: int) -> None:
        self._used[second] += amount


@dataclass
class _Circuit:
    failures: int = 0
    failed_at: float = 0.0
    opened: int = 0
    open_until: float = 0.0
    probe_until: float = 0.0

    def wait_s(self, now: float) -> float:
        if now < self.open_until:
            return self.open_until - now
        return min(self.probe_until - now, LOOK_AGAIN_S) if self.opened and now < self.probe_until else 0.0

    def fail(self, now: float) -> None:
        is_in_a_row = self.opened or now - self.failed_at < WINDOW_S
        self.failures, self.failed_at = (self.failures + 1 if is_in_a_row else 1), now
        if self.failures >= FAILURES or self.opened:
            self.open_until = now + min(OPEN_S[0] * 2**self.opened, OPEN_S[1])
            self.opened, self.probe_until = min(self.opened + 1, 9), 0.0


@dataclass
class _Account:
    requests: _Window = field(default_factory=_Window)
    tokens: _Window = field(default_factory=_Window)
    running: set[str] = field(default_factory=set)
    circuit: _Circuit = field(default_factory=_Circuit)
    cooldown_until: float = 0.0

    def find_hold(self, asking: Asking, now: float) -> Held | None:
        limits = asking.limits
        waits = (
            (Why.COOLDOWN, self.cooldown_until - now),
            (Why.CIRCUIT, self.circuit.wait_s(now)),
            (Why.REQUESTS, self.requests.wait_s(now, limit=limits.requests_per_minute, cost=1)),
            (Why.TOKENS, self.tokens.wait_s(now, limit=limits.tokens_per_minute, cost=asking.tokens)),
            (Why.CONCURRENT, LOOK_AGAIN_S if _is_full(len(self.running), limits.concurrent) else 0.0),
        )
        return next((Held(why, wait_s) for why, wait_s in waits if wait_s > 0), None)

    def is_idle(self, now: float) -> bool:
        """Say whether nothing would change if it were forgotten."""
        rests = max(self.cooldown_until, self.circuit.failed_at + MOST_COOLDOWN_S) <= now
        return rests and not self.running and not self.requests.sum(int(now))

    def count(self, asking: Asking, id_: str, now: float) -> None:
        self.requests.add(int(now), 1)
        self.tokens.add(int(now), asking.tokens)
        self.running.add(id_)
        if self.circuit.opened:
            self.circuit.probe_until = now + PROBE_S


def _is_full(running: int, limit: int | None) -> bool:
    return limit is not None and running >= limit


class LocalGate:
    """The gate of one process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._accounts: dict[str, _Account] = {}
        self._lock = threading.Lock()
        self._numbers = iter(range(1, 2**63))

    def enter(self, asking: Asking) -> Ticket | Held:
        name, now = account_of(asking.route), self._clock()
        with self._lock:
            account = self._account(name)
            if held := account.find_hold(asking, now):
                return held
            ticket = Ticket(
                name, str(next(self._numbers)), int(now), asking, is_after_failures=bool(account.circuit.failures)
            )
            account.count(asking, ticket.id, now)
            return ticket

    def note(self, ticket: Ticket) -> None:
        """Count a request that somebody else let through."""
        with self._lock:
            self._account(ticket.account).count(ticket.asking, ticket.id, self._clock())

    def leave(self, ticket: Ticket, end: End, *, tokens: int | None = None) -> None:
        now = self._clock()
        with self._lock:
            account = self._account(ticket.account)
            account.running.discard(ticket.id)
            if tokens is not None:
                account.tokens.add(ticket.second, tokens - ticket.asking.tokens)
            if end is End.FAILED:
                account.circuit.fail(now)
            elif end is End.ANSWERED:
                account.circuit = _Circuit()
            else:
                account.circuit.probe_until = 0.0

    def cool_down(self, route: Route, seconds: float) -> None:
        until = self._clock() + min(seconds, MOST_COOLDOWN_S)
        with self._lock:
            account = self._account(account_of(route))
            account.cooldown_until = max(until, account.cooldown_until)

    def look(self, route: Route) -> Standing:
        now = self._clock()
        with self._lock:
            account = self._account(account_of(route))
            return Standing(
                account.requests.sum(int(now)),
                account.tokens.sum(int(now)),
                len(account.running),
                max(account.cooldown_until - now, 0.0),
                account.circuit.wait_s(now),
            )

    def _account(self, name: str) -> _Account:
        if name not in self._accounts and len(self._accounts) >= KNOWN:
            now = self._clock()
            self._accounts = {other: account for other, account in self._accounts.items() if not account.is_idle(now)}
        return self._accounts.setdefault(name, _Account())


def account_of(route: Route) -> str:
    """Name an account without telling its address or its credential's name."""
    told = "\n".join(
        (route.provider, route.base_url, route.region or "", route.project or "", route.credential_ref or "")
    )
    return hashlib.sha256(told.encode()).hexdigest()[:32]
