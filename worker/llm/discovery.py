"""What each endpoint itself says it serves: asked beside everything else, remembered for some minutes.

Nothing but lists of models depends on it. Whoever wants one waits for an endpoint's first answer alone, and not long;
later answers are fetched while the one before is still told. Limits and circuits of model calls are not touched.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from worker.domain.conversation import Route
from worker.errors import ConfigError, MalformedAnswerError, ProviderError, WorkerError
from worker.llm.accounts import Account
from worker.llm.failures import classify
from worker.llm.providers import OPENROUTER, OWN_ENDPOINTS, PROVIDERS, Provider
from worker.llm.resolution import Resolver
from worker.llm.secrets import Credentials
from worker.llm.standing import Source
from worker.llm.transport import Answered, Transport
from worker.llm.wires import WIRES, Page, Wire
from worker.llm.wires.reading import parse_json
from worker.settings import Settings

log = structlog.get_logger()

ASK_S = 5.0
"""What an endpoint may take for its whole list, and how long somebody waits for the first."""
AGAIN_S = 30.0
"""When an endpoint that gave no list is asked again."""
MAX_PAGES = 10
MAX_MODELS = 2000
_OK = 200

Lists = Mapping[str, tuple[str, ...]]
"""Models by the name of their owner: a provider, or an endpoint with a name of its own."""
FindLists = Callable[[Mapping[str, Route]], Lists]


class Discovered(Protocol):
    """Whatever finds what endpoints list."""

    def find(self, owners: Mapping[str, Route]) -> Lists:
        """Return the lists of those that have told one; the others are left out."""


class NotDiscovered:
    """Asks nobody."""

    def find(self, owners: Mapping[str, Route]) -> Lists:  # noqa: ARG002 - Discovered's signature
        return {}


def find_owners(resolver: Resolver) -> dict[str, Route]:
    """Return a route without a model to each endpoint whose own list says what it serves now.

    Left out: who is never asked in the present mode, who has an allowlist, and who lists nothing that could be named
    (Azure lists models, and is asked for deployments; Bedrock and Vertex AI list what other wires serve).
    """
    directory = resolver.directory
    closed = directory.lists if directory.is_closed else {}
    kinds = [one for one in PROVIDERS.values() if resolver.mode.provider is not OPENROUTER or one in OWN_ENDPOINTS]
    accounts = {kind.name: (kind.name, _find_account(kind, resolver.settings)) for kind in kinds}
    accounts |= {name: (endpoint.kind.name, endpoint.account) for name, endpoint in directory.endpoints.items()}
    return {
        name: _route(name, kind, account)
        for name, (kind, account) in accounts.items()
        if account and not closed.get(name) and _lists(account)
    }


def _find_account(provider: Provider, settings: Settings) -> Account | None:
    """Return a provider's account; None where nothing makes one, or what is set cannot work."""
    try:
        return provider.find_account(settings, False)
    except ConfigError:
        return None


def _lists(account: Account) -> bool:
    wire = WIRES.get(account.wire)
    return bool(wire and wire.list_url and not account.azure and not account.project)


def _route(name: str, kind: str, account: Account) -> Route:
    address, ref = account.address.text, account.credential_ref
    return Route(provider=name, kind=kind, model="", wire=account.wire, base_url=address, credential_ref=ref)


@dataclass
class _Entry:
    """What is known of one account: what it lists, and how the last look ended (empty: there was none)."""

    models: tuple[str, ...] = ()
    ended: str = ""
    generation: int = -1
    stale_at: float = 0.0
    is_asking: bool = False
    told: threading.Event = field(default_factory=threading.Event)


class Discovery:
    """Safe to share between threads. `kept_s` is how long a list counts as new."""

    def __init__(
        self,
        source: Source,
        *,
        kept_s: float,
        ask_s: float = ASK_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source, self._kept_s, self._ask_s, self._clock = source, kept_s, ask_s, clock
        self._credentials = Credentials(source, Transport())
        self._entries: dict[tuple[str, str | None], _Entry] = {}
        self._lock = threading.Lock()

    def find(self, owners: Mapping[str, Route]) -> Lists:
        """Return what the owners list, as `Discovered` has it; raises nothing.

        Waits for those that were never asked, all together no longer than `ask_s`.
        """
        entries = {name: self._entry(route) for name, route in owners.items()}
        until = self._clock() + self._ask_s
        for entry in entries.values():
            entry.told.wait(max(until - self._clock(), 0.0))
            entry.told.set()  # nobody waits for it twice
        return {name: entry.models for name, entry in entries.items() if entry.models}

    def _entry(self, route: Route) -> _Entry:
        """Return what is known of an endpoint's account; have it asked where that is old, or keys may have changed."""
        generation = self._source().generation
        with self._lock:
            entry = self._entries.setdefault((route.base_url, route.credential_ref), _Entry())
            is_new = entry.generation == generation and self._clock() < entry.stale_at
            if not is_new and not entry.is_asking:
                entry.is_asking, entry.generation = True, generation
                threading.Thread(target=self._look, args=(entry, route), name="models-listed", daemon=True).start()
        return entry

    def _look(self, entry: _Entry, route: Route) -> None:
        try:
            models, ended, why = self._ask(route)
            self._tell(entry, route, len(models), ended=ended, why=why)
            kept_s = self._kept_s if models else min(self._kept_s, AGAIN_S)
            entry.models, entry.ended, entry.stale_at = models, ended, self._clock() + kept_s
        finally:
            entry.is_asking = False
            entry.told.set()

    def _ask(self, route: Route) -> tuple[tuple[str, ...], str, str]:
        """Return the models, a word for how that ended, and what is wrong, for people."""
        try:
            models = tuple(dict.fromkeys(self._read_all(route)))[:MAX_MODELS]
        except WorkerError as error:
            return (), type(error).__name__, str(error)
        return models, "listed" if models else "empty", "its list is empty"

    def _tell(self, entry: _Entry, route: Route, count: int, *, ended: str, why: str) -> None:
        """Log how a look ended where the one before ended otherwise."""
        if ended == entry.ended:
            return
        if count:
            log.info("models_listed", provider=route.provider, count=count)
        else:
            log.warning("models_unlisted", provider=route.provider, reason=ended, error=why)

    def _read_all(self, route: Route) -> Iterator[str]:
        """Yield the ids of all pages. Raises a WorkerError where any of them cannot be had in time."""
        if self._source().file.limits(route.provider, address=route.base_url).is_closed:
            raise ProviderError("RCA_LLM_CONFIG limits this account to 0")
        deadline, wire, after = self._clock() + self._ask_s, WIRES[route.wire], None
        key = self._credentials.find(route.credential_ref) if route.credential_ref else None
        headers = {"accept": "application/json", **wire.headers(route, key)}
        with closing(Transport()) as transport:  # no connection is kept for the minutes between two looks
            for _ in range(MAX_PAGES):
                url, left_s = wire.list_url(route, after) if wire.list_url else "", deadline - self._clock()
                page = _read(wire, route, key, answered=transport.get(url, headers=headers, timeout_s=max(left_s, 0.0)))
                yield from page.models
                if page.next in {None, after}:
                    return
                after = page.next


def _read(wire: Wire, route: Route, key: str | None, *, answered: Answered) -> Page:
    """Read one page. Raises the ProviderError that the answer stands for, without the key."""
    try:
        body = parse_json(answered.body)
    except ValueError:
        body = None
    if answered.status != _OK:
        raise classify(wire.refusal(answered, body, route), key=key)
    if not isinstance(body, dict):
        raise MalformedAnswerError("the list is not a JSON object")
    return wire.read_list(body) if wire.read_list else Page(())


def find_discovered(settings: Settings, source: Source) -> Discovered:
    """Return what asks the endpoints, or what does not where the operator wants none asked."""
    kept_s = settings.rca_model_list_s
    return Discovery(source, kept_s=kept_s) if kept_s else NotDiscovered()
