"""One request, bounded in time and size: no answer, however slow or large, holds a thread beyond its deadline.

The environment's proxy variables and `.netrc` are not read: the latter would replace a provider's key.
"""

import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpcore
import httpx

from worker.errors import InvalidRequestError, MalformedAnswerError, ProviderUnavailableError

MAX_BODY_BYTES = 10 * 1024 * 1024
CONNECT_S = 10.0
KEPT_OPEN_S = 60.0  # an agent thinks and runs tools between two calls; a new TLS handshake each time costs more

Before = Callable[[], object]

_LIMITS = httpx.Limits(max_connections=8, max_keepalive_connections=4, keepalive_expiry=KEPT_OPEN_S)


@dataclass(frozen=True)
class Request:
    """An HTTP POST, ready to be sent."""

    url: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Answered:
    """An HTTP answer, read whole."""

    status: int
    headers: httpx.Headers
    body: bytes


@dataclass(frozen=True)
class Told:
    """The head of an HTTP answer; its body was not read."""

    status: int
    headers: httpx.Headers


class Deadline:
    """The moment by which the call of this thread must end, and what bounds it besides.

    `ip` is the address that it may go to (None: any), `before` what has to be asked before its first byte.
    """

    def __init__(self) -> None:
        self._at: float | None = None
        self.ip: str | None = None
        self._before: Before | None = None

    def begin(self, seconds: float, *, ip: str | None, before: Before | None) -> None:
        self._at = time.monotonic() + seconds
        self.ip, self._before = ip, before

    def pass_first_byte(self) -> None:
        """Ask what has to be asked, once. Raises what that raises."""
        before, self._before = self._before, None
        if before is not None:
            before()

    def bound(self, timeout: float | None) -> float | None:
        """Return the time a socket may still take. Raises httpcore.ReadTimeout where none is left."""
        if self._at is None:
            return timeout
        left = self._at - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the deadline has passed")
        return left if timeout is None else min(timeout, left)


class _BoundedStream(httpcore.NetworkStream):
    """A socket whose every read and write ends at the deadline, so that dripped headers are bounded too."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.bound(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._deadline.pass_first_byte()
        self._stream.write(buffer, self._deadline.bound(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        bound = self._deadline.bound(timeout)
        return _BoundedStream(self._stream.start_tls(ssl_context, server_hostname, bound), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _BoundedBackend(httpcore.SyncBackend):
    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline

    def connect_tcp(  # noqa: PLR0917 - httpcore's signature
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        bound = self._deadline.bound(timeout)
        stream = super().connect_tcp(self._deadline.ip or host, port, bound, local_address, socket_options)
        return _BoundedStream(stream, self._deadline)


class Transport:
    """HTTP clients, one for each thread that asks: shared by many threads one costs ten times the CPU.

    They are built at a thread's first call, so after any fork, and closed together or when their thread has ended.
    """

    def __init__(self) -> None:
        self._local = threading.local()
        self._lock = threading.Lock()
        self._clients: dict[threading.Thread, httpx.Client] = {}

    def post(
        self, request: Request, *, timeout_s: float, ip: str | None = None, before: Before | None = None
    ) -> Answered:
        """Post and read the whole answer. Raises ProviderUnavailableError, or MalformedAnswerError if it is too large.

        Redirects are not followed: they would carry the key to another host. `ip` is the only address connected to.
        `before` is called over the open connection, before the first byte goes: what it raises keeps all of them here.
        """
        with self._exchange("POST", request, timeout_s=timeout_s, ip=ip, before=before) as response:
            return Answered(response.status_code, response.headers, _read(response))

    def get(self, url: str, *, headers: dict[str, str], timeout_s: float) -> Answered:
        """Get and read the whole answer. Raises as `post` does."""
        with self._exchange("GET", Request(url, headers, b""), timeout_s=timeout_s) as response:
            return Answered(response.status_code, response.headers, _read(response))

    def tell(self, url: str, *, headers: dict[str, str], body: bytes, timeout_s: float) -> Told:
        """Post and read only how the answer begins, whatever it says then. Raises as `post` does."""
        with self._exchange("POST", Request(url, headers, body), timeout_s=timeout_s) as response:
            return Told(response.status_code, response.headers)

    @contextmanager
    def _exchange(
        self,
        method: str,
        request: Request,
        *,
        timeout_s: float,
        ip: str | None = None,
        before: Before | None = None,
    ) -> Iterator[httpx.Response]:
        client = self._client()
        self._local.deadline.begin(timeout_s, ip=ip, before=before)
        timeout = httpx.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s))
        try:
            with client.stream(
                method, request.url, headers=request.headers, content=request.body, timeout=timeout
            ) as response:
                yield response
        except httpx.TimeoutException as error:
            raise ProviderUnavailableError(f"no answer within {timeout_s:.1f} s; it may be overloaded") from error
        except httpx.DecodingError as error:
            raise MalformedAnswerError("the answer's compression is broken") from error
        except (httpx.UnsupportedProtocol, httpx.InvalidURL, UnicodeError) as error:  # the last: a host no DNS takes
            raise InvalidRequestError("the base URL is no http(s) address; correct it") from error
        except httpx.TransportError as error:
            kind = type(error).__name__
            raise ProviderUnavailableError(f"the connection failed ({kind}); check the base URL and network") from error

    def close(self) -> None:
        """Close every thread's client."""
        with self._lock:
            clients, self._clients = list(self._clients.values()), {}
            self._local = threading.local()
        for client in clients:
            client.close()

    def _client(self) -> httpx.Client:
        client: httpx.Client | None = getattr(self._local, "client", None)
        if client is None:
            self._local.deadline = Deadline()
            client = self._local.client = self._build(self._local.deadline)
            self._register(client)
        return client

    def _register(self, client: httpx.Client) -> None:
        """Remember a client for `close`; take the chance to close those whose threads have ended."""
        with self._lock:
            ended = [thread for thread in self._clients if not thread.is_alive()]
            orphans = [self._clients.pop(thread) for thread in ended]
            self._clients[threading.current_thread()] = client
        for orphan in orphans:
            orphan.close()

    def _build(self, deadline: Deadline) -> httpx.Client:
        transport = httpx.HTTPTransport(verify=self._tls, trust_env=False, limits=_LIMITS)
        # httpx offers no way to pass a network backend; without it only the body could be bounded.
        transport._pool._network_backend = _BoundedBackend(deadline)  # noqa: SLF001 - see above
        no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))  # nothing of one key's call goes with another's
        return httpx.Client(transport=transport, trust_env=False, follow_redirects=False, cookies=no_cookies)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Load the certificates once: for every thread anew they cost tens of milliseconds and megabytes."""
        return httpx.create_ssl_context(trust_env=False)


def _read(response: httpx.Response) -> bytes:
    chunks, size = [], 0
    for chunk in response.iter_bytes():
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise MalformedAnswerError(f"the answer is larger than {MAX_BODY_BYTES // 2**20} MiB")
        chunks.append(chunk)
    return b"".join(chunks)
