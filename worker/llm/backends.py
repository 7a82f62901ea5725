"""`LLM_BACKEND`: one name for mode and default model, or `auto` for the server of one's own that answers."""

import threading
import time
from collections.abc import Callable
from contextlib import closing

from worker.errors import ConfigError, WorkerError
from worker.llm.providers import OLLAMA, OPENAI, OPENAI_COMPATIBLE, VLLM, Provider, find_provider
from worker.llm.transport import Transport
from worker.settings import Settings

AUTO = "auto"
CACHE_S = 60.0
PROBE_S = 1.9
"""What one server may take to answer."""

Probe = Callable[[str], bool]
_OK = 200


def named_backend(settings: Settings) -> Provider | None:
    """Return the provider of LLM_BACKEND; None where it is unset or `auto`.

    Its `openai` is the compatible endpoint where one is configured: so its document reads.
    """
    if settings.llm_backend == "openai":
        return OPENAI_COMPATIBLE if OPENAI_COMPATIBLE.is_configured(settings) else OPENAI
    return find_provider(settings.llm_backend or "")


def answers(url: str) -> bool:
    """Say whether a GET of this address is answered well, and soon."""
    with closing(Transport()) as transport:
        try:
            return transport.get(url, headers={}, timeout_s=PROBE_S).status == _OK
        except WorkerError:
            return False


def start_thread(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="backend-probe", daemon=True).start()


class AutoBackend:
    """Finds the server of one's own that answers, vLLM before Ollama; never a hosted provider.

    The first look waits for the answer. Later ones, at most one in `CACHE_S`, go on beside whoever asks, and while
    nobody answers the last one that did stays: its calls are tried again like those of any provider that is down.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        probe: Probe = answers,
        clock: Callable[[], float] = time.monotonic,
        run_beside: Callable[[Callable[[], None]], None] = start_thread,
    ) -> None:
        self._probe, self._clock, self._run_beside = probe, clock, run_beside
        self._urls = {VLLM: _root(VLLM, settings) + "/health", OLLAMA: _root(OLLAMA, settings) + "/api/tags"}
        self._found: Provider | None = None
        self._stale_at = 0.0

    def find(self) -> Provider:
        """Return who answers. Raises ConfigError where nobody ever has."""
        if self._found is None:
            self._look()
        elif self._clock() >= self._stale_at:
            self._stale_at = self._clock() + CACHE_S
            self._run_beside(self._look)
        if self._found is None:
            where = " nor ".join(f"{provider.name} at {url}" for provider, url in self._urls.items())
            raise ConfigError(
                f"LLM_BACKEND=auto: neither {where} answers; start one, correct its base URL, or name a backend"
            )
        return self._found

    def _look(self) -> None:
        self._found = next((p for p, url in self._urls.items() if self._probe(url)), self._found)
        self._stale_at = self._clock() + CACHE_S


def _root(provider: Provider, settings: Settings) -> str:
    account = provider.find_account(settings, True)  # LLM_BACKEND=auto gives both an address
    return account.address.text.removesuffix("/v1") if account else ""
