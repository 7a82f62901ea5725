"""Refused secrets are counted for each address; after too many nothing is compared for a while."""

import base64
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from tests.web_client import AppClient, client_of, sqlite_services, token_for
from worker.ops import metrics
from worker.services import Services
from worker.storage import audit
from worker.web import failed_logins
from worker.web.failed_logins import FailedLogins, network_of

OWN = "a-token-from-the-environment"
LIST = "/v1/investigations"
PER_MINUTE = 3


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    with sqlite_services(tmp_path, rca_api_token=OWN, rca_failed_logins_per_minute=PER_MINUTE) as found:
        yield found


@pytest.fixture
def far(services: Services) -> Iterator[AppClient]:
    with client_of(services, peer=("192.0.2.7", 50000)) as found:
        yield found


def by_bearer(client: AppClient, secret: str) -> httpx.Response:
    return client.get(LIST, headers={"Authorization": f"Bearer {secret}"})


def by_basic(client: AppClient, secret: str) -> httpx.Response:
    pair = base64.b64encode(f"me:{secret}".encode()).decode()
    return client.get(LIST, headers={"Authorization": f"Basic {pair}"})


def by_form(client: AppClient, secret: str) -> httpx.Response:
    return client.post("/login", data={"token": secret})


WAYS = [by_bearer, by_basic, by_form]


def use_up(client: AppClient) -> None:
    for i in range(PER_MINUTE):
        assert WAYS[i % 3](client, f"wrong {i}").status_code == 401


@pytest.mark.parametrize("way", WAYS)
def test_after_too_many_even_the_right_secret_has_to_wait(far: AppClient, way: object) -> None:
    use_up(far)

    assert callable(way)
    answer = way(far, OWN)

    assert answer.status_code == 429
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert OWN not in answer.text


def test_the_ways_count_together_and_right_secrets_do_not(far: AppClient) -> None:
    for way in WAYS * 3:
        assert way(far, OWN).status_code in {200, 303}
    use_up(far)
    assert by_bearer(far, "wrong").status_code == 429


def test_a_token_of_ours_passes_and_one_that_is_none_waits(far: AppClient, services: Services) -> None:
    header = token_for(services, "reports:read")
    use_up(far)

    assert far.get(LIST, headers=header).status_code == 200
    assert by_form(far, header["Authorization"].removeprefix("Bearer ")).status_code == 303
    assert by_bearer(far, "rca_" + "x" * 43).status_code == 429


def test_who_is_signed_in_goes_on(far: AppClient) -> None:
    by_form(far, OWN)
    use_up(far)

    assert far.get(LIST).status_code == 200


def test_another_address_does_not_wait(far: AppClient, services: Services) -> None:
    counter = FailedLogins(per_minute=1)
    counter.note("192.0.2.7")

    assert counter.wait_s("192.0.2.7") is not None
    assert counter.wait_s("192.0.2.8") is None


@pytest.mark.parametrize("address", ["2001:db8:0:1::7", "2001:db8:0:1:ffff::1"])
def test_a_customers_addresses_are_one(address: str) -> None:
    assert network_of(address) == "2001:db8:0:1::/64"


@pytest.mark.parametrize(
    ("address", "network"),
    [("192.0.2.7", "192.0.2.7"), ("::ffff:192.0.2.7", "192.0.2.7"), ("2001:db8:0:2::7", "2001:db8:0:2::/64"), ("", "")],
)
def test_other_addresses_are_others(address: str, network: str) -> None:
    assert network_of(address) == network


def test_the_one_that_uses_up_the_limit_is_told_once() -> None:
    counter = FailedLogins(per_minute=2)

    assert [counter.note("192.0.2.7") for _ in range(4)] == [False, True, False, False]


def test_a_window_begins_with_its_first_failure_and_ends_after_a_minute() -> None:
    now_s = [100.0]
    counter = FailedLogins(per_minute=2, clock=lambda: now_s[0])
    counter.note("192.0.2.7")
    now_s[0] += 40
    counter.note("192.0.2.7")

    assert counter.wait_s("192.0.2.7") == 20
    now_s[0] += 20
    assert counter.wait_s("192.0.2.7") is None
    assert [counter.note("192.0.2.7") for _ in range(2)] == [False, True]


def test_a_process_remembers_so_many_addresses_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failed_logins, "KNOWN", 3)
    counter = FailedLogins(per_minute=1)
    for last in range(5):
        counter.note(f"192.0.2.{last}")

    assert [counter.wait_s(f"192.0.2.{last}") is not None for last in range(5)] == [False, False, True, True, True]


def test_zero_is_no_limit() -> None:
    counter = FailedLogins(per_minute=0)

    assert [counter.note("192.0.2.7") for _ in range(50)] == [False] * 50
    assert counter.wait_s("192.0.2.7") is None


def test_metric_log_and_audit_tell_of_it_without_the_secret(far: AppClient, services: Services) -> None:
    def count(outcome: str) -> float:
        return metrics.REGISTRY.get_sample_value("rca_failed_logins_total", {"via": "form", "outcome": outcome}) or 0

    refused, held_back = count("refused"), count("held_back")
    with capture_logs() as logs:
        for _ in range(PER_MINUTE + 2):
            by_form(far, "guess-of-somebody")

    assert (count("refused") - refused, count("held_back") - held_back) == (PER_MINUTE, 2)
    told = [line["event"] for line in logs if line["event"] in {"login_refused", "logins_held_back"}]
    assert told == ["login_refused"] * PER_MINUTE + ["logins_held_back"]
    assert "guess-of-somebody" not in str(logs)
    with services.database.transaction() as session:
        (act,) = audit.page(session, limit=5)
    assert (act.actor, act.action, act.outcome, act.detail) == ("192.0.2.7", "login.hold", "refused", {"via": "form"})
