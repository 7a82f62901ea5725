"""The models as they are configured now, in this process: one generation at a time, followed within a second.

A change writes the next generation into the database and its number into Redis. Each process looks there, a few times
a second at the most and only when somebody asks; and into the database every few seconds, whatever Redis says.
What cannot work is not taken for new investigations: the generation before serves on, and the log says why. But keys
are always the newest: one that was removed is gone, whatever else that breaks.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import structlog
from pydantic import SecretStr
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy.exc import ProgrammingError

from worker.domain.model_state import ModelState
from worker.errors import ConfigError, ProviderError, SealError, StorageUnavailableError
from worker.llm.routing import Router
from worker.llm.sealing import Seals
from worker.llm.standing import Standing, StoredKeys, lay_over, read_standing
from worker.llm.vault import Vault
from worker.ops.redaction import Redactor
from worker.settings import Settings
from worker.storage import generations, provider_keys
from worker.storage.database import Database

log = structlog.get_logger()

KEY = "rca:llm:generation"
LOOK_EVERY_S = 0.25
POLL_EVERY_S = 4.0
"""How often the database is asked where Redis says nothing new, and Redis while it is away."""
_RAISE = """
if tonumber(ARGV[1]) > tonumber(redis.call('GET', KEYS[1]) or 0) then redis.call('SET', KEYS[1], ARGV[1]) end
"""


class Signal:
    """The number of the newest generation, told through Redis."""

    def __init__(self, redis: Redis, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis, self._clock = redis, clock
        self._raise = redis.register_script(_RAISE)
        self._away_until = 0.0

    def tell(self, generation: int) -> None:
        """Let every process know, if they do not know of a newer one. Where Redis is away they find out themselves."""
        try:
            self._raise((KEY,), (generation,))
        except RedisError as error:
            log.info("generation_untold", generation=generation, error=type(error).__name__)

    def hear(self) -> int | None:
        """Return the number; None where Redis is away or has forgotten it."""
        if self._clock() < self._away_until:
            return None
        try:
            told = self._redis.get(KEY)
        except RedisError:
            self._away_until = self._clock() + POLL_EVERY_S
            return None
        return int(told) if told else None


class CurrentModels:
    """Safe to share between threads: one of them looks, the others go on with what is known."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        *,
        signal: Signal | None = None,
        redactor: Redactor | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._database, self._signal = settings, database, signal
        self._redactor, self._clock = redactor, clock
        self._seals = Seals(settings)
        self.vault = Vault(settings)
        self._in_vault: dict[str, str] = {}
        self._standing = self._latest = read_standing(settings)
        self._refused = 0
        self._heard: int | None = None
        self._looks_at = self._polls_at = 0.0
        self._looking = threading.Lock()

    def get(self) -> Standing:
        """Return what holds now for new investigations, as far as this process can know."""
        self._keep_up()
        return self._standing

    def latest(self) -> Standing:
        """Return the newest there is, whether or not new investigations could work with it: for keys and limits."""
        self._keep_up()
        return self._latest

    def _keep_up(self) -> None:
        if self._clock() >= self._looks_at and self._looking.acquire(blocking=False):
            try:
                self._look()
                self._looks_at = self._clock() + LOOK_EVERY_S
            finally:
                self._looking.release()

    @property
    def generation(self) -> int:
        return self._standing.generation

    def tell(self, generation: int) -> None:
        """Let the other processes know of a generation that was just made."""
        if self._signal:
            self._signal.tell(generation)

    def refresh(self) -> Standing:
        """Look now, for whoever has just made a change."""
        with self._looking:
            self._polls_at = 0.0
            self._look()
        return self._standing

    def _look(self) -> None:
        heard = self._signal.hear() if self._signal else None
        is_news = heard not in {None, self._heard, self._standing.generation, self._refused}
        if not is_news and self._clock() < self._polls_at:
            return
        self._polls_at = self._clock() + POLL_EVERY_S
        try:
            with self._database.reading() as session:
                state = generations.read_newest(session)
                sealed = provider_keys.all_keys(session)
        except (StorageUnavailableError, ProgrammingError):  # the latter: before the tables are there
            return
        self._heard = heard
        if self._signal and state.generation > (heard or 0):
            self._signal.tell(state.generation)
        if state.generation not in {self._standing.generation, self._refused}:
            self._take(state, sealed)

    def _take(self, state: ModelState, sealed: list[provider_keys.SealedKey]) -> None:
        keys = self.open_keys(sealed, self.read_vault())
        if self._redactor:
            self._redactor.learn(key.get_secret_value() for key in keys.values.values())
        try:
            standing = self._latest = read_standing(self._settings, state, keys)
            Router(standing.settings, source=lambda: standing)
        except ConfigError as error:
            self._latest = replace(
                self._latest, settings=lay_over(self._settings, state, keys.values), state=state, sources=keys.sources
            )
            self._refused = state.generation
            log.warning("generation_refused", generation=state.generation, serving=self.generation, error=str(error))
            return
        self._standing = standing
        log.info("generation_taken", generation=state.generation)

    def open_keys(self, sealed: list[provider_keys.SealedKey], in_vault: dict[str, str]) -> StoredKeys:
        """Return the stored keys, those in Vault before those in the database; one that cannot be opened is said."""
        values, sources = {}, {}
        for key in sealed:
            try:
                values[key.provider] = SecretStr(self._seals.open(key.sealed, key.seed_id))
                sources[key.provider] = "database"
            except (SealError, ConfigError) as error:
                log.warning("key_not_opened", provider=key.provider, error=str(error))
        for provider, value in in_vault.items():
            values[provider], sources[provider] = SecretStr(value), "vault"
        return StoredKeys(values, sources)

    def read_vault(self) -> dict[str, str]:
        """Return the keys in Vault; while it is away, those it held when it last answered."""
        if self.vault.is_configured:
            try:
                self._in_vault = self.vault.keys()
            except ProviderError as error:
                log.warning("vault_not_read", error=str(error))
        return self._in_vault
