"""What a destination of reports is: it takes one parcel, or says whether later may work."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from worker.domain.report import Report


@dataclass(frozen=True)
class Parcel:
    """A report on its way. `delivery_id` is the same at every attempt; `page_url` is None where nobody knows it."""

    delivery_id: str
    sent_at: datetime
    report: Report
    page_url: str | None


class Destination(Protocol):
    """Somewhere reports go.

    `send` returns when the destination has the parcel. It raises `DeliveryPostponedError` where later may work and
    `DeliveryRefusedError` where it will not, both with a reason that holds no secret and nothing of the answer's body.
    """

    def send(self, parcel: Parcel, *, timeout_s: float) -> None: ...
