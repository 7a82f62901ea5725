"""What every destination of reports has to do, whatever it is: each is run against the same receiver."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from tests.receiver import Receiver, Say
from tests.unit.reporting.example_reports import whole_report
from worker.errors import DeliveryPostponedError, DeliveryRefusedError
from worker.reporting.destinations.port import Destination, Parcel
from worker.reporting.destinations.webhook import Webhook

Make = Callable[[str], Destination]
SECRET = "canary-4e1f7a"
DESTINATIONS: dict[str, Make] = {"webhook": lambda url: Webhook(url, secret=SECRET)}
SENT_AT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


@pytest.fixture(params=DESTINATIONS, name="make")
def _make(request: pytest.FixtureRequest) -> Make:
    return DESTINATIONS[request.param]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as found:
        yield found


def parcel() -> Parcel:
    return Parcel("dlv_1", SENT_AT, whole_report(), "https://rca.example/investigations/inv_1")


def send(make: Make, receiver: Receiver, *, timeout_s: float = 5) -> None:
    make(receiver.url).send(parcel(), timeout_s=timeout_s)


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_a_success_is_a_success(make: Make, receiver: Receiver, status: int) -> None:
    receiver.says = [Say(status, body=b"")]

    send(make, receiver)

    assert len(receiver.posts) == 1


def test_what_is_sent_names_the_delivery_and_holds_the_findings(make: Make, receiver: Receiver) -> None:
    send(make, receiver)

    (post,) = receiver.posts
    assert post.headers["idempotency-key"] == "dlv_1"
    assert parcel().report.summary.encode() in post.body


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_what_may_pass_is_postponed(make: Make, receiver: Receiver, status: int) -> None:
    receiver.says = [Say(status)]

    with pytest.raises(DeliveryPostponedError, match=str(status)):
        send(make, receiver)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413, 422])
def test_what_will_not_pass_is_refused(make: Make, receiver: Receiver, status: int) -> None:
    receiver.says = [Say(status)]

    with pytest.raises(DeliveryRefusedError, match=str(status)):
        send(make, receiver)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_refused_and_not_followed(make: Make, receiver: Receiver, status: int) -> None:
    receiver.says = [Say(status, {"Location": receiver.url}), Say(200)]

    with pytest.raises(DeliveryRefusedError, match="redirect"):
        send(make, receiver)
    assert len(receiver.posts) == 1


def test_the_wait_it_asks_for_is_handed_on(make: Make, receiver: Receiver) -> None:
    receiver.says = [Say(429, {"Retry-After": "17"})]

    with pytest.raises(DeliveryPostponedError) as caught:
        send(make, receiver)

    assert caught.value.retry_after_s == 17


@pytest.mark.parametrize("value", ["soon", "-3", "1e9", "Wed, 21 Oct 2026 07:28:00 GMT", "²"])
def test_a_wait_that_is_no_number_of_seconds_is_left_out(make: Make, receiver: Receiver, value: str) -> None:
    receiver.says = [Say(503, {"Retry-After": value.encode().decode("latin-1")})]

    with pytest.raises(DeliveryPostponedError) as caught:
        send(make, receiver)

    assert caught.value.retry_after_s is None


@pytest.mark.parametrize("say", [Say(silent_s=20), Say(drip_s=0.1), Say(drop=True)], ids=["silent", "drip", "hang-up"])
def test_no_answer_in_time_is_postponed_in_time(make: Make, receiver: Receiver, say: Say) -> None:
    receiver.says = [say]
    started = time.monotonic()

    with pytest.raises(DeliveryPostponedError):
        send(make, receiver, timeout_s=0.4)

    assert time.monotonic() - started < 2


def test_an_answer_without_end_costs_nothing(make: Make, receiver: Receiver) -> None:
    receiver.says = [Say(200, {"Content-Length": str(10**12)}, body=b"x" * 100_000)]

    send(make, receiver, timeout_s=2)


def test_nobody_there_is_postponed(make: Make) -> None:
    with Receiver() as gone:
        url = gone.url

    with pytest.raises(DeliveryPostponedError):
        make(url).send(parcel(), timeout_s=2)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "not an address", "http://[::1", "http://"])
def test_what_is_no_address_is_refused(make: Make, url: str) -> None:
    with pytest.raises((DeliveryRefusedError, DeliveryPostponedError)):
        make(url).send(parcel(), timeout_s=2)


@pytest.mark.parametrize("status", [400, 500])
def test_errors_hold_no_secret_no_address_and_nothing_of_the_body(make: Make, receiver: Receiver, status: int) -> None:
    receiver.says = [Say(status, body=SECRET.encode())]

    with pytest.raises((DeliveryRefusedError, DeliveryPostponedError)) as caught:
        send(make, receiver)

    assert SECRET not in str(caught.value)
    assert "127.0.0.1" not in str(caught.value)
