"""The generic webhook: a report as JSON, posted, signed so that the receiver knows from whom and when.

The signature is the HMAC-SHA256 of the timestamp header, a dot and the body, in hex:
`X-RCA-Signature: sha256=…` over `X-RCA-Timestamp: 1767225600`. A receiver refuses an old timestamp and
remembers `Idempotency-Key`: a delivery that was in flight when a worker died comes twice.
"""

import hashlib
import hmac
import json
from http import HTTPStatus

from worker.domain.report import Report
from worker.errors import DeliveryPostponedError, DeliveryRefusedError, InvalidRequestError, ProviderUnavailableError
from worker.llm.transport import Told, Transport
from worker.reporting.destinations.port import Parcel

NAME = "webhook"
_LATER = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}


class Webhook:
    """Posts to one URL; without a secret the posts are not signed."""

    def __init__(self, url: str, *, secret: str | None) -> None:
        self._url = url
        self._secret = secret
        self._transport = Transport()

    def send(self, parcel: Parcel, *, timeout_s: float) -> None:
        """Post the report. Redirects are not followed, and nothing of the answer is read but its head."""
        body = payload(parcel.report, delivery_id=parcel.delivery_id, page_url=parcel.page_url)
        timestamp = str(int(parcel.sent_at.timestamp()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "rca-worker",
            "Idempotency-Key": parcel.delivery_id,
            "X-RCA-Timestamp": timestamp,
        }
        if self._secret:
            headers["X-RCA-Signature"] = f"sha256={sign(self._secret, timestamp, body)}"
        try:
            told = self._transport.tell(self._url, headers=headers, body=body, timeout_s=timeout_s)
        except ProviderUnavailableError as error:
            raise DeliveryPostponedError("the destination did not answer, or the connection failed") from error
        except InvalidRequestError as error:
            raise DeliveryRefusedError("the destination's URL is no http(s) address") from error
        _judge(told)


def payload(report: Report, *, delivery_id: str, page_url: str | None) -> bytes:
    """Return the body: what a chat message needs at the top, the whole report below."""
    brief = {
        "delivery_id": delivery_id,
        "investigation_id": report.investigation_id,
        "incident_id": report.incident_id,
        "title": report.title,
        "service": report.service,
        "severity": report.severity,
        "verdict": report.verdict,
        "confidence": report.confidence,
        "summary": report.summary,
        "url": page_url,
        "report": report.model_dump(mode="json"),
    }
    return json.dumps(brief, ensure_ascii=False, allow_nan=False).encode()


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """Return the signature in hex; the time is part of it, so that an old post cannot be sent again as new."""
    return hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def _judge(told: Told) -> None:
    if told.status // 100 == 2:  # noqa: PLR2004 - success
        return
    if told.status >= HTTPStatus.INTERNAL_SERVER_ERROR or told.status in _LATER:
        raise DeliveryPostponedError(f"the destination answered {told.status}", retry_after_s=_retry_after_s(told))
    moved = ", a redirect, which is not followed" if told.status // 100 == 3 else ""  # noqa: PLR2004 - redirects
    raise DeliveryRefusedError(f"the destination answered {told.status}{moved}")


def _retry_after_s(told: Told) -> float | None:
    """Return the seconds it asks us to wait; a date, which is rare, is not read."""
    value = told.headers.get("retry-after", "")
    return float(value) if value.isascii() and value.isdigit() else None
