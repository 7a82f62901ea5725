"""The generic webhook: what it posts, and that a receiver can tell that it came from us, now."""

import hashlib
import hmac
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.receiver import Post, Receiver
from tests.unit.reporting.example_reports import whole_report
from worker.domain.report import Report
from worker.reporting.destinations.configured import find_destinations
from worker.reporting.destinations.port import Parcel
from worker.reporting.destinations.webhook import Webhook
from worker.settings import Settings

KEY = "k3y"
SENT_AT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as found:
        yield found


def posted(receiver: Receiver, *, secret: str | None = KEY, sent_at: datetime = SENT_AT) -> Post:
    parcel = Parcel("dlv_1", sent_at, whole_report(), "https://rca.example/investigations/inv_1")
    Webhook(receiver.url, secret=secret).send(parcel, timeout_s=5)
    return receiver.posts[-1]


def signature(post: Post, secret: str) -> str:
    told = post.headers["x-rca-timestamp"].encode() + b"." + post.body
    return "sha256=" + hmac.new(secret.encode(), told, hashlib.sha256).hexdigest()


def test_the_brief_stands_at_the_top_and_the_whole_report_below(receiver: Receiver) -> None:
    said = json.loads(posted(receiver).body)

    report = whole_report()
    assert (said["verdict"], said["summary"]) == (report.verdict, report.summary)
    assert said["url"] == "https://rca.example/investigations/inv_1"
    assert Report.model_validate(said["report"]) == report


def test_a_receiver_can_check_who_sent_it(receiver: Receiver) -> None:
    post = posted(receiver)

    assert post.headers["x-rca-signature"] == signature(post, "k3y")
    assert post.headers["x-rca-signature"] != signature(post, "another")


def test_the_time_is_signed_so_an_old_post_cannot_come_again_as_new(receiver: Receiver) -> None:
    first, second = posted(receiver), posted(receiver, sent_at=SENT_AT + timedelta(hours=1))

    assert first.body == second.body
    assert int(second.headers["x-rca-timestamp"]) - int(first.headers["x-rca-timestamp"]) == 3600
    assert first.headers["x-rca-signature"] != second.headers["x-rca-signature"]


def test_without_a_secret_nothing_is_signed(receiver: Receiver) -> None:
    assert "x-rca-signature" not in posted(receiver, secret=None).headers


def test_it_is_a_destination_once_its_url_is_set() -> None:
    assert find_destinations(Settings()) == {}
    assert list(find_destinations(Settings.model_validate({"rca_delivery_webhook_url": "http://x.test/"}))) == [
        "webhook"
    ]


def test_its_url_and_secret_count_as_secrets() -> None:
    fields = {"rca_delivery_webhook_url": "http://x.test/canary-1", "rca_delivery_webhook_secret": "canary-2"}

    assert set(fields.values()) <= set(Settings.model_validate(fields).secrets)
