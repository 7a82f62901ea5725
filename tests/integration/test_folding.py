"""Folding: what tells of one thing becomes one incident, for a reason that is kept, while somebody still listens."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import select

from tests.builders import STARTED_AT, drain, incident, submits_report
from tests.fakes import ScriptedModel
from worker import pipeline
from worker.intake.events import Offer
from worker.services import Services
from worker.storage.incidents import Accepted
from worker.storage.tables import AlertRow, IncidentRow, InvestigationRow

Open = Callable[..., Services]
TOPOLOGY = '{"nodes": ["checkout", "payment", "cart"], "edges": [["checkout", "payment"], ["cart", "checkout"]]}'


@pytest.fixture
def services(open_services: Open, tmp_path: Path) -> Services:
    file = tmp_path / "topology.json"
    file.write_text(TOPOLOGY)
    return open_services(ScriptedModel([submits_report()]), rca_topology_file=file)


def tell(services: Services, title: str, *, after_s: float = 0, **fields: Any) -> Accepted:
    started_at = STARTED_AT + timedelta(seconds=after_s)
    return pipeline.accept(services, incident(title, started_at=started_at, **fields), via="test")


def reasons(services: Services) -> list[str | None]:
    """Return why each alert joined, in their order."""
    with services.database.transaction() as session:
        return list(session.scalars(select(AlertRow.fold_reason).order_by(AlertRow.alert_no)))


def rows(services: Services, table: type[Any]) -> list[Any]:
    with services.database.transaction() as session:
        return list(session.scalars(select(table).order_by(table.id)))


def test_an_alert_of_the_same_service_joins_and_says_why(services: Services) -> None:
    first = tell(services, "checkout is slow", service="checkout")

    second = tell(services, "checkout answers with errors", service=" Checkout ", after_s=40)

    assert (second.is_folded, second.incident_id) == (True, first.incident_id)
    assert reasons(services) == [None, "same service Checkout, 40 s after"]


@pytest.mark.parametrize(
    ("service", "reason"),
    [("payment", "checkout calls payment, 12 s after"), ("cart", "cart calls checkout, 12 s after")],
)
def test_an_alert_of_a_neighbour_joins_whichever_calls_the_other(services: Services, service: str, reason: str) -> None:
    tell(services, "checkout is slow", service="checkout")

    assert tell(services, "errors", service=service, after_s=12).is_folded
    assert reasons(services) == [None, reason]


@pytest.mark.parametrize(
    "fields",
    [
        {"service": "billing"},
        {"service": None},
        {"service": "checkout", "after_s": 121},
        {"service": "checkout", "after_s": -121},
        {"service": "checkout", "user_path": "/team/b"},
        {"service": "checkout", "local_only": True},
        {"service": "checkout", "model": "offline/analyst"},
        {"service": "checkout", "labels": {"recorded_case": "another"}},
    ],
    ids=lambda fields: "-".join(map(str, fields.items())),
)
def test_an_alert_that_is_not_known_to_be_related_opens_its_own(services: Services, fields: dict[str, Any]) -> None:
    tell(services, "checkout is slow", service="checkout")

    assert not tell(services, "something else", **fields).is_folded


def test_a_neighbour_of_a_neighbour_is_none(services: Services) -> None:
    tell(services, "cart is slow", service="cart")

    assert not tell(services, "payment is slow", service="payment", after_s=5).is_folded


def test_an_alert_begun_before_says_so(services: Services) -> None:
    tell(services, "checkout is slow", service="checkout")
    tell(services, "checkout queue grows", service="checkout", after_s=-30)

    assert reasons(services) == [None, "same service checkout, 30 s before"]


def test_the_same_service_comes_before_a_neighbour(services: Services) -> None:
    tell(services, "cart is slow", service="cart", after_s=1)
    own = tell(services, "payment is slow", service="payment", after_s=100)

    third = tell(services, "payment fails", service="payment", after_s=2)

    assert third.incident_id == own.incident_id


def test_related_folding_can_be_turned_off(open_services: Open) -> None:
    services = open_services(ScriptedModel([submits_report()]), rca_related_window_s=0)
    tell(services, "checkout is slow", service="checkout")

    assert not tell(services, "checkout fails", service="checkout").is_folded


def test_a_finished_investigation_hears_no_more_so_the_alert_opens_its_own(services: Services) -> None:
    first = tell(services, "checkout is slow", service="checkout")
    drain(services)

    second = tell(services, "checkout fails", service="checkout", after_s=10)

    assert (second.is_folded, second.incident_id != first.incident_id) == (False, True)


def test_the_same_alert_again_joins_as_such(services: Services) -> None:
    tell(services, "checkout is slow", service="checkout")
    tell(services, "checkout is slow", service="checkout", after_s=500)

    assert reasons(services) == [None, "same fingerprint"]


def test_a_more_severe_alert_makes_its_incident_urgent_and_a_lesser_one_does_not_calm_it(open_services: Open) -> None:
    services = open_services(ScriptedModel([]), rca_max_running=1)
    tell(services, "keeps the one place", user_path="/other")
    tell(services, "checkout is slow", service="checkout", severity="low")

    tell(services, "checkout is down", service="checkout", severity="critical", after_s=5)
    tell(services, "checkout is odd", service="checkout", severity="info", after_s=6)

    waiting = next(r for r in rows(services, InvestigationRow) if r.status == "queued")
    of_checkout = next(r for r in rows(services, IncidentRow) if r.service == "checkout")
    assert (waiting.severity_rank, of_checkout.severity, of_checkout.alert_count) == (0, "critical", 3)


def test_a_batch_folds_as_its_events_would_one_by_one(services: Services) -> None:
    events = [
        incident("checkout is slow", service="checkout", idempotency_key="a"),
        incident("checkout is slow", service="checkout", idempotency_key="b"),
        incident("checkout is slow", service="checkout", idempotency_key="a"),
        incident("payment fails", service="payment", idempotency_key="c"),
        incident("billing fails", service="billing", idempotency_key="d"),
    ]

    accepted = pipeline.accept_many(services, [Offer(event, "test") for event in events])

    assert [(a.is_new, a.is_folded) for a in accepted] == [
        (True, False),
        (True, True),
        (False, False),
        (True, True),
        (True, False),
    ]
    assert [i.alert_count for i in rows(services, IncidentRow)] == [3, 1]
    assert sorted(a.alert_no for a in rows(services, AlertRow)) == [1, 1, 2, 3]


def test_of_related_alerts_told_at_once_by_many_one_opens_the_incident(services: Services) -> None:
    together = Barrier(8)

    def send(number: int) -> Accepted:
        together.wait()
        return tell(services, f"checkout fails in way {'x' * number}", service="checkout")

    with ThreadPoolExecutor(8) as pool:
        accepted = list(pool.map(send, range(8)))

    assert sorted(a.is_folded for a in accepted) == [False] + [True] * 7
    assert [i.alert_count for i in rows(services, IncidentRow)] == [8]
    assert sorted(a.alert_no for a in rows(services, AlertRow)) == list(range(1, 9))


def test_two_batches_with_the_same_alerts_in_opposite_order_take_each_once(services: Services) -> None:
    together = Barrier(2)
    offers = [Offer(incident("x" * n, idempotency_key=f"k{n}"), "test") for n in range(1, 30)]

    def send(batch: list[Offer]) -> list[Accepted]:
        together.wait()
        return pipeline.accept_many(services, batch)

    with ThreadPoolExecutor(2) as pool:
        forth, back = (f.result() for f in [pool.submit(send, offers), pool.submit(send, offers[::-1])])

    assert len(rows(services, AlertRow)) == len(rows(services, IncidentRow)) == 29
    assert [a.incident_id for a in forth] == [a.incident_id for a in back[::-1]]


def test_one_key_with_different_fingerprints_is_one_event(services: Services) -> None:
    for title in ("first", "second"):
        tell(services, title)
    together = Barrier(6)

    def send(number: int) -> Accepted:
        together.wait()
        return tell(services, ("first", "second", "third")[number % 3], idempotency_key="the one")

    with ThreadPoolExecutor(6) as pool:
        accepted = list(pool.map(send, range(6)))

    assert sum(a.is_new for a in accepted) == 1
    assert len({a.incident_id for a in accepted}) == 1
    assert len(rows(services, AlertRow)) == 3
    assert sum(i.alert_count for i in rows(services, IncidentRow)) == 3
