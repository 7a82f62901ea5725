"""How requests reach AWS: its own library finds the credential and makes and signs each; our transport carries them.

boto3 is stopped before it would send: its time limits are one for all calls and do not bound an answer that drips.
"""

import base64
import hashlib
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import boto3
import botocore.session
from botocore import exceptions
from botocore.config import Config

from worker.domain.conversation import JsonObject, Route
from worker.errors import InvalidRequestError, ProviderAuthError, ProviderError, ProviderUnavailableError
from worker.llm.transport import Request

MAX_CLIENTS = 16
KEPT_S = 300.0  # files of credentials are read when a client is built: new keys in them count by then
_LOGGERS = ("boto3", "botocore")  # at DEBUG they write signatures, tokens and whole answers of STS
_LIMITS = Config(  # of what finds a credential over the network
    connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 1}, parameter_validation=False
)
_NO_PROFILE = {"profile": (None, None, None, None)}
_PASSING = (
    exceptions.HTTPClientError,
    exceptions.ConnectionError,
    exceptions.CredentialRetrievalError,
    exceptions.MetadataRetrievalError,
)
_BUSY = frozenset({"Throttling", "ThrottlingException", "RequestLimitExceeded"})


class _StoppedError(Exception):
    """The request is made, and it is not boto3 that sends it."""

    def __init__(self, request: Any) -> None:
        super().__init__()
        self.request = request


@dataclass(frozen=True)
class _Kept:
    client: Any
    built_at: float


class AwsSigner:
    """Makes requests of Bedrock. Its clients are built at their first use, so after any fork, and few are kept."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.WARNING)

    def sign(self, body: JsonObject, route: Route, key: str) -> Request:
        """Return the signed request.

        `key` is empty (whatever AWS's library finds), the name of a profile, or key id, secret and perhaps session
        token, one a line. Raises ProviderAuthError where no credential can be had, ProviderUnavailableError where
        who gives one does not answer.
        """
        with _explained():
            client = self._client(route, key)
            try:
                client.converse(modelId=route.model, **_with_bytes(body))
            except _StoppedError as stopped:
                return _read(stopped.request)
        raise AssertionError("boto3 was not stopped")

    def _client(self, route: Route, key: str) -> Any:
        """Return the client of this account. One is built at a time: boto3 cannot build two at once."""
        account = "\n".join((route.region or "", route.base_url, key))
        name = hashlib.sha256(account.encode()).hexdigest()
        with self._lock:
            kept = self._kept.pop(name, None)
            if kept is None or self._clock() - kept.built_at > KEPT_S:
                kept = _Kept(_build(route, key), self._clock())
            self._kept[name] = kept
            if len(self._kept) > MAX_CLIENTS:
                self._kept.popitem(last=False)
        return kept.client


def _build(route: Route, key: str) -> Any:
    values = key.splitlines()
    keys = dict(zip(("aws_access_key_id", "aws_secret_access_key", "aws_session_token"), values, strict=False))
    given = keys if len(values) > 1 else {}
    # What is named beats what the environment says besides: AWS_PROFILE, and a bearer token, which boto3 prefers.
    core = botocore.session.Session(session_vars=_NO_PROFILE if given else None, profile=None if given else key or None)
    core.set_default_client_config(_LIMITS)
    session = boto3.Session(botocore_session=core, region_name=route.region, **given)
    config = Config(signature_version="v4") if key else None
    try:
        client = session.client("bedrock-runtime", endpoint_url=route.base_url or None, config=config)
    except ValueError as error:
        raise InvalidRequestError("the base URL is no http(s) address; correct it") from error
    client.meta.events.register_first("before-send.bedrock-runtime.Converse", _stop)
    return client


def _stop(request: Any, **_: Any) -> NoReturn:
    raise _StoppedError(request)


def _read(request: Any) -> Request:
    headers = {name: value.decode() if isinstance(value, bytes) else value for name, value in request.headers.items()}
    return Request(request.url, headers, request.body)


def _with_bytes(body: JsonObject) -> JsonObject:
    """Return the request as boto3 takes it, with bytes where JSON has Base64."""
    messages = [{**message, "content": list(map(_block, message["content"]))} for message in body["messages"]]
    return {**body, "messages": messages}


def _block(block: JsonObject) -> JsonObject:
    hidden = block.get("reasoningContent", {}).get("redactedContent")
    return {"reasoningContent": {"redactedContent": base64.b64decode(hidden)}} if hidden else block


@contextmanager
def _explained() -> Iterator[None]:
    """Raise what went wrong in AWS's library as an error of ours. Its own texts are left out: they may quote keys."""
    try:
        yield
    except exceptions.NoRegionError as error:
        raise InvalidRequestError("no AWS region is known; set BEDROCK_REGION") from error
    except _PASSING as error:
        raise ProviderUnavailableError(f"AWS gave no credential ({type(error).__name__}); try again") from error
    except exceptions.ClientError as error:
        raise _refused_credential(error) from error
    except exceptions.BotoCoreError as error:
        fix = "set BEDROCK_ACCESS_KEY_ID and BEDROCK_SECRET_ACCESS_KEY, BEDROCK_PROFILE, or give this host a role"
        raise ProviderAuthError(f"no AWS credential was found ({type(error).__name__}); {fix}") from error


def _refused_credential(error: exceptions.ClientError) -> ProviderError:
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    code = error.response.get("Error", {}).get("Code", "")
    if code in _BUSY or (status or 0) >= 500:  # noqa: PLR2004 - HTTP's server errors
        return ProviderUnavailableError(f"AWS gave no credential ({code}); try again", status=status)
    return ProviderAuthError(f"AWS refused the role or its credential ({code}); check both", status=status)
